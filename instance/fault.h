/* Misbehaviour on request: which faults are switched on, and for how many answers.
 *
 * A specification is [WHERE:]NAME[=VALUE][@N|@Ns]. WHERE limits it to one kind of answer (certs, openid, init, request, authority, imds); @N limits it
 * to the next N answers that it touches, @Ns to N seconds from the first of them on. A client that meets every one of these with a named error, and none with a belief, is a good client. */
#pragma once

#include <stdio.h>

#include "base/bytes.h"

/* Kinds of answers; a bit each. */
typedef enum FaultWhere {
        FAULT_AT_CERTS = 1,
        FAULT_AT_OPENID = 2,
        FAULT_AT_INIT = 4,      /* attest/Tpm answered with a challenge */
        FAULT_AT_REQUEST = 8,   /* attest/Tpm answered with a report */
        FAULT_AT_OTHER = 16,
        FAULT_AT_AUTHORITY = 32,
        FAULT_AT_IMDS = 64,
        FAULT_ANYWHERE = 127,
} FaultWhere;

typedef enum FaultName {
        FAULT_TOKEN,
        FAULT_STATUS,
        FAULT_RETRY_AFTER,
        FAULT_RETRY_AFTER_DATE,
        FAULT_LATENCY,
        FAULT_MALFORMED_JSON,
        FAULT_DUPLICATE_MEMBER,
        FAULT_MISSING_MEMBER,
        FAULT_WRONG_TYPE,
        FAULT_OVERSIZED,
        FAULT_TRUNCATED_BODY,
        FAULT_DEEP_JSON,
        FAULT_BAD_BASE64,
        FAULT_WRONG_CHALLENGE_SIZE,
        FAULT_NO_POLICY,
        FAULT_CLOCK_OFFSET,
        FAULT_RESET,
        FAULT_ROTATE_KEYS,
        FAULT_CHUNKED,
        FAULT_CONTINUE_LATENCY,
        FAULT_EXPECTATION_FAILED,
        _FAULT_NAME_MAX,
} FaultName;

/* Ways to forge a token. */
typedef enum Forgery {
        FORGERY_NONE,
        FORGERY_ALG_NONE,
        FORGERY_HS256,
        FORGERY_WRONG_KEY,
        FORGERY_UNKNOWN_KID,
        FORGERY_EXPIRED,
        FORGERY_NOT_YET_VALID,
        FORGERY_ISSUED_IN_FUTURE,
        FORGERY_WRONG_ISSUER,
        FORGERY_WRONG_NONCE,
        FORGERY_WRONG_CNF,
        FORGERY_WRONG_POLICY_HASH,
        FORGERY_TAMPERED,
        FORGERY_DUPLICATE_ALG,
        FORGERY_FOREIGN_JKU,
        FORGERY_FOREIGN_X5U,
        FORGERY_FOREIGN_X5C,
        FORGERY_EMBEDDED_JWK,
        FORGERY_CRIT,
        FORGERY_EXTRA_PART,
        FORGERY_TRUNCATED,
        FORGERY_WEAK_KEY,
        _FORGERY_MAX,
} Forgery;

#define FAULTS_MAX 32

typedef struct Fault {
        FaultName name;
        unsigned where;    /* set of FaultWhere */
        int64_t value;     /* Forgery, HTTP status, seconds or milliseconds, as name has it */
        uint64_t left;     /* answers still to be spoilt; UINT64_MAX: all */
        uint64_t for_usec; /* how long from the first answer on; 0: no matter */
        uint64_t end_usec; /* when that is over; 0: it has not begun */
} Fault;

typedef struct Faults {
        Fault list[FAULTS_MAX];
        size_t n;
        uint64_t now_usec; /* monotonic: of the request that is being answered */
} Faults;

/* One specification. Error: INVALID_ARGUMENT naming the part that is wrong. */
Err *fault_parse(Span text, Fault *ret) _must_check_;
/* Appends one. Errors: those of fault_parse(); LIMIT_EXCEEDED above FAULTS_MAX. */
Err *faults_add(Faults *faults, Span text) _must_check_;
/* A list separated by blanks, commas or line ends; empty: no faults. Nothing is changed on error. */
Err *faults_replace(Faults *faults, Span text) _must_check_;
/* Is this fault to happen now? Counts it, if so. ret_value may be NULL. */
bool fault_take(Faults *faults, FaultName name, FaultWhere where, int64_t *ret_value);
/* The forgery for the next token, counted; FORGERY_NONE if there is none. */
Forgery fault_take_forgery(Faults *faults, FaultWhere where);
/* "token=expired@2", for display. */
Err *fault_to_string(const Fault *fault, char **ret) _must_check_;
/* The part of --help that names them all. */
void fault_print_help(FILE *file);
