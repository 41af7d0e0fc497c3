/* GET /certs and GET /.well-known/openid-configuration, in the recorded form. */
#pragma once

#include "instance/forge.h"
#include "instance/identity.h"

/* Members of each key: x5c, kid, kty and no others. The weak key of forger is listed if it exists. */
Err *metadata_certs(const Identity *identity, const Forger *forger, char **ret) _must_check_;
Err *metadata_openid(const Identity *identity, char **ret) _must_check_;
