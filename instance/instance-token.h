/* Tokens about everything but TPMs: results of the administration, and of enclaves.
 *
 * As recorded: header {alg,jku,kid,typ} and claims, both in alphabetical order, minified; signed with the instance's self-signed key, whose kid is
 * among /certs; nbf = iat. Under a draft policy alg is none and the third part empty, while jku and kid stay. */
#pragma once

#include "instance/identity.h"
#include "base/json.h"

/* The steps of a token: claims get exp, iat, iss and nbf (lifetime in seconds); a header {alg,jku,kid,typ}; both become text in order, and are signed
 * with key (RS256), or not at all where it is NULL. */
Err *instance_token_add_times(const Identity *identity, Json *claims, int64_t now_sec, uint64_t lifetime_sec) _must_check_;
Err *instance_token_header(const Identity *identity, bool is_signed, Json **ret) _must_check_;
Err *instance_token_sign(const Json *header, const Json *claims, EVP_PKEY *key, char **ret) _must_check_;
