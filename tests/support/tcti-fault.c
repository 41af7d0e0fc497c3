/* A TCTI that misbehaves as a script says. It stands before another TCTI, which leads to a real TPM.
 *
 *     TCTI=/PATH/libtss2-tcti-attestd-fault.so:SCRIPT,TCTI-BEHIND-IT
 *
 * A script has lines CODE[#N] ACTION [NUMBER]: what happens to the Nth command with that code since the script was read, or to each.
 *     rc NUMBER         the TPM does not execute it and answers with this response code
 *     transmit NUMBER   it is not sent; this TSS return code says so
 *     receive NUMBER    it is executed; this TSS return code takes the place of the answer
 *     delay NUMBER      it is executed that many milliseconds later
 *     short NUMBER      it is executed, the answer ends after that many bytes, whatever its header says
 *     size NUMBER       it is executed, the header of the answer says that many bytes
 *     garbage NUMBER    it is executed, all of the answer's bytes are NUMBER
 *     hang              it is not sent, no answer comes until the script is another one
 *     lose              the connection ends before it is sent
 *     lose-after        the connection ends after it was executed
 * The script is read again when it is replaced by another file. SCRIPT.trace gets a line "CODE N ACTION" for each command since then.
 * Numbers are as for strtoul(). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <tss2/tss2_tctildr.h>

#define MAGIC UINT64_C(0x6661756c74746374)
#define FAULTS_MAX 16
#define CODES 0x200          /* TPM 2.0 Part 2 §6.5.2: command codes end below that */
#define HEADER_SIZE 10       /* u16 tag | u32 size | u32 code, of commands and answers */
#define HANG_STEP_MSEC 5
#define FILLER 0xa5
#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

typedef enum Action { PASS, RC, TRANSMIT, RECEIVE, DELAY, SHORT, SIZE, GARBAGE, HANG, LOSE, LOSE_AFTER } Action;
static const char *const action_names[] = { "pass", "rc", "transmit", "receive", "delay", "short", "size", "garbage", "hang", "lose", "lose-after" };

typedef struct Fault {
        uint32_t code;
        unsigned occurrence; /* 0: each */
        Action action;
        uint32_t number;
} Fault;

typedef struct FaultTcti {
        TSS2_TCTI_CONTEXT_COMMON_V2 common;
        TSS2_TCTI_CONTEXT *inner;
        char script[PATH_MAX];
        int trace;
        struct stat last;
        Fault faults[FAULTS_MAX];
        size_t n_faults;
        unsigned seen[CODES];
        Fault current;       /* of the command that was transmitted last */
} FaultTcti;

static FaultTcti *from_context(TSS2_TCTI_CONTEXT *context) {
        return (FaultTcti *) context;
}

static void put_u32(uint8_t *bytes, uint32_t value) {
        for (int i = 0; i < 4; i++)
                bytes[i] = (uint8_t) (value >> (24 - 8 * i));
}

static uint32_t get_u32(const uint8_t *bytes) {
        return (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8 | bytes[3];
}

static void pause_msec(uint32_t msec) {
        struct timespec pause = { .tv_sec = msec / 1000, .tv_nsec = (long) (msec % 1000) * 1000000L };
        nanosleep(&pause, NULL);
}

/* A script with an error must not pass for one without faults. */
static void refuse_script(const char *script, const char *line) {
        fprintf(stderr, "tcti-fault: %s: \"%s\" is not understood\n", script, line);
        abort();
}

static Fault parse_line(const char *script, const char *line) {
        char code[32], action[32], number[32] = "0";
        if (sscanf(line, "%31s %31s %31s", code, action, number) < 2)
                refuse_script(script, line);
        char *hash = strchr(code, '#');
        Fault fault = {
                .code = (uint32_t) strtoul(code, NULL, 0),
                .occurrence = hash ? (unsigned) strtoul(hash + 1, NULL, 0) : 0,
                .number = (uint32_t) strtoul(number, NULL, 0),
        };
        for (size_t i = 0; i < N_OF(action_names); i++)
                if (strcmp(action, action_names[i]) == 0)
                        fault.action = (Action) i;
        if (fault.action == PASS)
                refuse_script(script, line);
        return fault;
}

static bool is_changed(FaultTcti *tcti, struct stat *ret) {
        if (stat(tcti->script, ret) < 0)
                *ret = (struct stat) {};
        return ret->st_ino != tcti->last.st_ino || ret->st_mtim.tv_sec != tcti->last.st_mtim.tv_sec ||
               ret->st_mtim.tv_nsec != tcti->last.st_mtim.tv_nsec;
}

static void read_script(FaultTcti *tcti) {
        struct stat now;
        char line[128];
        if (!is_changed(tcti, &now))
                return;
        tcti->last = now;
        tcti->n_faults = 0;
        memset(tcti->seen, 0, sizeof(tcti->seen));
        if (tcti->trace >= 0 && ftruncate(tcti->trace, 0) < 0)
                abort();
        FILE *file = fopen(tcti->script, "re");
        if (!file)
                return;
        while (fgets(line, sizeof(line), file)) {
                if (tcti->n_faults == FAULTS_MAX)
                        refuse_script(tcti->script, line);
                tcti->faults[tcti->n_faults++] = parse_line(tcti->script, line);
        }
        fclose(file);
}

static Fault choose_fault(FaultTcti *tcti, uint32_t code) {
        unsigned n = ++tcti->seen[code % CODES];
        for (size_t i = 0; i < tcti->n_faults; i++)
                if (tcti->faults[i].code == code && (tcti->faults[i].occurrence == 0 || tcti->faults[i].occurrence == n))
                        return tcti->faults[i];
        return (Fault) { .code = code, .action = PASS };
}

static void write_trace(FaultTcti *tcti) {
        if (dprintf(tcti->trace, "0x%x %u %s\n", tcti->current.code, tcti->seen[tcti->current.code % CODES], action_names[tcti->current.action]) < 0)
                abort();
}

static TSS2_RC lose_connection(FaultTcti *tcti) {
        Tss2_TctiLdr_Finalize(&tcti->inner);
        tcti->inner = NULL;
        return TSS2_TCTI_RC_IO_ERROR;
}

static TSS2_RC fault_transmit(TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command) {
        FaultTcti *tcti = from_context(context);
        if (!tcti->inner)
                return TSS2_TCTI_RC_IO_ERROR;
        if (size < HEADER_SIZE)
                return TSS2_TCTI_RC_BAD_VALUE;
        read_script(tcti);
        tcti->current = choose_fault(tcti, get_u32(command + 6));
        write_trace(tcti);
        switch (tcti->current.action) {
        case RC:
        case HANG:
                return TSS2_RC_SUCCESS;
        case TRANSMIT:
                return tcti->current.number;
        case LOSE:
                return lose_connection(tcti);
        case DELAY:
                pause_msec(tcti->current.number);
                break;
        case PASS:
        case RECEIVE:
        case SHORT:
        case SIZE:
        case GARBAGE:
        case LOSE_AFTER:
                break;
        }
        return Tss2_Tcti_Transmit(tcti->inner, size, command);
}

static TSS2_RC answer_code(uint32_t code, size_t *size, uint8_t *answer) {
        static const uint8_t header[HEADER_SIZE] = { 0x80, 0x01, 0, 0, 0, HEADER_SIZE };   /* TPM_ST_NO_SESSIONS, as every failure has it */
        size_t room = *size;
        *size = HEADER_SIZE;
        if (!answer)
                return TSS2_RC_SUCCESS;
        if (room < HEADER_SIZE)
                return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
        for (size_t i = 0; i < HEADER_SIZE; i++)
                answer[i] = header[i];
        put_u32(answer + 6, code);
        return TSS2_RC_SUCCESS;
}

static TSS2_RC hang(FaultTcti *tcti) {
        struct stat now;
        while (!is_changed(tcti, &now))
                pause_msec(HANG_STEP_MSEC);
        return TSS2_TCTI_RC_IO_ERROR;
}

static TSS2_RC spoil_answer(FaultTcti *tcti, size_t *size, uint8_t *answer) {
        uint32_t number = tcti->current.number;
        switch (tcti->current.action) {
        case RECEIVE:
                return number;
        case LOSE_AFTER:
                return lose_connection(tcti);
        case SHORT:
                for (; *size > number; (*size)--)   /* nobody shall find there what did not arrive */
                        answer[*size - 1] = FILLER;
                break;
        case SIZE:
                if (*size >= HEADER_SIZE)
                        put_u32(answer + 2, number);
                break;
        case GARBAGE:
                memset(answer, (int) number, *size);
                break;
        case PASS:
        case RC:
        case TRANSMIT:
        case DELAY:
        case HANG:
        case LOSE:
                break;
        }
        return TSS2_RC_SUCCESS;
}

static TSS2_RC fault_receive(TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *answer, int32_t timeout) {
        FaultTcti *tcti = from_context(context);
        if (!tcti->inner)
                return TSS2_TCTI_RC_IO_ERROR;
        if (tcti->current.action == RC)
                return answer_code(tcti->current.number, size, answer);
        if (tcti->current.action == HANG)
                return hang(tcti);
        TSS2_RC rc = Tss2_Tcti_Receive(tcti->inner, size, answer, timeout);
        return rc == TSS2_RC_SUCCESS && answer ? spoil_answer(tcti, size, answer) : rc;
}

static void fault_finalize(TSS2_TCTI_CONTEXT *context) {
        FaultTcti *tcti = from_context(context);
        if (tcti->inner)
                Tss2_TctiLdr_Finalize(&tcti->inner);
        if (tcti->trace >= 0)
                close(tcti->trace);
}

static TSS2_RC fault_cancel(TSS2_TCTI_CONTEXT *context) {
        return from_context(context)->inner ? Tss2_Tcti_Cancel(from_context(context)->inner) : TSS2_TCTI_RC_IO_ERROR;
}

static TSS2_RC fault_get_poll_handles(TSS2_TCTI_CONTEXT *context, TSS2_TCTI_POLL_HANDLE *handles, size_t *n) {
        return from_context(context)->inner ? Tss2_Tcti_GetPollHandles(from_context(context)->inner, handles, n) : TSS2_TCTI_RC_IO_ERROR;
}

static TSS2_RC fault_set_locality(TSS2_TCTI_CONTEXT *context, uint8_t locality) {
        return from_context(context)->inner ? Tss2_Tcti_SetLocality(from_context(context)->inner, locality) : TSS2_TCTI_RC_IO_ERROR;
}

static TSS2_RC fault_make_sticky(TSS2_TCTI_CONTEXT *context, TPM2_HANDLE *handle, uint8_t sticky) {
        return from_context(context)->inner ? Tss2_Tcti_MakeSticky(from_context(context)->inner, handle, sticky) : TSS2_TCTI_RC_IO_ERROR;
}

static TSS2_RC fault_init(TSS2_TCTI_CONTEXT *context, size_t *size, const char *conf) {
        const char *comma = conf ? strchr(conf, ',') : NULL;
        char trace[PATH_MAX + sizeof(".trace")];
        if (!comma || comma - conf >= PATH_MAX)
                return TSS2_TCTI_RC_BAD_VALUE;
        if (!context) {
                *size = sizeof(FaultTcti);
                return TSS2_RC_SUCCESS;
        }
        FaultTcti *tcti = from_context(context);
        *tcti = (FaultTcti) {
                .common = {
                        .v1 = {
                                .magic = MAGIC, .version = 2, .transmit = fault_transmit, .receive = fault_receive, .finalize = fault_finalize,
                                .cancel = fault_cancel, .getPollHandles = fault_get_poll_handles, .setLocality = fault_set_locality,
                        },
                        .makeSticky = fault_make_sticky,
                },
        };
        snprintf(tcti->script, sizeof(tcti->script), "%.*s", (int) (comma - conf), conf);
        snprintf(trace, sizeof(trace), "%s.trace", tcti->script);
        TSS2_RC rc = Tss2_TctiLdr_Initialize(comma + 1, &tcti->inner);
        if (rc != TSS2_RC_SUCCESS)
                return rc;
        tcti->trace = open(trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (tcti->trace < 0)
                return lose_connection(tcti);
        return TSS2_RC_SUCCESS;
}

const TSS2_TCTI_INFO *Tss2_Tcti_Info(void);

const TSS2_TCTI_INFO *Tss2_Tcti_Info(void) {
        static const TSS2_TCTI_INFO info = {
                .version = 2,
                .name = "attestd-fault",
                .description = "misbehaves as a script says, before another TCTI",
                .config_help = "SCRIPT,TCTI",
                .init = fault_init,
        };
        return &info;
}
