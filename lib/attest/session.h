/* TPM attestation in its rounds (Microsoft's "TPM and VBS enclave attestation protocol", version 2): ask for a challenge, have it answered by the caller's TPM,
 * send the evidence, judge the token that comes. The whole conversation is one call; the TPM is behind callbacks. */
#pragma once

#include "client.h"
#include "evidence.h"

ATTEST_BEGIN

typedef struct AttestSession AttestSession;

/* Called in the thread of attest_session_run(), one at a time; may block. An error ends the conversation, and is consumed. */
typedef struct AttestTpmCallbacks {
        /* A quote over qualifying_data, as its extraData, to be put into evidence with all that belongs to it. challenge is what a request key in the TPM is to be
         * certified over; it matters with attest_session_use_tpm_key() alone. */
        AttestError *(*quote)(void *userdata, const void *qualifying_data, size_t qualifying_size, const void *challenge, size_t challenge_size,
                              AttestEvidence *evidence);
        /* With attest_session_use_tpm_key(): signs a SHA-256 digest with the request key, RSASSA-PSS with a salt of 32 bytes. *size is the room in
         * signature first, then what was taken of it. Else NULL. */
        AttestError *(*sign)(void *userdata, const uint8_t digest[32], void *signature, size_t *size);
        /* With attest_session_use_tpm_key(), after quote: TPM2_Certify over challenge by the key that made the quote, of the request key and of others, to be put into
         * evidence. NULL: quote does it, or had it done. */
        AttestError *(*certify)(void *userdata, const void *challenge, size_t challenge_size, AttestEvidence *evidence);
        void *reserved[5]; /* NULL */
} AttestTpmCallbacks;

AttestError *attest_session_new(AttestClient *client, AttestSession **ret) ATTEST_MUST_CHECK;   /* the client must outlive it */
AttestSession *attest_session_free(AttestSession *session);

/* What a relying party gave so that it can tell the token from older ones: 1 to 1024 bytes. Default: 32 random ones. */
AttestError *attest_session_set_nonce(AttestSession *session, const void *nonce, size_t size) ATTEST_MUST_CHECK;
AttestError *attest_session_set_relying_party(AttestSession *session, const char *id) ATTEST_MUST_CHECK;
AttestError *attest_session_add_custom_claim(AttestSession *session, const char *name, const char *value) ATTEST_MUST_CHECK;
/* The key that the token will be bound to (cnf, RFC 7800) is one in the TPM, and comes with the evidence. Default: one in memory, new for each session. */
void attest_session_use_tpm_key(AttestSession *session, bool yes);

/* May be called again, for the next token. Errors: those of the network (Service…, Timeout), of the callbacks, Quote… where the evidence does not hold,
 * Token… where the token does not; Cancelled. */
AttestError *attest_session_run(AttestSession *session, const AttestTpmCallbacks *callbacks, void *userdata, AttestToken **ret) ATTEST_MUST_CHECK;

/* After a run: the private key in memory that the token is bound to, as PEM (PKCS #8), the caller's, a secret. Error: NotSupported of a key in the TPM,
 * NoToken before a run. */
AttestError *attest_session_get_key(const AttestSession *session, char **ret) ATTEST_MUST_CHECK;

ATTEST_END
