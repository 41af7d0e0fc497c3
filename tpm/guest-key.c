/* See guest-key.h. TPM 2.0 Part 3 §24.1 (TPM2_CreatePrimary), §18.2 (TPM2_Certify), §23.7 (TPM2_PolicyPCR), §14.3 (TPM2_RSA_Decrypt). */
#include "tpm/guest-key.h"

#include "tpm/pcr.h"
#include "tpm/quote.h"
#include "tpm/request-key.h"

#define DECRYPTIONS_MAX 5

static const TPM2B_PUBLIC template = {
        .publicArea = {
                .type = TPM2_ALG_RSA,
                .nameAlg = TPM2_ALG_SHA256,
                .objectAttributes = TPMA_OBJECT_DECRYPT | TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                    TPMA_OBJECT_NODA,
                .parameters.rsaDetail = {
                        .symmetric.algorithm = TPM2_ALG_NULL,
                        .scheme.scheme = TPM2_ALG_NULL,
                        .keyBits = GUEST_KEY_BITS,
                        .exponent = 0,   /* the default one */
                },
                .unique.rsa.size = GUEST_KEY_BITS / 8,   /* zeros; the key is derived from their number too */
        },
};

/* ret_public: NULL, or gets the TPMT_PUBLIC. */
static Err *create(TpmContext *context, const PcrValues *values, TpmObject *ret_object, Bytes *ret_public) {
        _cleanup_tpm_object_ TpmObject object = { .context = context, .handle = ESYS_TR_NONE };
        _cleanup_free_ TPM2B_PUBLIC *public = NULL;
        const TPM2B_SENSITIVE_CREATE sensitive = {};
        const TPM2B_DATA outside = {};
        const TPML_PCR_SELECTION pcrs = {};
        TPM2B_PUBLIC wanted = template;
        Digest policy;
        TRY(pcr_values_policy(values, &policy));   /* not by a trial session: it is about what was quoted, whatever the PCRs do meanwhile */
        wanted.publicArea.authPolicy.size = policy.size;
        for (size_t i = 0; i < policy.size; i++)
                wanted.publicArea.authPolicy.buffer[i] = policy.bytes[i];
        TRY(TPM_CALL(context, "TPM2_CreatePrimary of the guest key",
                     Esys_CreatePrimary(context->esys, ESYS_TR_RH_NULL, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &wanted, &outside,
                                        &pcrs, &object.handle, &public, NULL, NULL, NULL)));
        if (ret_public)
                TRY(quote_public_from_tss(&public->publicArea, ERR_KEY_INVALID, ret_public));
        *ret_object = object;
        object = (TpmObject) TPM_OBJECT_NONE;
        return NULL;
}

/* The key's password is empty and opens it to its ADMIN role, which is TPM2_Certify's, since adminWithPolicy is clear (Part 1 §19.7). */
Err *guest_key_certify(TpmContext *context, ESYS_TR aik, Span aik_public, const PcrValues *values, EvidenceKey *ret) {
        _cleanup_tpm_object_ TpmObject object = TPM_OBJECT_NONE;
        _cleanup_bytes_ Bytes public = {};
        TRY(create(context, values, &object, &public));
        return key_certify(context, aik, aik_public, object.handle, bytes_span(&public), /* qualifying= */ (Span) {}, ret);
}

static Err *begin_policy(TpmContext *context, const PcrValues *values, TpmObject *ret) {
        const PcrSelection selection = pcr_values_selection(values);
        const TPML_PCR_SELECTION pcrs = tpm_pcr_selection_to_tss(&selection);
        const TPM2B_DIGEST current = {};   /* empty: the TPM takes the values that there are */
        TRY(tpm_policy_session_start(context, TPM2_ALG_SHA256, ret));
        return TPM_CALL(context, "TPM2_PolicyPCR",
                        Esys_PolicyPCR(context->esys, ret->handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &current, &pcrs));
}

static Err *take_plaintext(const TPM2B_PUBLIC_KEY_RSA *output, Bytes *ret) {
        if (output->size > GUEST_KEY_PLAINTEXT_MAX)
                return err_new(ERR_TPM_COMMAND_FAILED, "TPM2_RSA_Decrypt gave %u bytes, at most %d are possible", output->size, GUEST_KEY_PLAINTEXT_MAX);
        return bytes_copy(span_make(output->buffer, output->size), ret);
}

static TSS2_RC rc_of(const Err *err) {
        int64_t rc = 0;
        return err_native(err, &rc) == ERR_DOMAIN_TSS ? (TSS2_RC) rc : TSS2_RC_SUCCESS;
}

/* Padding, size or number are wrong (Part 3 §14.3); libtpms says which without a parameter's number. */
static bool is_about_ciphertext(TSS2_RC rc) {
        return tpm_rc_is_refusal(rc) || tpm_rc_base(rc) == TPM2_RC_SIZE || tpm_rc_base(rc) == TPM2_RC_VALUE;
}

static Err *decrypt_once(TpmContext *context, ESYS_TR object, const PcrValues *values, const TPM2B_PUBLIC_KEY_RSA *input, Bytes *ret) {
        const TPMT_RSA_DECRYPT scheme = { .scheme = TPM2_ALG_RSAES };
        const TPM2B_DATA label = {};
        _cleanup_tpm_object_ TpmObject session = { .context = context, .handle = ESYS_TR_NONE };
        _cleanup_free_ TPM2B_PUBLIC_KEY_RSA *output = NULL;
        TRY(begin_policy(context, values, &session));
        Err *err = TPM_CALL(context, "TPM2_RSA_Decrypt",
                            Esys_RSA_Decrypt(context->esys, object, session.handle, ESYS_TR_NONE, ESYS_TR_NONE, input, &scheme, &label, &output));
        if (is_about_ciphertext(rc_of(err)))
                return err_wrap_code(ERR_KEY_INVALID, err, "the ciphertext is not for the key that the TPM has now, or was changed");
        TRY(err);
        err = take_plaintext(output, ret);
        explicit_bzero(output, sizeof(*output));
        return err;
}

/* A policy session with PCRs in it ends when any PCR moves, PCR 10 of a busy machine among them (Part 3 §23.7, pcrUpdateCounter): the next one may do. */
static Err *decrypt(TpmContext *context, ESYS_TR object, const PcrValues *values, const TPM2B_PUBLIC_KEY_RSA *input, Bytes *ret) {
        for (unsigned n = 1;; n++) {
                Err *err = decrypt_once(context, object, values, input, ret);
                if (tpm_rc_base(rc_of(err)) != TPM2_RC_PCR_CHANGED)
                        return err;
                if (n == DECRYPTIONS_MAX)
                        return err_wrap_code(ERR_TPM_PCR_UNSTABLE, err, "PCRs moved during each of %d decryptions", DECRYPTIONS_MAX);
                err_free(err);
        }
}

Err *guest_key_decrypt(TpmContext *context, const PcrValues *values, Span ciphertext, Bytes *ret_plaintext) {
        _cleanup_tpm_object_ TpmObject object = TPM_OBJECT_NONE;
        TPM2B_PUBLIC_KEY_RSA input = { .size = (UINT16) ciphertext.size };
        _Static_assert(sizeof(input.buffer) >= GUEST_KEY_CIPHERTEXT_MAX, "there is room");
        if (ciphertext.size == 0 || ciphertext.size > GUEST_KEY_CIPHERTEXT_MAX)
                return err_new(ERR_INVALID_ARGUMENT, "the ciphertext has %zu bytes, 1 to %d are possible", ciphertext.size, GUEST_KEY_CIPHERTEXT_MAX);
        for (size_t i = 0; i < ciphertext.size; i++)
                input.buffer[i] = ciphertext.data[i];
        TRY(create(context, values, &object, /* ret_public= */ NULL));
        return decrypt(context, object.handle, values, &input, ret_plaintext);
}
