/* An instance of the service, and how to reach it. Nothing goes over the network before a call that says so. */
#pragma once

#include "rules.h"

ATTEST_BEGIN

typedef struct AttestClient AttestClient;

/* url: https://host[:port][/path]. Error: ConfigInvalid says what is wrong with it. */
AttestError *attest_client_new(const char *url, AttestClient **ret) ATTEST_MUST_CHECK;
AttestClient *attest_client_free(AttestClient *client);

const char *attest_client_get_url(const AttestClient *client);            /* as tokens have it in iss */
AttestError *attest_client_set_api_version(AttestClient *client, const char *version) ATTEST_MUST_CHECK;   /* default 2020-10-01 */
/* PEM file, or directory as of c_rehash(1), of the authorities that the server is checked by; default: the system's. Read at each call. */
AttestError *attest_client_set_ca_file(AttestClient *client, const char *path) ATTEST_MUST_CHECK;
AttestError *attest_client_set_ca_path(AttestClient *client, const char *path) ATTEST_MUST_CHECK;
/* "http://host:port"; NULL, the default: none. $https_proxy and the like are not read. */
AttestError *attest_client_set_proxy(AttestClient *client, const char *proxy) ATTEST_MUST_CHECK;
/* Of a connection, and of a request with its answer; defaults 10 s and 60 s. */
void attest_client_set_timeouts_usec(AttestClient *client, uint64_t connect_usec, uint64_t request_usec);
/* Of a whole call with all its requests, tries and pauses: Timeout when it is over, and what cannot be over by then is not begun. 0, the default: as long as the others
 * allow. Callbacks of the caller's are not interrupted. */
void attest_client_set_deadline_usec(AttestClient *client, uint64_t call_usec);
/* What fails on its way to the service or there (408, 429, 5xx) is tried again, n_tries times in all (0 and 1: not at all), after growing pauses that are drawn
 * at random and are no shorter than the service asks for, total_usec of pauses at most. Default: 4 and 60 s. An attestation begins anew each time. */
void attest_client_set_retry(AttestClient *client, unsigned n_tries, uint64_t total_usec);
/* The first pause is drawn from 0 to first_usec, each further one from twice as much, up to longest_usec. Default: 0.8 s and 60 s. */
void attest_client_set_retry_delays_usec(AttestClient *client, uint64_t first_usec, uint64_t longest_usec);
/* Sent as Authorization, such as "Bearer …"; NULL, the default: none. Erased from memory when it goes. */
AttestError *attest_client_set_authorization(AttestClient *client, const char *authorization) ATTEST_MUST_CHECK;
/* Asked before each step of a call, of which state ("send", "quote", "report", "sign", "wait") is the name, and while it sends or waits again and again, at least each
 * second: false ends the call with Cancelled. */
void attest_client_set_progress(AttestClient *client, bool (*callback)(void *userdata, const char *state), void *userdata);

/* By these every token is judged that a call brings. The client's; the issuer is the instance. Without keys of the caller's own the instance is asked for
 * its keys each time. */
AttestRules *attest_client_get_rules(AttestClient *client);
/* The calls from now on judge by these instead, which have to outlive them; NULL: by the client's own again. Where they have no issuer it is the instance. */
void attest_client_use_rules(AttestClient *client, const AttestRules *rules);

/* GET URL/.well-known/openid-configuration (OpenID Connect Discovery 1.0 section 3). Error: ServiceAnswerInvalid where a member is of another type. */
typedef struct AttestMetadata AttestMetadata;
AttestError *attest_client_get_openid_metadata(AttestClient *client, AttestMetadata **ret) ATTEST_MUST_CHECK;
AttestMetadata *attest_metadata_free(AttestMetadata *metadata);
const char *attest_metadata_get_json(const AttestMetadata *metadata);              /* all of it, as JSON text */
const char *attest_metadata_get_issuer(const AttestMetadata *metadata);            /* told, not believed: tokens are compared with the client's URL */
const char *attest_metadata_get_keys_url(const AttestMetadata *metadata);          /* jwks_uri */
const char *attest_metadata_get_revocation_url(const AttestMetadata *metadata);    /* NULL if absent */
/* NULL-terminated; empty if absent. */
const char *const *attest_metadata_get_response_types(const AttestMetadata *metadata);
const char *const *attest_metadata_get_algorithms(const AttestMetadata *metadata); /* that tokens may be signed with */
const char *const *attest_metadata_get_claims(const AttestMetadata *metadata);     /* that tokens may have */

/* GET URL/certs: the certificates and keys that tokens may be signed by. */
typedef struct AttestSigners AttestSigners;
AttestError *attest_client_get_signing_certificates(AttestClient *client, AttestSigners **ret) ATTEST_MUST_CHECK;
AttestSigners *attest_signers_free(AttestSigners *signers);
size_t attest_signers_count(const AttestSigners *signers);
/* NULL from count on, or if absent. Certificates are PEM, the signer's first; the key is a JWK (RFC 7517), public. */
const char *attest_signers_get_key_id(const AttestSigners *signers, size_t index);
const char *attest_signers_get_certificates(const AttestSigners *signers, size_t index);
const char *attest_signers_get_key(const AttestSigners *signers, size_t index);

/* AttestTpm as the service's SDKs have it (REST specification 2020-10-01, AttestTpm): one message of the caller's making, and the service's, which is the caller's,
 * for free(3). Nothing in it is judged; AttestSession holds the whole conversation. A message that spends a challenge is better not tried again: see
 * attest_client_set_retry(). */
AttestError *attest_client_attest_tpm(AttestClient *client, const void *message, size_t size, void **ret_answer, size_t *ret_size) ATTEST_MUST_CHECK;

/* A token of this instance, by the client's rules, with the instance's keys of now. */
AttestError *attest_client_validate_token(AttestClient *client, const char *text, AttestToken **ret) ATTEST_MUST_CHECK;

ATTEST_END
