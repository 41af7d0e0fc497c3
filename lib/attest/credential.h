/* Access tokens for the service, where it wants them: from a token authority (Microsoft Entra), from the machine's metadata service, or from a file. */
#pragma once

#include "client.h"

ATTEST_BEGIN

typedef struct AttestCredential AttestCredential;

/* Files are read whenever a token is asked for; white space at their ends is no part of what they hold. Error: InvalidArgument if one of the texts that a kind needs
 * is NULL or empty. */
AttestError *attest_credential_new_client_secret(const char *tenant, const char *client_id, const char *secret_file, AttestCredential **ret) ATTEST_MUST_CHECK;
/* PEM, RSA or EC; key_file NULL: the key is in certificate_file too (RFC 7523 section 2.2). */
AttestError *attest_credential_new_client_certificate(const char *tenant, const char *client_id, const char *certificate_file, const char *key_file,
                                                      AttestCredential **ret) ATTEST_MUST_CHECK;
/* token_file: the platform's own token, such as a Kubernetes service account's. */
AttestError *attest_credential_new_workload_identity(const char *tenant, const char *client_id, const char *token_file, AttestCredential **ret) ATTEST_MUST_CHECK;
/* Of an Azure VM (http://169.254.169.254), unless one of the endpoints below is set. */
AttestError *attest_credential_new_managed_identity(AttestCredential **ret) ATTEST_MUST_CHECK;
/* Somebody else keeps an access token in the file. */
AttestError *attest_credential_new_token_file(const char *token_file, AttestCredential **ret) ATTEST_MUST_CHECK;
AttestCredential *attest_credential_free(AttestCredential *credential);

/* NULL: the default. A change drops the token at hand. */
AttestError *attest_credential_set_authority(AttestCredential *credential, const char *url) ATTEST_MUST_CHECK;   /* https://login.microsoftonline.com */
AttestError *attest_credential_set_scope(AttestCredential *credential, const char *scope) ATTEST_MUST_CHECK;     /* https://attest.azure.net/.default */
/* Which one of several managed identities; one of the three at most. */
AttestError *attest_credential_set_identity(AttestCredential *credential, const char *client_id, const char *object_id, const char *resource_id) ATTEST_MUST_CHECK;
AttestError *attest_credential_set_imds_url(AttestCredential *credential, const char *url) ATTEST_MUST_CHECK;
/* App Service ($IDENTITY_ENDPOINT, $IDENTITY_HEADER); Azure Arc ($IDENTITY_ENDPOINT) where header is NULL. */
AttestError *attest_credential_set_identity_endpoint(AttestCredential *credential, const char *endpoint, const char *header) ATTEST_MUST_CHECK;
/* All pauses between the requests for one token together; default 90 s, because a metadata service that is being updated asks for 70 s of patience. */
void attest_credential_set_budget_usec(AttestCredential *credential, uint64_t budget_usec);

/* Gives client an authorization, as attest_client_set_authorization() does. Asks for a token over the network (with client's CA, proxy, timeouts and progress;
 * a metadata service goes past the proxy) unless one is at hand that is good for a while: so to be called before each call that needs one. Errors:
 * CredentialFailed if it was refused, ConfigInvalid, Service…, Cancelled. */
AttestError *attest_credential_authorize(AttestCredential *credential, AttestClient *client) ATTEST_MUST_CHECK;
/* The same before each call of client that can need it, and attest_credential_forget() after one that ends with ServiceUnauthorized, so that the next one asks anew.
 * credential has to outlive that, and may serve several clients of one thread; NULL: no more, and no authorization is left. */
AttestError *attest_client_set_credential(AttestClient *client, AttestCredential *credential) ATTEST_MUST_CHECK;
/* Drops the token at hand: the service did not want it (ServiceUnauthorized). */
void attest_credential_forget(AttestCredential *credential);

ATTEST_END
