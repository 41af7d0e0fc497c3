/* D-Bus values as JSON, and D-Bus errors as ours. The messages are made by sd-bus itself, on a connection that leads nowhere. */
#include <errno.h>
#include <sys/socket.h>

#include "cli/bus-json.h"
#include "cli/daemon-client.h"
#include "tests/support/unit.h"

static sd_bus *bus;
static int far_end = -1;

static int set_up(void **state) {
        int fds[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 || sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, fds[0], fds[0]) < 0 ||
            sd_bus_start(bus) < 0)
                return -1;
        far_end = fds[1];
        return 0;
}

static int tear_down(void **state) {
        bus = sd_bus_close_unref(bus);
        fd_closep(&far_end);
        return 0;
}

static sd_bus_message *new_message(void) {
        sd_bus_message *message = NULL;
        assert_true(sd_bus_message_new_signal(bus, &message, "/a", "a.b", "C") >= 0);
        return message;
}

static void seal(sd_bus_message *message) {
        assert_true(sd_bus_message_seal(message, 1, 0) >= 0);
}

static void assert_json(const Json *json, const char *expected) {
        _cleanup_free_ char *text = NULL;
        assert_ok(json_to_string(json, &text));
        assert_string_equal(text, expected);
}

static void test_bus_json_read_keeps_every_type(void **state) {
        _cleanup_bus_message_ sd_bus_message *message = new_message();
        _cleanup_json_ Json *json = NULL;
        assert_true(sd_bus_message_append(message, "(sobynqiuxtg)", "text", "/path", 1, 255, -2, 65535, -3, 4294967295u, INT64_MIN, UINT64_MAX, "a{sv}") >= 0);
        seal(message);
        assert_ok(bus_json_read(message, &json));
        assert_json(json, "[\"text\",\"/path\",true,255,-2,65535,-3,4294967295,-9223372036854775808,18446744073709551615,\"a{sv}\"]");
}

static void test_bus_json_read_turns_dictionaries_into_objects(void **state) {
        _cleanup_bus_message_ sd_bus_message *message = new_message();
        _cleanup_json_ Json *json = NULL;
        assert_true(sd_bus_message_append(message, "a{sv}", 3, "Map", "a{us}", 2, 0, "replayed", 10, "unexplained", "List", "as", 2, "a", "b", "Nested", "v",
                                          "i", 7) >= 0);
        seal(message);
        assert_ok(bus_json_read(message, &json));
        assert_json(json, "{\"Map\":{\"0\":\"replayed\",\"10\":\"unexplained\"},\"List\":[\"a\",\"b\"],\"Nested\":7}");
}

static void test_bus_json_read_beyond_the_end_fails(void **state) {
        _cleanup_bus_message_ sd_bus_message *message = new_message();
        Json *json = NULL;
        seal(message);
        assert_err(bus_json_read(message, &json), ERR_BUS_FAILED);
}

static void test_bus_json_read_properties_shapes_last_error(void **state) {
        _cleanup_bus_message_ sd_bus_message *first = new_message(), *second = new_message(), *wrong = new_message();
        _cleanup_json_ Json *json = NULL;
        assert_true(sd_bus_message_append(first, "a{sv}", 2, "LastError", "(ss)", "TpmAbsent", "no TPM", "State", "s", "failed") >= 0);
        assert_true(sd_bus_message_append(second, "a{sv}", 1, "LastError", "(ss)", "", "") >= 0);
        assert_true(sd_bus_message_append(wrong, "a{sv}", 1, "LastError", "s", "x") >= 0);
        seal(first);
        seal(second);
        seal(wrong);
        assert_ok(json_new_object(&json));
        assert_ok(bus_json_read_properties(first, json));
        assert_json(json, "{\"LastError\":{\"code\":\"TpmAbsent\",\"message\":\"no TPM\"},\"State\":\"failed\"}");
        assert_ok(bus_json_read_properties(second, json));
        assert_json(json, "{\"LastError\":null,\"State\":\"failed\"}");
        assert_err(bus_json_read_properties(wrong, json), ERR_BUS_FAILED);
}

static void test_daemon_error_maps_names_and_numbers(void **state) {
        static const struct {
                const char *name;
                int r;
                ErrCode code;
        } cases[] = {
                { "org.attestd1.Error.TokenExpired", 0, ERR_TOKEN_EXPIRED },
                { "org.attestd1.Error.NoSuchProfile", -EIO, ERR_NO_SUCH_PROFILE },
                { "org.attestd1.Error.OfANewerVersion", -EIO, ERR_INTERNAL },
                { "org.freedesktop.DBus.Error.ServiceUnknown", -EHOSTUNREACH, ERR_NOT_RUNNING },
                { "org.freedesktop.DBus.Error.NoReply", -EIO, ERR_NOT_RUNNING },
                { "org.freedesktop.DBus.Error.AccessDenied", -EACCES, ERR_ACCESS_DENIED },
                { "org.freedesktop.DBus.Error.UnknownMethod", -EBADR, ERR_BUS_FAILED },
                { "org.freedesktop.DBus.Error.NoReply", -ETIMEDOUT, ERR_TIMEOUT },
                { NULL, -ETIMEDOUT, ERR_TIMEOUT },
                { NULL, -ECONNRESET, ERR_NOT_RUNNING },
                { NULL, -EBADMSG, ERR_BUS_FAILED },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                const sd_bus_error error = { cases[i].name, "why", 0 };
                assert_err(daemon_error(cases[i].name ? &error : NULL, cases[i].r), cases[i].code);
        }
}

static void test_property_getters_have_defaults(void **state) {
        _cleanup_json_ Json *json = NULL;
        assert_ok(json_parse(span_from_string("{\"s\":\"x\",\"b\":true,\"n\":7,\"m\":-7}"), "the case", &json));
        assert_string_equal(property_string(json, "s"), "x");
        assert_string_equal(property_string(json, "n"), "");
        assert_string_equal(property_string(json, "absent"), "");
        assert_true(property_boolean(json, "b"));
        assert_false(property_boolean(json, "s"));
        assert_int_equal(property_u64(json, "n"), 7);
        assert_int_equal(property_u64(json, "m"), 0);
        assert_int_equal(property_i64(json, "m"), -7);
        assert_int_equal(property_i64(json, "s"), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bus_json_read_keeps_every_type),
                cmocka_unit_test(test_bus_json_read_turns_dictionaries_into_objects),
                cmocka_unit_test(test_bus_json_read_beyond_the_end_fails),
                cmocka_unit_test(test_bus_json_read_properties_shapes_last_error),
                cmocka_unit_test(test_daemon_error_maps_names_and_numbers),
                cmocka_unit_test(test_property_getters_have_defaults),
        };
        return cmocka_run_group_tests(tests, set_up, tear_down);
}
