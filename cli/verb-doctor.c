/* attestctl doctor: runs the groups of doctor.h side by side and prints what they find as they find it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "cli/format.h"
#include "cli/options.h"

#define LINE_MAX_BYTES 16384u
#define RUNS_MAX (CONFIG_PROFILES_MAX + 2)

static const char help_text[] =
        "Looks at everything that an attestation needs: configuration, TPM, banks, AIK and its certificate, quote, logs, the daemon, and for each profile\n"
        "name resolution, TLS, the instance, the clock, the credential and the policy. Takes at most ten seconds.\n\n"
        COMMON_OPTIONS_HELP
        "  --config FILE        this configuration file and its drop-ins alone\n\n"
        "Exit status: 0 nothing failed, 1 something did, 2 usage.\n";

static const char *const state_names[] = {
        [DOCTOR_OK] = "ok", [DOCTOR_WARNING] = "warning", [DOCTOR_FAILURE] = "failure", [DOCTOR_SKIPPED] = "skipped",
};

/* One group at work. */
typedef struct Run {
        const DoctorGroup *group;
        DoctorContext context;
        const char *profile;
        pid_t pid;
        int fd;                  /* -1: it has ended */
        size_t n_reported;
        char line[LINE_MAX_BYTES];
        size_t n_line;
} Run;

typedef struct Doctor {
        Run *runs;
        size_t n_runs;
        Json *findings;
        bool has_failure;
} Doctor;

/* ---- in the group's process ---- */

static void send_finding(DoctorSink *sink, DoctorState state, const char *summary, const char *advice) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_free_ char *text = NULL;
        const char *check = sink->checks[sink->n_done];
        if (!check)
                return;
        sink->n_done++;
        Err *err = json_new_object(&json);
        if (!err)
                err = json_add_string(json, "check", check);
        if (!err)
                err = json_add_string(json, "profile", sink->profile);
        if (!err)
                err = json_add_string(json, "state", state_names[state]);
        if (!err)
                err = json_add_string(json, "summary", summary);
        if (!err)
                err = json_add_string(json, "advice", advice);
        if (!err)
                err = json_to_string(json, &text);
        if (!err)
                dprintf(sink->fd, "%s\n", text);
        err_free(err);
}

void doctor_report(DoctorSink *sink, DoctorState state, const char *advice, const char *format, ...) {
        char summary[1024];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(summary, sizeof(summary), format, arguments);
        va_end(arguments);
        send_finding(sink, state, summary, advice);
}

static void report_error(DoctorSink *sink, DoctorState state, Err *steal_err) {
        _cleanup_(err_freep) Err *err = steal_err;
        send_finding(sink, state, err_describe(err), err_code_info(err_code(err))->help);
}

void doctor_fail(DoctorSink *sink, Err *steal_err) {
        report_error(sink, DOCTOR_FAILURE, steal_err);
}

void doctor_warn(DoctorSink *sink, Err *steal_err) {
        report_error(sink, DOCTOR_WARNING, steal_err);
}

void doctor_skip_rest(DoctorSink *sink, const char *why) {
        while (sink->checks[sink->n_done])
                send_finding(sink, DOCTOR_SKIPPED, why, NULL);
}

/* ---- in ours ---- */

static uint64_t monotonic_usec(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC;
}

static void print_finding(const Json *finding) {
        static const char *const like[] = { "attested", "degraded", "failed", "" };
        const char *state = "", *check = "", *summary = "", *profile = NULL, *advice = NULL;
        bool colour = cli_use_colour();
        unsigned which = 0;
        err_free(json_get_string(finding, "state", &state));
        err_free(json_get_string(finding, "check", &check));
        err_free(json_get_string(finding, "summary", &summary));
        err_free(json_get_string_optional(finding, "profile", &profile));
        err_free(json_get_string_optional(finding, "advice", &advice));
        while (which + 1 < _DOCTOR_STATE_MAX && !string_equal(state, state_names[which]))
                which++;
        printf("%s%-8s%s %s%s%s: %s\n", format_state_colour(like[which], colour), state, format_colour_end(colour), profile ? profile : "", profile ? " " : "",
               check, summary);
        if (advice && which != DOCTOR_OK)
                printf("%8s → %s\n", "", advice);
        fflush(stdout);
}

static Err *take_finding(Doctor *doctor, Json *steal_finding) {
        const char *state = "";
        TRY(json_append(doctor->findings, steal_finding));
        TRY(json_get_string(steal_finding, "state", &state));
        doctor->has_failure = doctor->has_failure || string_equal(state, state_names[DOCTOR_FAILURE]);
        if (!cli_is_json())
                print_finding(steal_finding);
        return NULL;
}

/* A finding of our own. */
static Err *add_finding(Doctor *doctor, const char *check, const char *profile, DoctorState state, const char *summary, const char *advice) {
        Json *json;
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "check", check));
        TRY(json_add_string(json, "profile", profile));
        TRY(json_add_string(json, "state", state_names[state]));
        TRY(json_add_string(json, "summary", summary));
        TRY(json_add_string(json, "advice", advice));
        return take_finding(doctor, json);
}

static void run_child(const Run *run, int fd) {
        DoctorSink sink = { .fd = fd, .profile = run->profile, .checks = run->group->checks };
        run->group->run(&run->context, &sink);
        fflush(NULL);
        _exit(0);
}

static Err *start_run(Run *run) {
        int fds[2];
        if (pipe2(fds, O_CLOEXEC) < 0)
                return err_new_errno(ERR_IO, errno, "making a pipe");
        fflush(NULL);
        run->pid = fork();
        if (run->pid == 0) {
                /* a process group of its own, which whatever the group starts ends with */
                setpgid(0, 0);
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                close(fds[0]);
                run_child(run, fds[1]);
        }
        if (run->pid > 0)
                setpgid(run->pid, run->pid);   /* by both, so that it has happened for either */
        close(fds[1]);
        run->fd = fds[0];
        if (run->pid < 0)
                return err_new_errno(ERR_IO, errno, "starting a process");
        return NULL;
}

static Err *take_line(Doctor *doctor, Run *run, size_t size) {
        Json *finding;
        TRY(json_parse(span_make(run->line, size), "a finding", &finding));
        run->n_reported++;
        return take_finding(doctor, finding);
}

static Err *read_run(Doctor *doctor, Run *run) {
        ssize_t n = read(run->fd, run->line + run->n_line, sizeof(run->line) - run->n_line);
        if (n < 0 && errno == EINTR)
                return NULL;
        if (n <= 0) {
                fd_closep(&run->fd);
                return NULL;
        }
        run->n_line += (size_t) n;
        for (;;) {
                char *end = memchr(run->line, '\n', run->n_line);
                if (!end)
                        return NULL;
                size_t size = (size_t) (end - run->line);
                TRY(take_line(doctor, run, size));
                run->n_line -= size + 1;
                memmove(run->line, end + 1, run->n_line);
        }
}

/* False when all have ended. */
static bool fill_polls(const Doctor *doctor, struct pollfd polls[RUNS_MAX]) {
        bool any = false;
        for (size_t i = 0; i < doctor->n_runs; i++) {
                polls[i] = (struct pollfd) { .fd = doctor->runs[i].fd, .events = POLLIN };
                any = any || doctor->runs[i].fd >= 0;
        }
        return any;
}

static Err *collect_findings(Doctor *doctor, uint64_t deadline_usec) {
        struct pollfd polls[RUNS_MAX];
        while (fill_polls(doctor, polls)) {
                uint64_t now = monotonic_usec();
                if (now >= deadline_usec)
                        break;
                int n = poll(polls, (nfds_t) doctor->n_runs, (int) ((deadline_usec - now) / USEC_PER_MSEC + 1));
                if (n < 0 && errno != EINTR)
                        return err_new_errno(ERR_IO, errno, "waiting for findings");
                for (size_t i = 0; n > 0 && i < doctor->n_runs; i++)
                        if (polls[i].revents != 0)
                                TRY(read_run(doctor, &doctor->runs[i]));
        }
        return NULL;
}

static void end_runs(Doctor *doctor) {
        for (size_t i = 0; i < doctor->n_runs; i++) {
                Run *run = &doctor->runs[i];
                if (run->pid <= 0)
                        continue;
                kill(-run->pid, SIGKILL);
                waitpid(run->pid, NULL, 0);
                run->pid = 0;
        }
}

/* Checks that nobody reported: the first of a group is what hangs. */
static Err *add_missing(Doctor *doctor, const Run *run) {
        for (size_t i = run->n_reported; run->group->checks[i]; i++)
                if (i > run->n_reported)
                        TRY(add_finding(doctor, run->group->checks[i], run->profile, DOCTOR_SKIPPED, "because of the failure before", NULL));
                else
                        TRY(add_finding(doctor, run->group->checks[i], run->profile, DOCTOR_FAILURE, "no answer within 9 s",
                                        "Whatever this check asks hangs, or drops what is sent to it: look there first."));
        return NULL;
}

static Err *check_configuration(Doctor *doctor, const ConfigWarnings *warnings) {
        for (size_t i = 0; i < warnings->n_lines; i++)
                TRY(add_finding(doctor, "configuration", NULL, DOCTOR_WARNING, warnings->lines[i], "attestd.conf(5) lists what there is."));
        return warnings->n_lines > 0 ? NULL : add_finding(doctor, "configuration", NULL, DOCTOR_OK, "every key is understood", NULL);
}

static Err *check_state_directory(Doctor *doctor) {
        const char *directory = config_state_directory();
        _cleanup_free_ char *summary = NULL;
        if (access(directory, W_OK) == 0)
                return add_finding(doctor, "state-directory", NULL, DOCTOR_OK, directory, NULL);
        int error = errno;
        TRY(string_format(&summary, "%s cannot be written by user id %u: %s", directory, (unsigned) geteuid(), strerror(error)));
        return add_finding(doctor, "state-directory", NULL, DOCTOR_WARNING, summary,
                           "Run this as root or as attestd-tpm: a key of attestd's own is kept there.");
}

static Err *examine_all(Doctor *doctor, const DoctorContext *context, const ConfigProfile *profiles, size_t n_profiles) {
        uint64_t deadline = monotonic_usec() + DOCTOR_BUDGET_USEC;
        doctor->runs = calloc(n_profiles + 2, sizeof(Run));
        if (!doctor->runs)
                return err_oom();
        doctor->runs[doctor->n_runs++] = (Run) { .group = &doctor_tpm_group, .context = *context, .fd = -1 };
        doctor->runs[doctor->n_runs++] = (Run) { .group = &doctor_daemon_group, .context = *context, .fd = -1 };
        for (size_t i = 0; i < n_profiles && doctor->n_runs < RUNS_MAX; i++) {
                DoctorContext of_profile = *context;
                of_profile.config = profiles[i].config;
                doctor->runs[doctor->n_runs++] = (Run) { .group = &doctor_instance_group, .context = of_profile, .profile = profiles[i].name, .fd = -1 };
        }
        for (size_t i = 0; i < doctor->n_runs; i++)
                TRY(start_run(&doctor->runs[i]));
        TRY(collect_findings(doctor, deadline));
        for (size_t i = 0; i < doctor->n_runs; i++)
                TRY(add_missing(doctor, &doctor->runs[i]));
        return NULL;
}

static Err *examine(Doctor *doctor, DoctorContext *context) {
        _cleanup_(config_freep) Config *config = NULL;
        ConfigWarnings warnings = {};
        ConfigProfile *profiles = NULL;
        size_t n_profiles = 0;
        TRY(json_new_array(&doctor->findings));
        Err *err = config_load(context->config_file, /* root= */ NULL, &config, /* warnings= */ NULL);
        if (!err)
                err = config_load_profiles(context->config_file, /* root= */ NULL, &profiles, &n_profiles, &warnings);
        if (err) {
                err = err_wrap(err, "without a configuration nothing can be looked at");
        } else {
                context->config = config;
                err = check_configuration(doctor, &warnings);
                if (!err)
                        err = check_state_directory(doctor);
                if (!err)
                        err = examine_all(doctor, context, profiles, n_profiles);
        }
        end_runs(doctor);
        config_warnings_done(&warnings);
        config_profiles_free(profiles, n_profiles);
        return err;
}

static void doctor_done(Doctor *doctor) {
        for (size_t i = 0; i < doctor->n_runs; i++)
                fd_closep(&doctor->runs[i].fd);
        free(doctor->runs);
        json_unref(doctor->findings);
}

int verb_doctor(int argc, char **argv) {
        enum { OPTION_CONFIG = OPTION_OF_VERB };
        static const struct option options[] = { COMMON_OPTIONS, { "config", required_argument, NULL, OPTION_CONFIG }, {} };
        CommonOptions common = { .verb = "doctor", .profile = "" };
        DoctorContext context = {};
        for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) >= 0;) {
                OptionTaken taken = common_option_take(&common, c, optarg);
                if (c == 'h')
                        return cli_help(cli_verb("doctor"), help_text);
                if (c == OPTION_CONFIG)
                        context.config_file = optarg;
                else if (taken != OPTION_TAKEN)
                        return EXIT_USAGE;
        }
        if (argc > optind)
                return cli_usage_error("doctor", "\"%s\" is too much", argv[optind]);
        context.user_bus = common.user_bus;
        _cleanup_(doctor_done) Doctor doctor = {};
        Err *err = examine(&doctor, &context);
        if (!err && cli_is_json())
                err = cli_print_json(doctor.findings);
        if (err)
                return cli_fail(err);
        return doctor.has_failure ? EXIT_FAILURE : EXIT_SUCCESS;
}
