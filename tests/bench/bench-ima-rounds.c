/* What a round costs that finds some new entries on a long IMA list, compared with the first round, in the same run and without a TPM: reading the list and searching
 * it for the prefix that a made-up quote of PCR 10 is about.
 *
 * bench-ima-rounds [ENTRIES] [NEW]   prints both times, the bytes that were read, and the ratio; fails where the ratio is beyond RATIO_MAX. */
#include "tests/support/unit.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "base/writer.h"
#include "tcg/ima-match.h"
#include "tpm/logs.h"

#define RATIO_MAX 0.1
#define ROUNDS 5

static double now_sec(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double) now.tv_sec + (double) now.tv_nsec * 1e-9;
}

/* Template ima-ng, as in ima.h. */
static void put_entry(Writer *out, uint64_t number) {
        _cleanup_writer_ Writer data = {};
        _cleanup_free_ char *name = NULL;
        Digest file, entry;
        assert_ok(string_format(&name, number == 0 ? "boot_aggregate" : "/usr/lib/x86_64-linux-gnu/lib%llu.so", (unsigned long long) number));
        assert_ok(hash_digest(HASH_SHA256, span_make(&number, sizeof(number)), &file));
        writer_u32le(&data, 8 + 32);
        writer_span(&data, span_make("sha256:", 8));
        writer_span(&data, digest_span(&file));
        writer_u32le(&data, (uint32_t) strlen(name) + 1);
        writer_span(&data, span_make(name, strlen(name) + 1));
        assert_ok(hash_digest(HASH_SHA1, bytes_span(&data.output), &entry));
        writer_u32le(out, PCR_IMA);
        writer_span(out, digest_span(&entry));
        writer_u32le(out, 6);
        writer_string(out, "ima-ng");
        writer_u32le(out, (uint32_t) data.output.size);
        writer_span(out, bytes_span(&data.output));
}

typedef struct Bench {
        int fd;
        uint64_t n_entries;
        ImaReplay truth;     /* of the whole list: what the TPM would hold */
        LogFile file;
        ImaReplay replay;    /* as the collector keeps it */
} Bench;

static void append(Bench *bench, uint64_t n) {
        _cleanup_writer_ Writer out = {};
        _cleanup_bytes_ Bytes text = {};
        ImaList list;
        ImaEntry entry;
        bool more;
        for (uint64_t i = 0; i < n; i++)
                put_entry(&out, bench->n_entries++);
        assert_ok(writer_finish(&out, &text));
        assert_int_equal(write(bench->fd, text.data, text.size), (ssize_t) text.size);
        assert_ok(ima_list_open(bytes_span(&text), 20, &list));
        for (;;) {
                assert_ok(ima_list_next(&list, &entry, &more));
                if (!more)
                        return;
                assert_ok(ima_replay_entry(&bench->truth, &entry));
        }
}

static double run_round(Bench *bench) {
        PcrValues values = { .n_banks = 1, .banks[0] = { .alg = HASH_SHA256, .mask = UINT32_C(1) << PCR_IMA } };
        TpmAttest attest = { .selection = pcr_values_selection(&values) };
        _cleanup_log_copy_ LogCopy copy = LOG_COPY_NONE;
        Digest digest;
        ImaMatch match;
        values.banks[0].values[PCR_IMA] = bench->truth.values[0];
        assert_ok(pcr_values_digest(&values, &attest.selection, HASH_SHA256, &digest));
        attest.pcr_digest = digest_span(&digest);
        double begin = now_sec();
        assert_ok(log_copy_take(&bench->file, &copy));
        assert_ok(ima_match_prefix(copy.content, &bench->replay, &values, &attest, HASH_SHA256, &match));
        double seconds = now_sec() - begin;
        assert_int_equal(match.replay.n_entries, bench->n_entries);
        bench->replay = match.replay;
        return seconds;
}

int main(int argc, char **argv) {
        uint64_t n_entries = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000, n_new = argc > 2 ? strtoull(argv[2], NULL, 10) : 100;
        char path[] = P_tmpdir "/attestd-bench-ima.XXXXXX";
        Bench bench = { .fd = mkostemp(path, O_CLOEXEC), .truth = ima_replay_start((uint16_t[]) { HASH_SHA256 }, 1), .file = LOG_FILE_NONE };
        assert_true(bench.fd >= 0 && n_entries > 0 && n_new > 0);
        append(&bench, n_entries);
        assert_ok(log_file_init(EVIDENCE_LOG_IMA, path, false, &bench.file));
        double first = run_round(&bench), best = 1e9;
        uint64_t n_read = bench.file.n_read;
        for (unsigned i = 0; i < ROUNDS; i++) {
                append(&bench, n_new);
                double seconds = run_round(&bench);
                best = MIN_OF(best, seconds);
        }
        printf("an IMA list of %llu entries: first round %.2f ms, %llu bytes read; a round with %llu new ones %.3f ms, %llu bytes; ratio %.4f\n",
               (unsigned long long) n_entries, first * 1e3, (unsigned long long) n_read, (unsigned long long) n_new, best * 1e3,
               (unsigned long long) ((bench.file.n_read - n_read) / ROUNDS), best / first);
        log_file_done(&bench.file);
        close(bench.fd);
        unlink(path);
        return best / first > RATIO_MAX;
}
