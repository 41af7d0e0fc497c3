/* See bus-json.h. */
#include "cli/bus-json.h"

#include <inttypes.h>
#include <stdio.h>

#define KEY_SIZE 32

static Err *read_error(int r) {
        return err_new_errno(ERR_BUS_FAILED, r, "reading a D-Bus message");
}

static Err *made(Json *json, Json **ret) {
        if (!json)
                return err_oom();
        *ret = json;
        return NULL;
}

static Err *read_number(sd_bus_message *message, char type, Json **ret) {
        union {
                uint8_t y;
                int16_t n;
                uint16_t q;
                int32_t i;
                uint32_t u;
                int64_t x;
                uint64_t t;
                double d;
                int b;
        } value = {};
        int r = sd_bus_message_read_basic(message, type, &value);
        if (r <= 0)
                return read_error(r);
        switch (type) {
        case SD_BUS_TYPE_BYTE:
                return made(json_object_new_int64(value.y), ret);
        case SD_BUS_TYPE_BOOLEAN:
                return made(json_object_new_boolean(value.b), ret);
        case SD_BUS_TYPE_INT16:
                return made(json_object_new_int64(value.n), ret);
        case SD_BUS_TYPE_UINT16:
                return made(json_object_new_int64(value.q), ret);
        case SD_BUS_TYPE_INT32:
                return made(json_object_new_int64(value.i), ret);
        case SD_BUS_TYPE_UINT32:
                return made(json_object_new_int64(value.u), ret);
        case SD_BUS_TYPE_INT64:
                return made(json_object_new_int64(value.x), ret);
        case SD_BUS_TYPE_UINT64:
                return made(json_object_new_uint64(value.t), ret);
        case SD_BUS_TYPE_DOUBLE:
                return made(json_object_new_double(value.d), ret);
        default:
                return err_new(ERR_BUS_FAILED, "a D-Bus value of type '%c' has no form in JSON", type);
        }
}

static Err *read_string(sd_bus_message *message, char type, Json **ret) {
        const char *text;
        int r = sd_bus_message_read_basic(message, type, &text);
        return r <= 0 ? read_error(r) : made(json_object_new_string(text), ret);
}

/* The key of a dictionary entry as text. */
static Err *read_key(sd_bus_message *message, char **ret) {
        _cleanup_json_ Json *key = NULL;
        TRY(bus_json_read(message, &key));
        return string_copy(json_object_get_string(key), ret);
}

static Err *read_entry(sd_bus_message *message, Json *object) {
        _cleanup_free_ char *key = NULL;
        const char *contents;
        Json *value;
        int r = sd_bus_message_peek_type(message, NULL, &contents);
        if (r > 0)
                r = sd_bus_message_enter_container(message, SD_BUS_TYPE_DICT_ENTRY, contents);
        if (r <= 0)
                return read_error(r);
        TRY(read_key(message, &key));
        TRY(bus_json_read(message, &value));
        TRY(json_add(object, key, value));
        r = sd_bus_message_exit_container(message);
        return r < 0 ? read_error(r) : NULL;
}

static Err *read_dictionary(sd_bus_message *message, Json *object) {
        int r;
        while ((r = sd_bus_message_at_end(message, /* complete= */ false)) == 0)
                TRY(read_entry(message, object));
        return r < 0 ? read_error(r) : NULL;
}

static Err *read_elements(sd_bus_message *message, Json *array) {
        int r;
        while ((r = sd_bus_message_at_end(message, /* complete= */ false)) == 0) {
                Json *value;
                TRY(bus_json_read(message, &value));
                TRY(json_append(array, value));
        }
        return r < 0 ? read_error(r) : NULL;
}

static Err *read_container(sd_bus_message *message, char type, const char *contents, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        bool is_dictionary = type == SD_BUS_TYPE_ARRAY && contents[0] == SD_BUS_TYPE_DICT_ENTRY_BEGIN;
        TRY(is_dictionary ? json_new_object(&json) : json_new_array(&json));
        int r = sd_bus_message_enter_container(message, type, contents);
        if (r <= 0)
                return read_error(r);
        TRY(is_dictionary ? read_dictionary(message, json) : read_elements(message, json));
        r = sd_bus_message_exit_container(message);
        if (r < 0)
                return read_error(r);
        *ret = steal_ptr(&json);
        return NULL;
}

static Err *read_variant(sd_bus_message *message, const char *contents, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        int r = sd_bus_message_enter_container(message, SD_BUS_TYPE_VARIANT, contents);
        if (r <= 0)
                return read_error(r);
        TRY(bus_json_read(message, &json));
        r = sd_bus_message_exit_container(message);
        if (r < 0)
                return read_error(r);
        *ret = steal_ptr(&json);
        return NULL;
}

Err *bus_json_read(sd_bus_message *message, Json **ret) {
        const char *contents;
        char type;
        int r = sd_bus_message_peek_type(message, &type, &contents);
        if (r < 0)
                return read_error(r);
        if (r == 0)
                return err_new(ERR_BUS_FAILED, "a D-Bus message ends too early");
        switch (type) {
        case SD_BUS_TYPE_STRING:
        case SD_BUS_TYPE_OBJECT_PATH:
        case SD_BUS_TYPE_SIGNATURE:
                return read_string(message, type, ret);
        case SD_BUS_TYPE_ARRAY:
        case SD_BUS_TYPE_STRUCT:
                return read_container(message, type, contents, ret);
        case SD_BUS_TYPE_VARIANT:
                return read_variant(message, contents, ret);
        default:
                return read_number(message, type, ret);
        }
}

/* ["",""] -> null, [code, message] -> {"code":…,"message":…} */
static Err *shape_error(Json *steal_pair, Json **ret) {
        _cleanup_json_ Json *pair = steal_pair, *error = NULL;
        *ret = NULL;
        if (!json_is_array(pair) || json_object_array_length(pair) != 2)
                return err_new(ERR_BUS_FAILED, "LastError is not of the type (ss)");
        const char *code = json_object_get_string(json_object_array_get_idx(pair, 0));
        if (!code || !*code)
                return NULL;
        TRY(json_new_object(&error));
        TRY(json_add_string(error, "code", code));
        TRY(json_add_string(error, "message", json_object_get_string(json_object_array_get_idx(pair, 1))));
        *ret = steal_ptr(&error);
        return NULL;
}

Err *bus_json_read_properties(sd_bus_message *message, Json *object) {
        _cleanup_json_ Json *properties = NULL;
        TRY(bus_json_read(message, &properties));
        if (!json_is_object(properties))
                return err_new(ERR_BUS_FAILED, "properties are not of the type a{sv}");
        json_object_object_foreach(properties, name, borrowed) {
                Json *value = json_object_get(borrowed);
                if (string_equal(name, "LastError"))
                        TRY(shape_error(value, &value));
                if (json_object_object_add(object, name, value) < 0) {
                        json_unref(value);
                        return err_oom();
                }
        }
        return NULL;
}
