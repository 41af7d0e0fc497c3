/* See store.h. The file is one JSON object; it is ours, so anything odd in it means: not ours, drop it. */
#include "daemon/store.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"

#define STORE_FILE_MAX (2u << 20) /* a token of 1 MiB and what stands around it */
#define STORE_VERSION 2

void stored_token_done(StoredToken *stored) {
        free(stored->token);
        free(stored->request_key);
        *stored = (StoredToken) {};
}

static Err *store_path(const char *directory, const char *profile, char **ret) {
        return string_format(ret, "%s/tokens/%s.json", directory, profile);
}

static Err *store_make_folder(const char *directory) {
        _cleanup_free_ char *folder = NULL;
        TRY(string_format(&folder, "%s/tokens", directory));
        if (mkdir(folder, 0700) < 0 && errno != EEXIST)
                return err_new_errno(ERR_STORE_FAILED, errno, "creating %s", folder);
        return NULL;
}

static Err *key_to_json(const StoreKey *key, Json *json) {
        TRY(json_add_integer(json, "version", STORE_VERSION));
        TRY(json_add_string(json, "profile", key->profile));
        TRY(json_add_string(json, "instance", key->instance));
        TRY(json_add_string(json, "terms", key->terms));
        TRY(json_add_string(json, "boot_id", key->boot_id));
        TRY(json_add_integer(json, "reset_count", key->reset_count));
        TRY(json_add_integer(json, "restart_count", key->restart_count));
        return json_add_hex(json, "aik_name", key->aik_name);
}

Err *store_write(const char *directory, const StoreKey *key, const StoredToken *token) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        _cleanup_json_ Json *json = NULL;
        TRY(store_make_folder(directory));
        TRY(store_path(directory, key->profile, &path));
        TRY(json_new_object(&json));
        TRY(key_to_json(key, json));
        TRY(json_add_string(json, "token", token->token));
        TRY(json_add_string(json, "request_key", token->request_key));
        TRY(json_add_integer(json, "issued_usec", (int64_t) token->issued_usec));
        TRY(json_add_integer(json, "expires_usec", (int64_t) token->expires_usec));
        TRY(json_to_string(json, &text));
        return err_wrap_code(ERR_STORE_FAILED, file_write_atomic(path, span_from_string(text), 0600), "keeping the token of profile %s", key->profile);
}

static bool member_is(const Json *stored, const Json *wanted, const char *member) {
        return json_object_equal(json_get(stored, member), json_get(wanted, member));
}

/* What in the stored key differs from the wanted one, or NULL. */
static Err *find_difference(const Json *stored, const StoreKey *key, const char **ret_reason) {
        static const struct { const char *member, *reason; } checks[] = {
                { "version", "it was written by another version" },
                { "profile", "it belongs to another profile" },
                { "instance", "it comes from another instance" },
                { "terms", "the configuration asks for another kind of token" },
                { "boot_id", "the machine was rebooted" },
                { "reset_count", "the TPM was reset" },
                { "restart_count", "the TPM was restarted" },
                { "aik_name", "the attestation key changed" },
        };
        _cleanup_json_ Json *wanted = NULL;
        TRY(json_new_object(&wanted));
        TRY(key_to_json(key, wanted));
        *ret_reason = NULL;
        for (size_t i = 0; i < N_ELEMENTS(checks) && !*ret_reason; i++)
                if (!member_is(stored, wanted, checks[i].member))
                        *ret_reason = checks[i].reason;
        return NULL;
}

static Err *token_from_json(const Json *json, StoredToken *ret) {
        const char *token, *request_key;
        int64_t issued, expires;
        TRY(json_get_string(json, "token", &token));
        TRY(json_get_string(json, "request_key", &request_key));
        TRY(json_get_integer(json, "issued_usec", &issued));
        TRY(json_get_integer(json, "expires_usec", &expires));
        _cleanup_free_ char *token_copy = NULL, *key_copy = NULL;
        TRY(string_copy(token, &token_copy));
        TRY(string_copy(request_key, &key_copy));
        *ret = (StoredToken) {
                .token = steal_ptr(&token_copy),
                .request_key = steal_ptr(&key_copy),
                .issued_usec = issued < 0 ? 0 : (uint64_t) issued,
                .expires_usec = expires < 0 ? 0 : (uint64_t) expires,
        };
        return NULL;
}

Err *store_read(const char *directory, const StoreKey *key, StoredToken *ret, const char **ret_reason) {
        _cleanup_free_ char *path = NULL;
        _cleanup_bytes_ Bytes content = {};
        _cleanup_json_ Json *json = NULL;
        *ret_reason = NULL;
        TRY(store_path(directory, key->profile, &path));
        if (access(path, F_OK) < 0 && errno == ENOENT)
                return NULL;
        TRY(err_wrap_code(ERR_STORE_FAILED, file_read(path, STORE_FILE_MAX, &content), "reading the kept token of profile %s", key->profile));
        Err *err = json_parse(bytes_span(&content), path, &json);
        if (!err)
                err = find_difference(json, key, ret_reason);
        if (!err && !*ret_reason)
                err = token_from_json(json, ret);
        if (err)
                *ret_reason = "it does not parse";
        err_free(err);
        return *ret_reason ? store_remove(directory, key->profile) : NULL;
}

Err *store_remove(const char *directory, const char *profile) {
        _cleanup_free_ char *path = NULL;
        TRY(store_path(directory, profile, &path));
        if (unlink(path) < 0 && errno != ENOENT)
                return err_new_errno(ERR_STORE_FAILED, errno, "removing %s", path);
        return NULL;
}

static bool is_unfinished(const char *name) {
        const char *suffix = strstr(name, ".json.");
        return suffix && suffix[strlen(".json.")] != 0;
}

Err *store_clean(const char *directory) {
        _cleanup_free_ char *folder = NULL;
        TRY(string_format(&folder, "%s/tokens", directory));
        DIR *stream = opendir(folder);
        if (!stream)
                return errno == ENOENT ? NULL : err_new_errno(ERR_STORE_FAILED, errno, "opening %s", folder);
        Err *err = NULL;
        for (struct dirent *entry; !err && (entry = readdir(stream));)
                if (is_unfinished(entry->d_name) && unlinkat(dirfd(stream), entry->d_name, 0) < 0)
                        err = err_new_errno(ERR_STORE_FAILED, errno, "removing %s/%s", folder, entry->d_name);
        closedir(stream);
        return err;
}

Err *store_boot_id(char **ret) {
        _cleanup_bytes_ Bytes text = {};
        TRY(file_read("/proc/sys/kernel/random/boot_id", 64, &text));
        while (text.size > 0 && text.data[text.size - 1] == '\n')
                text.size--;
        return string_copy_span(bytes_span(&text), ret);
}
