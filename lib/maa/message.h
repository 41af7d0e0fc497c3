/* What the messages of one request and one answer have in common: all but the conversation of AttestTpm. Makers give a request that has no Authorization yet;
 * what parses takes the body of an answer that http_response_check_json() let through. base_url is without trailing slash.
 * Sources: the service's REST specification 2020-10-01 (swagger attestation.json), and recorded exchanges. */
#pragma once

#include "base/json.h"
#include "maa/http.h"

#define MAA_API_VERSION_DEFAULT "2020-10-01"

/* METHOD base_url/path?api-version=…; api_version NULL: the default. method is static. */
Err *maa_request_make(const char *method, const char *base_url, const char *path, const char *api_version, HttpRequest *ret) _must_check_;
/* The same with a JSON body. */
Err *maa_request_post_json(const char *base_url, const char *path, const char *api_version, const Json *body, HttpRequest *ret) _must_check_;
/* {"token":"<JWT>"}: the JWT, not validated. Error: SERVICE_ANSWER_INVALID. */
Err *maa_token_answer_parse(Span answer, char **ret_token) _must_check_;

/* AttestTpm as the service's SDKs have it: one message of the caller's making, {"data":"<base64url>"} both ways. Error of the parser: SERVICE_ANSWER_INVALID. */
Err *maa_tpm_message_request(const char *base_url, const char *api_version, Span message, HttpRequest *ret) _must_check_;
Err *maa_tpm_message_parse(Span answer, Bytes *ret_message) _must_check_;
