/* The collector's and the authority's side of enrolling the AIK, as `attestctl aik` needs them. */
#pragma once

#include "base/json.h"
#include "collector/collector.h"

/* What an authority asks for: ek_public, ek_certificate, ek_chain (DER of intermediate authorities, where NV has some), aik_public, aik_name, in base64url. Error: EK_CERTIFICATE_INVALID where there is no certificate and
 * needs_certificate says so. */
Err *aik_exchange_request(Collector *collector, const char *algorithm, bool needs_certificate, Json **ret) _must_check_;
/* credential_blob and encrypted_secret of answer: gives the secret. */
Err *aik_exchange_activate(Collector *collector, const Json *answer, Bytes *ret_secret) _must_check_;
/* certificate of answer: kept by the collector. */
Err *aik_exchange_store(Collector *collector, const Json *answer, Bytes *ret_der) _must_check_;

/* POST of body to instance/path, within timeout_usec. */
typedef struct AikAuthority {
        const char *url, *ca_file;     /* ca_file NULL: the system's trust store */
        uint64_t timeout_usec;
} AikAuthority;
Err *aik_exchange_post(const AikAuthority *authority, const char *path, const Json *body, Json **ret) _must_check_;
