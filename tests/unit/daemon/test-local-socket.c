/* The socket in the file system: whom it lets in, what it replaces and what it leaves alone. */
#include <errno.h>
#include <ftw.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "daemon/local-socket.h"
#include "tests/support/unit.h"

static char folder[64];
static char *path;

static int make_folder(void **state) {
        snprintf(folder, sizeof(folder), "/tmp/test-local-socket-XXXXXX");
        if (!mkdtemp(folder))
                return -1;
        Err *err = string_format(&path, "%s/run/attestd.sock", folder);
        return err ? -1 : 0;
}

static int remove_entry(const char *name, const struct stat *st, int type, struct FTW *ftw) {
        return remove(name);
}

static int remove_folder(void **state) {
        free(path);
        return nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int connect_to(const char *where) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        snprintf(address.sun_path, sizeof(address.sun_path), "%s", where);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0) {
                close(fd);
                return -errno;
        }
        return fd;
}

static void test_local_socket_listen_fresh_everybody_may_connect(void **state) {
        int fd;
        mode_t before = umask(077);
        assert_ok(local_socket_listen(path, &fd));
        umask(before);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0666);
        int client = connect_to(path);
        assert_true(client >= 0);
        close(client);
        local_socket_remove(path, fd);
        assert_int_equal(access(path, F_OK), -1);
        close(fd);
}

static void test_local_socket_listen_stale_is_replaced(void **state) {
        int fd;
        assert_ok(local_socket_listen(path, &fd));
        close(fd); /* as a killed daemon leaves it */
        assert_int_equal(connect_to(path), -ECONNREFUSED);
        assert_ok(local_socket_listen(path, &fd));
        int client = connect_to(path);
        assert_true(client >= 0);
        close(client);
        close(fd);
}

static void test_local_socket_listen_live_is_refused(void **state) {
        int fd, other;
        assert_ok(local_socket_listen(path, &fd));
        Err *err = local_socket_listen(path, &other);
        assert_int_equal(err_code(err), ERR_IO);
        assert_non_null(strstr(err_describe(err), path));
        err_free(err);
        int client = connect_to(path);
        assert_true(client >= 0);
        close(client);
        close(fd);
}

static void test_local_socket_listen_other_file_is_left_alone(void **state) {
        int fd;
        assert_ok(local_socket_listen(path, &fd)); /* makes the folder */
        local_socket_remove(path, fd);
        close(fd);
        assert_ok(file_write_atomic(path, span_from_string("precious"), 0600));
        assert_err(local_socket_listen(path, &fd), ERR_IO);
        _cleanup_bytes_ Bytes content = {};
        assert_ok(file_read(path, 100, &content));
        assert_string_equal((char *) content.data, "precious");
}

static void test_local_socket_listen_long_path_is_refused(void **state) {
        char name[200];
        int fd;
        snprintf(name, sizeof(name), "/tmp/%0150d", 0);
        assert_err(local_socket_listen(name, &fd), ERR_IO);
}

static void test_local_socket_remove_of_another_socket_does_nothing(void **state) {
        _cleanup_free_ char *other = NULL;
        int fd, other_fd;
        assert_ok(string_format(&other, "%s/run/other.sock", folder));
        assert_ok(local_socket_listen(path, &fd));
        assert_ok(local_socket_listen(other, &other_fd));
        local_socket_remove(path, other_fd);
        assert_int_equal(access(path, F_OK), 0);
        close(fd);
        close(other_fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_local_socket_listen_fresh_everybody_may_connect, make_folder, remove_folder),
                cmocka_unit_test_setup_teardown(test_local_socket_listen_stale_is_replaced, make_folder, remove_folder),
                cmocka_unit_test_setup_teardown(test_local_socket_listen_live_is_refused, make_folder, remove_folder),
                cmocka_unit_test_setup_teardown(test_local_socket_listen_other_file_is_left_alone, make_folder, remove_folder),
                cmocka_unit_test_setup_teardown(test_local_socket_listen_long_path_is_refused, make_folder, remove_folder),
                cmocka_unit_test_setup_teardown(test_local_socket_remove_of_another_socket_does_nothing, make_folder, remove_folder),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
