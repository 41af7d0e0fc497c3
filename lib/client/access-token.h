/* The answers of those who hand out access tokens, and what they say about the token's life.
 *
 *     token authority   {"token_type":"Bearer","expires_in":3599,"access_token":"…"}                    RFC 6749 §5.1
 *     IMDS, Arc         {"access_token":"…","expires_in":"86399","expires_on":"1700000000",…}           numbers are strings
 *     App Service       {"access_token":"…","expires_on":"1700000000",…}
 *     refusals          {"error":"invalid_client","error_description":"AADSTS7000215: …",…}             RFC 6749 §5.2
 *
 * The life is read from expires_in, else from expires_on: a number, a number in a string, or for expires_on a date (RFC 3339, RFC 9110). An absolute end is
 * taken relative to the answer's own Date where it has one, so that a wrong clock here does not make a good token look old. */
#pragma once

#include "maa/http.h"

#define ACCESS_TOKEN_SIZE_MAX 65536u              /* ours; real ones have 1 to 3 kB */
#define ACCESS_TOKEN_LIFE_SEC_MAX (366 * 86400)   /* ours: more is taken for this */
#define ACCESS_TOKEN_MARGIN_SEC 120               /* a token that ends sooner is not sent any more, as with the service's own SDKs */

typedef enum AccessTokenSource { ACCESS_TOKEN_OF_AUTHORITY, ACCESS_TOKEN_OF_MANAGED_IDENTITY } AccessTokenSource;

typedef struct AccessToken {
        char *authorization;      /* "Bearer …"; overwritten when freed */
        uint64_t refresh_sec;     /* realtime: from then on a new one is wanted */
        uint64_t expires_sec;     /* realtime */
} AccessToken;
void access_token_done(AccessToken *token);
#define _cleanup_access_token_ _cleanup_(access_token_done)

/* An answer of any status. refresh_sec is by refresh_in, else half the life of a managed identity's token of 2 h and more, else 5 min (or half the life,
 * if that is less) before the end. Errors: CREDENTIAL_FAILED for refusals, with the answer's own words; SERVICE_THROTTLED and SERVICE_UNAVAILABLE with
 * Retry-After for 429, 408 and 5xx, and for 404 and 410 of a metadata service; SERVICE_ANSWER_INVALID. All have the HTTP status as native code, if it is no 2xx. */
Err *access_token_parse(const HttpResponse *response, AccessTokenSource source, uint64_t now_sec, AccessToken *ret) _must_check_;
/* "Bearer " and the text without white space around it, if that can be a token (RFC 6750 §2.1: b64token). what names it. Error: CREDENTIAL_FAILED. */
Err *access_token_authorization(Span text, const char *what, char **ret) _must_check_;
