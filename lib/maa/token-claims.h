/* The token rules about claims, for token.c alone. */
#pragma once

#include "maa/token.h"

/* iss → exp → nbf → iat → nonce → cnf → policy hash → required claims. */
Err *token_check_claims(const Json *claims, const TokenRules *rules) _must_check_;
/* A member that is an object, or a JSON object as a string (TPM tokens carry x-ms-policy and x-ms-tpm-request-key so). NULL in ret: neither. */
Err *token_inner_object(const Json *claims, const char *member, Json **ret) _must_check_;
