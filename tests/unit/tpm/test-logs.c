/* tpm/logs: copies of files in every condition. */
#include "tests/support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "tpm/logs.h"

static char directory[] = "/tmp/attestd-test-logs.XXXXXX";
static char path[64];

static int set_up(void **state) {
        if (!mkdtemp(directory))
                return -1;
        snprintf(path, sizeof(path), "%s/log", directory);
        return 0;
}

static int tear_down(void **state) {
        unlink(path);
        return rmdir(directory);
}

static void write_log(const char *text) {
        assert_ok(file_write_atomic(path, span_from_string(text), 0600));
}

static void append_log(const char *text) {
        int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t) strlen(text));
        close(fd);
}

static void assert_copy(LogFile *file, const char *expected) {
        _cleanup_log_copy_ LogCopy copy = LOG_COPY_NONE;
        assert_ok(log_copy_take(file, &copy));
        assert_int_equal(copy.state, LOG_STATE_OK);
        assert_null(copy.reason);
        assert_int_equal(copy.content.size, strlen(expected));
        assert_memory_equal(copy.content.data, expected, copy.content.size);
}

static void assert_state(LogFile *file, LogState expected) {
        _cleanup_log_copy_ LogCopy copy = LOG_COPY_NONE;
        assert_ok(log_copy_take(file, &copy));
        assert_int_equal(copy.state, expected);
        assert_int_equal(copy.fd, -1);
        assert_int_equal(copy.content.size, 0);
        assert_int_equal(copy.reason != NULL, expected != LOG_STATE_OFF);
        if (copy.reason)
                assert_non_null(strstr(copy.reason, file->path));
}

static void test_copy_take_growing_file_is_read_from_its_head(void **state) {
        _cleanup_(log_file_done) LogFile file = LOG_FILE_NONE;
        write_log("first");
        assert_ok(log_file_init(EVIDENCE_LOG_IMA, path, false, &file));
        assert_copy(&file, "first");
        append_log(" second");
        assert_copy(&file, "first second");
        assert_false(file.was_reopened);
}

static void test_copy_take_ima_list_is_read_on(void **state) {
        _cleanup_(log_file_done) LogFile file = LOG_FILE_NONE;
        _cleanup_log_copy_ LogCopy first = LOG_COPY_NONE, second = LOG_COPY_NONE;
        write_log("first");
        assert_ok(log_file_init(EVIDENCE_LOG_IMA, path, false, &file));
        assert_ok(log_copy_take(&file, &first));
        assert_false(first.is_continued);
        append_log(" second");
        assert_ok(log_copy_take(&file, &second));
        assert_true(second.is_continued);
        assert_int_equal(file.n_read, strlen("first second"));   /* each byte once */
        assert_int_equal(first.content.size, strlen("first"));
        assert_memory_equal(first.content.data, "first", first.content.size);
        log_file_forget(&file);
        assert_copy(&file, "first second");
        assert_memory_equal(second.content.data, "first second", second.content.size);   /* outlives what it was shared from */
}

static void test_copy_take_ima_list_cut_or_overwritten_is_read_anew(void **state) {
        _cleanup_(log_file_done) LogFile file = LOG_FILE_NONE;
        _cleanup_close_ int fd = -1;
        write_log("first");
        assert_ok(log_file_init(EVIDENCE_LOG_IMA, path, false, &file));
        assert_copy(&file, "first");
        fd = open(path, O_WRONLY | O_CLOEXEC);
        assert_int_equal(ftruncate(fd, 2), 0);
        assert_copy(&file, "fi");
        assert_int_equal(pwrite(fd, "other", 5, 0), 5);
        assert_copy(&file, "other");
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_state(&file, LOG_STATE_EMPTY);
        assert_int_equal(pwrite(fd, "back", 4, 0), 4);
        assert_copy(&file, "back");
}

static void test_copy_take_ima_list_nobody_can_change_it(void **state) {
        _cleanup_(log_file_done) LogFile file = LOG_FILE_NONE;
        _cleanup_log_copy_ LogCopy copy = LOG_COPY_NONE;
        char self[32];
        write_log("bytes");
        assert_ok(log_file_init(EVIDENCE_LOG_IMA, path, false, &file));
        assert_ok(log_copy_take(&file, &copy));
        snprintf(self, sizeof(self), "/proc/self/fd/%d", copy.fd);
        _cleanup_close_ int again = open(self, O_RDWR | O_CLOEXEC);
        const int fds[] = { copy.fd, again };
        for (size_t i = 0; i < N_ELEMENTS(fds); i++) {
                assert_true(fds[i] >= 0);
                assert_int_equal(pwrite(fds[i], "x", 1, 0), -1);
                assert_int_equal(ftruncate(fds[i], 0), -1);
                assert_int_equal(fallocate(fds[i], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
                assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0), MAP_FAILED);
                assert_int_equal(fcntl(fds[i], F_ADD_SEALS, 0), -1);
        }
}

static void test_copy_take_replaced_file_is_opened_again(void **state) {
        _cleanup_(log_file_done) LogFile file = LOG_FILE_NONE;
        write_log("first");
        assert_ok(log_file_init(EVIDENCE_LOG_IMA, path, false, &file));
        assert_copy(&file, "first");
        write_log("other");
        assert_copy(&file, "other");
        assert_true(file.was_reopened);
        assert_int_equal(unlink(path), 0);
        assert_state(&file, LOG_STATE_MISSING);
        write_log("third");
        assert_copy(&file, "third");
}

static void test_copy_take_is_sealed(void **state) {
        _cleanup_(log_file_done) LogFile file = LOG_FILE_NONE;
        _cleanup_log_copy_ LogCopy copy = LOG_COPY_NONE;
        write_log("bytes");
        assert_ok(log_file_init(EVIDENCE_LOG_TCG, path, false, &file));
        assert_ok(log_copy_take(&file, &copy));
        assert_int_equal(pwrite(copy.fd, "x", 1, 0), -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(ftruncate(copy.fd, 0), -1);
        assert_int_equal(fcntl(copy.fd, F_ADD_SEALS, 0), -1);
}

static void test_copy_take_bad_files_have_their_state(void **state) {
        static const struct {
                const char *path;
                LogState expected;
        } cases[] = {
                { "/nonexistent/log", LOG_STATE_MISSING },
                { "/dev/null/log", LOG_STATE_MISSING },
                { "/dev/null", LOG_STATE_EMPTY },
                { "/", LOG_STATE_UNREADABLE },
                { "/proc/self/mem", LOG_STATE_UNREADABLE },   /* nothing is mapped at address 0 */
                { "/dev/zero", LOG_STATE_TOO_LARGE },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(log_file_done) LogFile file = LOG_FILE_NONE;
                assert_ok(log_file_init(EVIDENCE_LOG_TCG, cases[i].path, false, &file));
                assert_state(&file, cases[i].expected);
                assert_state(&file, cases[i].expected);
        }
}

static void test_copy_take_off_is_never_opened(void **state) {
        _cleanup_(log_file_done) LogFile file = LOG_FILE_NONE;
        write_log("bytes");
        assert_ok(log_file_init(EVIDENCE_LOG_TCG, path, true, &file));
        assert_int_equal(file.fd, -1);
        assert_state(&file, LOG_STATE_OFF);
}

static void test_state_to_error_each_state_has_its_code(void **state) {
        static const struct {
                LogState log_state;
                ErrCode tcg, ima;
        } cases[] = {
                { LOG_STATE_OFF, ERR_NONE, ERR_NONE },
                { LOG_STATE_OK, ERR_NONE, ERR_NONE },
                { LOG_STATE_MISSING, ERR_LOG_MISSING, ERR_LOG_MISSING },
                { LOG_STATE_EMPTY, ERR_LOG_EMPTY, ERR_LOG_EMPTY },
                { LOG_STATE_UNREADABLE, ERR_LOG_UNREADABLE, ERR_LOG_UNREADABLE },
                { LOG_STATE_MALFORMED, ERR_EVENTLOG_MALFORMED, ERR_IMA_MALFORMED },
                { LOG_STATE_TRUNCATED, ERR_LOG_TRUNCATED, ERR_LOG_TRUNCATED },
                { LOG_STATE_TRIMMED, ERR_IMA_TRIMMED, ERR_IMA_TRIMMED },
                { LOG_STATE_MISMATCH, ERR_EVENTLOG_MISMATCH, ERR_IMA_MISMATCH },
                { LOG_STATE_TOO_LARGE, ERR_LOG_TOO_LARGE, ERR_LOG_TOO_LARGE },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                const LogFile tcg = { .type = EVIDENCE_LOG_TCG }, ima = { .type = EVIDENCE_LOG_IMA };
                assert_err(log_state_to_error(cases[i].log_state, &tcg, "reason"), cases[i].tcg);
                assert_err(log_state_to_error(cases[i].log_state, &ima, "reason"), cases[i].ima);
        }
        assert_int_equal(N_ELEMENTS(cases), _LOG_STATE_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_copy_take_growing_file_is_read_from_its_head),
                cmocka_unit_test(test_copy_take_ima_list_is_read_on),
                cmocka_unit_test(test_copy_take_ima_list_cut_or_overwritten_is_read_anew),
                cmocka_unit_test(test_copy_take_ima_list_nobody_can_change_it),
                cmocka_unit_test(test_copy_take_replaced_file_is_opened_again),
                cmocka_unit_test(test_copy_take_is_sealed),
                cmocka_unit_test(test_copy_take_bad_files_have_their_state),
                cmocka_unit_test(test_copy_take_off_is_never_opened),
                cmocka_unit_test(test_state_to_error_each_state_has_its_code),
        };
        return cmocka_run_group_tests(tests, set_up, tear_down);
}
