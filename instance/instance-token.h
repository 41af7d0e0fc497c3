/* Tokens about everything but TPMs: results of the administration, and of enclaves.
 *
 * As recorded: header {alg,jku,kid,typ} and claims, both in alphabetical order, minified; signed with the instance's self-signed key, whose kid is
 * among /certs; nbf = iat. Under a draft policy alg is none and the third part empty, while jku and kid stay. */
#pragma once

#include "instance/identity.h"
#include "base/json.h"

/* A copy with the members of every object in alphabetical order. */
Err *json_sorted_copy(const Json *json, Json **ret) _must_check_;

/* claims: an object, to which exp, iat, iss and nbf are added; lifetime in seconds. */
Err *instance_token_make(const Identity *identity, Json *claims, int64_t now_sec, uint64_t lifetime_sec, bool is_signed, char **ret) _must_check_;
