/* The endorsement key: which there are, with their certificates, and what a certificate authority asks of one.
 *
 * TCG EK Credential Profile for TPM 2.0, 2.5 §2.2: an endorsement key comes from a template by TPM2_CreatePrimary. NV indices have its
 * certificate, and in the low range a template and a nonce (part of the template's unique field) where a manufacturer deviates from the
 * default ones. A key that is persistent already is used where it is the certificate's; nothing is made persistent. */
#pragma once

#include "tpm/context.h"

#include "base/bytes.h"

typedef enum EndorsementAlgorithm {
        ENDORSEMENT_AUTO,        /* the first with a certificate, RSA before ECC */
        ENDORSEMENT_RSA,
        ENDORSEMENT_ECC,         /* P-256 or P-384 */
} EndorsementAlgorithm;
/* "auto", "rsa", "ecc". Error: INVALID_ARGUMENT. */
Err *endorsement_algorithm_from_string(const char *text, EndorsementAlgorithm *ret) _must_check_;

typedef struct EndorsementKey {
        TpmObject object;
        Bytes public;            /* TPMT_PUBLIC */
        Bytes certificate;       /* DER; empty if there is none */
        Bytes chain;             /* DER of intermediate authorities, one behind the other; empty if there is none, and of a key for activation */
        char *notice;            /* why there is no chain though NV has something; else NULL */
        char *origin;            /* "0x81010001", or "template rsa-2048" */
        uint16_t name_alg;
        bool with_policy;        /* wants PolicySecret of the endorsement hierarchy rather than its own empty password */
} EndorsementKey;
#define ENDORSEMENT_KEY_NONE { .object = TPM_OBJECT_NONE }
void endorsement_key_done(EndorsementKey *key);
#define _cleanup_endorsement_key_ _cleanup_(endorsement_key_done)

/* Leaves an object in the TPM until endorsement_key_done(). A certificate for another key than the template gives is EK_CERTIFICATE_INVALID.
 * Other errors: NOT_SUPPORTED if the TPM has no key of that algorithm, those of the TPM. */
Err *endorsement_key_load(TpmContext *context, EndorsementAlgorithm algorithm, EndorsementKey *ret) _must_check_;
/* The one that a TPM2B_ENCRYPTED_SECRET is meant for, told by its form. Error: CREDENTIAL_ACTIVATION_FAILED if it has none, and those above. */
Err *endorsement_key_load_for(TpmContext *context, Span encrypted_secret, EndorsementKey *ret) _must_check_;

/* TPM2_ActivateCredential (Part 3 §12.5) of a TPM2B_ID_OBJECT and a TPM2B_ENCRYPTED_SECRET for the loaded aik. Errors:
 * CREDENTIAL_ACTIVATION_FAILED if they are for another key or name, those of the TPM. */
Err *endorsement_key_activate(const EndorsementKey *key, ESYS_TR aik, Span id_object, Span encrypted_secret, Bytes *ret_secret) _must_check_;
