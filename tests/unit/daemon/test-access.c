/* Who may have tokens: users, groups, and peers of every kind of socket. */
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

#include "daemon/access.h"
#include "tests/support/unit.h"

/* Ids that no user database has. */
#define STRANGER_UID 4123456789u
#define STRANGER_GID 4123456788u

typedef struct Case {
        const char *entries[4];
        uid_t uid;
        gid_t gid;
        gid_t groups[3];
        size_t n_groups;
        bool allowed;
} Case;

static const Case cases[] = {
        { { NULL }, 0, 0, {}, 0, true },                                                            /* root always */
        { { NULL }, STRANGER_UID, STRANGER_GID, {}, 0, false },
        { { "root", "@attestd-no-such-group" }, STRANGER_UID, STRANGER_GID, {}, 0, false },
        { { "attestd-no-such-user" }, STRANGER_UID, STRANGER_GID, {}, 0, false },
        { { "4123456789" }, STRANGER_UID, STRANGER_GID, {}, 0, true },
        { { "@4123456789" }, STRANGER_UID, STRANGER_GID, {}, 0, false },                            /* a gid, not a uid */
        { { "@4123456788" }, STRANGER_UID, STRANGER_GID, {}, 0, true },                             /* primary group */
        { { "@77" }, STRANGER_UID, STRANGER_GID, { 5, 77 }, 2, true },                              /* supplementary group */
        { { "@77" }, STRANGER_UID, STRANGER_GID, { 5, 78 }, 2, false },
        { { "77" }, STRANGER_UID, STRANGER_GID, { 5, 77 }, 2, false },                              /* a uid, not a gid */
        { { "root", "@77", "8" }, 8, STRANGER_GID, {}, 0, true },                                   /* any entry will do */
        { { "@root" }, STRANGER_UID, STRANGER_GID, { 0 }, 1, true },                                /* by name: gid 0 */
        { { "@root" }, STRANGER_UID, STRANGER_GID, { 1 }, 1, false },
        { { "root" }, STRANGER_UID, 0, { 0 }, 1, false },                                           /* root's group is not root */
        { { "" }, STRANGER_UID, STRANGER_GID, {}, 0, false },
        { { "@" }, STRANGER_UID, STRANGER_GID, {}, 0, false },
        { { "4294967295" }, (uid_t) -1, (gid_t) -1, {}, 0, false },                                 /* "no user" never matches */
        { { "@4294967295" }, (uid_t) -1, (gid_t) -1, {}, 0, false },
        { { "99999999999999999999999" }, STRANGER_UID, STRANGER_GID, {}, 0, false },
};

static void test_access_check_by_table(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                const Case *c = &cases[i];
                Config config = { .token_access = (char **) c->entries };
                Caller caller = { .uid = c->uid, .gid = c->gid, .groups = (gid_t *) c->groups, .n_groups = c->n_groups };
                print_message("case %zu\n", i);
                if (c->allowed)
                        assert_ok(access_check(&config, &caller));
                else
                        assert_err(access_check(&config, &caller), ERR_ACCESS_DENIED);
        }
}

static void test_access_check_own_user_allowed(void **state) {
        Config config = {};
        Caller caller = { .uid = geteuid(), .gid = STRANGER_GID };
        assert_ok(access_check(&config, &caller));
}

static void test_access_check_denied_names_uid_and_key(void **state) {
        Config config = {};
        Caller caller = { .uid = STRANGER_UID };
        Err *err = access_check(&config, &caller);
        assert_non_null(strstr(err_describe(err), "4123456789"));
        assert_non_null(strstr(err_describe(err), "TokenAccess="));
        err_free(err);
}

static void test_caller_from_socket_unix_is_ourselves(void **state) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        _cleanup_(caller_done) Caller caller = {};
        assert_ok(caller_from_socket(fds[0], &caller));
        assert_int_equal(caller.uid, geteuid());
        assert_int_equal(caller.gid, getegid());
        gid_t groups[1024];
        int n = getgroups(N_ELEMENTS(groups), groups);
        assert_int_equal(caller.n_groups, n);
        for (int i = 0; i < n; i++)
                assert_int_equal(caller.groups[i], groups[i]);
        close(fds[0]);
        close(fds[1]);
}

static void test_caller_from_socket_tcp_denied(void **state) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        Caller caller = {};
        assert_err(caller_from_socket(fd, &caller), ERR_ACCESS_DENIED);
        close(fd);
}

static void test_caller_from_uid_root_has_group_root(void **state) {
        _cleanup_(caller_done) Caller caller = {};
        assert_ok(caller_from_uid(0, &caller));
        assert_int_equal(caller.uid, 0);
        assert_int_equal(caller.gid, 0);
        assert_true(caller.n_groups >= 1);
}

static void test_caller_from_uid_unknown_has_no_group(void **state) {
        _cleanup_(caller_done) Caller caller = {};
        assert_ok(caller_from_uid(STRANGER_UID, &caller));
        assert_int_equal(caller.uid, STRANGER_UID);
        assert_int_equal(caller.gid, (gid_t) -1);
        assert_int_equal(caller.n_groups, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_access_check_by_table),
                cmocka_unit_test(test_access_check_own_user_allowed),
                cmocka_unit_test(test_access_check_denied_names_uid_and_key),
                cmocka_unit_test(test_caller_from_socket_unix_is_ourselves),
                cmocka_unit_test(test_caller_from_socket_tcp_denied),
                cmocka_unit_test(test_caller_from_uid_root_has_group_root),
                cmocka_unit_test(test_caller_from_uid_unknown_has_no_group),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
