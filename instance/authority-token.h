/* What the files of the token authority share; everybody else includes authority.h. */
#pragma once

#include "instance/authority.h"

#define AUTHORITY_REMEMBERED_MAX 1024

/* An assertion that was used. */
typedef struct AuthorityUse {
        uint8_t digest[32];          /* SHA-256 of client id, NUL, jti */
        int64_t expires_sec;
} AuthorityUse;

struct Authority {
        const Identity *identity;
        const Applications *applications;
        char *kid;
        AuthorityUse uses[AUTHORITY_REMEMBERED_MAX];
        size_t n_uses;               /* of all time: the next goes to n_uses % AUTHORITY_REMEMBERED_MAX */
};
