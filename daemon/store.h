/* Tokens on disk: $RUNTIME_DIRECTORY/tokens/PROFILE.json, 0600, whole or not at all. They survive a restart of the service and not a reboot, a clone or a
 * restore: each carries the key of its validity (boot id, TPM reset and restart count, AIK name, instance, terms, request key), and one that differs is dropped. */
#pragma once

#include "base/bytes.h"

typedef struct StoreKey {
        const char *profile;
        const char *instance;
        const char *terms;           /* what was asked for and by which rules it was believed, as one text */
        const char *boot_id;         /* /proc/sys/kernel/random/boot_id */
        uint32_t reset_count, restart_count;
        Span aik_name;
} StoreKey;

typedef struct StoredToken {
        char *token;
        char *request_key;           /* JWK text of the public part */
        uint64_t issued_usec, expires_usec;
} StoredToken;
void stored_token_done(StoredToken *stored);

Err *store_write(const char *directory, const StoreKey *key, const StoredToken *token) _must_check_;
/* ret->token stays NULL if there is none or its key differs (the file is removed then, *ret_reason says why: static text or NULL). */
Err *store_read(const char *directory, const StoreKey *key, StoredToken *ret, const char **ret_reason) _must_check_;
Err *store_remove(const char *directory, const char *profile) _must_check_;
/* Removes what writers that were killed left behind: unfinished temporary files. Nothing there is no error. */
Err *store_clean(const char *directory) _must_check_;
/* Content of /proc/sys/kernel/random/boot_id without the newline; free() it. */
Err *store_boot_id(char **ret) _must_check_;
