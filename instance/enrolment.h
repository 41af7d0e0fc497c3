/* The instance as a certificate authority of attestation keys. Not part of the real service, where the platform provisions the key.
 *
 *     POST /aik/challenge    {"ek_public": TPMT_PUBLIC, "ek_certificate": DER (others may follow), "aik_public": TPMT_PUBLIC}
 *                            → {"credential_blob": TPM2B_ID_OBJECT, "encrypted_secret": TPM2B_ENCRYPTED_SECRET, "context": text}
 *     POST /aik/certificate  {"context": text, "secret": bytes} → {"certificate": DER, "chain": [DER, …]}
 *
 * Bytes are base64url. The first one is answered if an authority of --trust-ek-ca vouches for the endorsement key, and the attestation key is one; the
 * second one if the secret is the one that only the TPM with both of them can have read. The context is the instance's memory of the first one. */
#pragma once

#include "instance/service.h"

Err *enrolment_handle_challenge(Service *service, const ServiceRequest *request, ServiceReply *reply) _must_check_;
Err *enrolment_handle_certificate(Service *service, const ServiceRequest *request, ServiceReply *reply) _must_check_;
