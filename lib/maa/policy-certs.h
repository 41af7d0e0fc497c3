/* Policy management certificates, whose owners may set policies of an isolated instance: GET certificates, POST certificates:add, POST certificates:remove.
 *
 * A change is a JWS {"alg","x5c"} . {"policyCertificate":{"kty":…,"x5c":["<certificate>"]}}, signed by one who is in the list already, and is sent as a JSON string.
 * Sources: REST specification 2020-10-01; recorded exchanges. */
#pragma once

#include "maa/policy-admin.h"

typedef enum MaaCertificateChange { MAA_CERTIFICATE_ADD, MAA_CERTIFICATE_REMOVE } MaaCertificateChange;

Err *maa_policy_certs_list_request(const char *base_url, const char *api_version, HttpRequest *ret) _must_check_;
/* The list out of the claims of that answer's token; it may be empty. Error: TOKEN_CLAIM_INVALID. */
Err *maa_policy_certs_from_claims(const Json *claims, JwkSet **ret) _must_check_;

/* What is signed: the JWS that asks for the change. Errors: those of maa_signer_sign(), and NOT_SUPPORTED for a certificate whose key is neither RSA nor EC. */
Err *maa_policy_certs_token(X509 *certificate, const MaaSigner *signer, char **ret) _must_check_;
Err *maa_policy_certs_change_request(const char *base_url, const char *api_version, MaaCertificateChange change, const char *token, HttpRequest *ret) _must_check_;
/* Do the claims of the answer's token say that it is done, for this certificate? Errors: TOKEN_CLAIM_INVALID, SERVICE_ANSWER_INVALID. */
Err *maa_policy_certs_check_change(const Json *claims, MaaCertificateChange change, X509 *certificate) _must_check_;
/* Upper case hex of the SHA-1 of the DER, as the service names certificates. */
Err *maa_certificate_thumbprint(X509 *certificate, char **ret) _must_check_;
