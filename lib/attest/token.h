/* A token of the service: a JSON Web Token (RFC 7519) in compact form. */
#pragma once

#include "error.h"

ATTEST_BEGIN

typedef struct AttestToken AttestToken;

/* Parses text (NUL-terminated; white space at its ends is ignored) and believes nothing: attest_rules_validate() does that. Errors: TokenParts,
 * TokenMalformed, TokenTruncated, TokenDuplicateMember, TokenAlgNotAllowed. */
AttestError *attest_token_parse(const char *text, AttestToken **ret) ATTEST_MUST_CHECK;
AttestToken *attest_token_free(AttestToken *token);

bool attest_token_is_validated(const AttestToken *token);
/* NULL-terminated: the checks that rules left out ("expiry", …; see attest_rules_skip_check()). Empty of a token that was only parsed. */
const char *const *attest_token_get_skipped_checks(const AttestToken *token);

const char *attest_token_get_text(const AttestToken *token);      /* the compact form: secret where whoever has it is believed */
const char *attest_token_get_header(const AttestToken *token);    /* JSON object */
/* Members of the header that most are asked for; NULL if absent. */
const char *attest_token_get_algorithm(const AttestToken *token); /* "RS256" */
const char *attest_token_get_key_id(const AttestToken *token);
/* The third part, raw, of *ret_size bytes: 0 of an unsigned one. What it signs is the text before the last dot. */
const void *attest_token_get_signature(const AttestToken *token, size_t *ret_size);
const char *attest_token_get_claims(const AttestToken *token);    /* JSON object; JSON that TPM tokens carry as strings (x-ms-policy …) is shown as JSON */
const char *attest_token_get_issuer(const AttestToken *token);    /* NULL if absent, as the next three */
const char *attest_token_get_id(const AttestToken *token);        /* jti */
const char *attest_token_get_subject(const AttestToken *token);
const char *attest_token_get_audience(const AttestToken *token);  /* NULL too where it is a list: see attest_token_get_claim() */
uint64_t attest_token_get_issued_sec(const AttestToken *token);   /* seconds since 1970, as the next two; 0 if absent */
uint64_t attest_token_get_not_before_sec(const AttestToken *token);
uint64_t attest_token_get_expires_sec(const AttestToken *token);
/* Who signed, of a validated token: certificates in PEM, the signer's first; "" where the key came without one. NULL of a token that was only parsed. */
const char *attest_token_get_signer(const AttestToken *token);
/* A member of the header as JSON text, the caller's. *ret is NULL if there is none. Error: NoMemory. */
AttestError *attest_token_get_header_member(const AttestToken *token, const char *name, char **ret) ATTEST_MUST_CHECK;
/* The claim's value as JSON text, the caller's; top level first, then inside x-ms-policy. *ret is NULL if there is none. Error: NoMemory. */
AttestError *attest_token_get_claim(const AttestToken *token, const char *name, char **ret) ATTEST_MUST_CHECK;

ATTEST_END
