/* See request-key.h. TPM 2.0 Part 3 §18.2 (TPM2_Certify), §20.2 (TPM2_Sign), §14.3 (TPM2_RSA_Decrypt). */
#include "tpm/request-key.h"

#include <unistd.h>

#include "tcg/aik.h"
#include "tcg/request-key.h"
#include "tpm/aik.h"
#include "tpm/quote.h"
#include "tpm/wrapped-key.h"

static const TPM2B_PUBLIC template = {
        .publicArea = {
                .type = TPM2_ALG_RSA,
                .nameAlg = TPM2_ALG_SHA256,
                .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                                    TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_DECRYPT,
                .parameters.rsaDetail = {
                        .symmetric.algorithm = TPM2_ALG_NULL,
                        .scheme.scheme = TPM2_ALG_NULL,
                        .keyBits = REQUEST_KEY_BITS,
                        .exponent = 0,   /* the default one */
                },
        },
};

static const WrappedKind kind = {
        .what = "request key", .name = "RSA-2048 request", .setting = "RequestKey=tpm", .template = &template, .invalid = ERR_KEY_INVALID,
        .check = request_key_check,
};

Err *request_key_init(const char *state_directory, RequestKey *ret) {
        *ret = (RequestKey) {};
        return string_format(&ret->path, "%s/request-key" WRAPPED_KEY_SUFFIX, state_directory);
}

void request_key_done(RequestKey *key) {
        freep(&key->path);
        freep(&key->notice);
}

static Err *read_public(TpmContext *context, ESYS_TR object, Bytes *ret) {
        _cleanup_free_ TPM2B_PUBLIC *public = NULL;
        TRY(TPM_CALL(context, "TPM2_ReadPublic",
                     Esys_ReadPublic(context->esys, object, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, NULL, NULL)));
        return quote_public_from_tss(&public->publicArea, ERR_KEY_INVALID, ret);
}

Err *request_key_load(RequestKey *key, TpmContext *context, TpmObject *ret_object, Bytes *ret_public) {
        TRY(wrapped_key_obtain(&kind, key->path, context, ret_object, &key->notice));
        return err_wrap(read_public(context, ret_object->handle, ret_public), "reading the request key");
}

Err *request_key_prepare(RequestKey *key, TpmContext *context) {
        _cleanup_tpm_object_ TpmObject object = TPM_OBJECT_NONE;
        if (access(key->path, F_OK) == 0)
                return NULL;
        return wrapped_key_obtain(&kind, key->path, context, &object, &key->notice);
}

static Err *sign_natively(TpmContext *context, ESYS_TR object, Span digest, Bytes *ret) {
        const TPMT_SIG_SCHEME scheme = { .scheme = TPM2_ALG_RSAPSS, .details.rsapss.hashAlg = TPM2_ALG_SHA256 };
        const TPMT_TK_HASHCHECK ticket = { .tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL };   /* only restricted keys need one */
        TPM2B_DIGEST input = { .size = REQUEST_KEY_DIGEST_SIZE };
        _cleanup_free_ TPMT_SIGNATURE *signature = NULL;
        for (size_t i = 0; i < digest.size; i++)
                input.buffer[i] = digest.data[i];
        TRY(TPM_CALL(context, "TPM2_Sign",
                     Esys_Sign(context->esys, object, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &input, &scheme, &ticket, &signature)));
        if (signature->sigAlg != TPM2_ALG_RSAPSS)
                return err_new(ERR_TPM_COMMAND_FAILED, "TPM2_Sign was asked for RSAPSS and made a signature of scheme 0x%04x", signature->sigAlg);
        const TPM2B_PUBLIC_KEY_RSA *value = &signature->signature.rsapss.sig;
        return bytes_copy(span_make(value->buffer, value->size), ret);
}

static Err *sign_padded(TpmContext *context, ESYS_TR object, Span public, Span digest, Bytes *ret) {
        const TPMT_RSA_DECRYPT scheme = { .scheme = TPM2_ALG_NULL };   /* the bare operation */
        const TPM2B_DATA label = {};
        TPM2B_PUBLIC_KEY_RSA input = {};
        _cleanup_free_ TPM2B_PUBLIC_KEY_RSA *output = NULL;
        _cleanup_bytes_ Bytes padded = {};
        TRY(request_key_pad(public, digest, &padded));
        if (padded.size > sizeof(input.buffer))
                return err_new(ERR_INTERNAL, "the padded digest has %zu bytes", padded.size);
        input.size = (UINT16) padded.size;
        for (size_t i = 0; i < padded.size; i++)
                input.buffer[i] = padded.data[i];
        TRY(TPM_CALL(context, "TPM2_RSA_Decrypt",
                     Esys_RSA_Decrypt(context->esys, object, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &input, &scheme, &label, &output)));
        return bytes_copy(span_make(output->buffer, output->size), ret);
}

/* Nothing leaves here that a verifier of PS256 would refuse. */
static Err *sign_in(RequestKeySigning way, TpmContext *context, ESYS_TR object, Span public, Span digest, Bytes *ret) {
        _cleanup_bytes_ Bytes signature = {};
        TRY(way == REQUEST_KEY_WE_PAD ? sign_padded(context, object, public, digest, &signature) : sign_natively(context, object, digest, &signature));
        TRY(request_key_verify(public, digest, bytes_span(&signature)));
        *ret = bytes_steal(&signature);
        return NULL;
}

/* Another salt than wanted, or a TPM that knows no RSAPSS: what the other way mends. */
static bool is_about_padding(const Err *err) {
        int64_t rc = 0;
        return err_code(err) == ERR_TOKEN_SIGNATURE_INVALID ||
               (err_native(err, &rc) == ERR_DOMAIN_TSS && tpm_rc_is_parameter((TSS2_RC) rc));
}

Err *request_key_sign(RequestKey *key, TpmContext *context, ESYS_TR object, Span public, Span digest, Bytes *ret_signature) {
        if (digest.size != REQUEST_KEY_DIGEST_SIZE)
                return err_new(ERR_INVALID_ARGUMENT, "a digest of %d bytes is needed, not of %zu", REQUEST_KEY_DIGEST_SIZE, digest.size);
        if (key->signing != REQUEST_KEY_WE_PAD) {
                _cleanup_(err_freep) Err *err = sign_in(REQUEST_KEY_TPM_PADS, context, object, public, digest, ret_signature);
                if (!err)
                        key->signing = REQUEST_KEY_TPM_PADS;
                if (!err || !is_about_padding(err))
                        return steal_ptr(&err);
        }
        Err *err = sign_in(REQUEST_KEY_WE_PAD, context, object, public, digest, ret_signature);
        if (err_code(err) == ERR_TOKEN_SIGNATURE_INVALID)
                return err_wrap_code(ERR_TPM_COMMAND_FAILED, err, "the TPM makes no valid signature with its request key");
        TRY(err);
        key->signing = REQUEST_KEY_WE_PAD;
        return NULL;
}

static Err *certify(TpmContext *context, ESYS_TR aik, ESYS_TR object, Span qualifying, EvidenceKey *key) {
        const TPMT_SIG_SCHEME scheme = { .scheme = TPM2_ALG_NULL };   /* the AIK's own */
        TPM2B_DATA data;
        _cleanup_free_ TPM2B_ATTEST *attest = NULL;
        _cleanup_free_ TPMT_SIGNATURE *signature = NULL;
        TRY(quote_qualifying_to_tss(qualifying, &data));
        TRY(TPM_CALL(context, "TPM2_Certify",
                     Esys_Certify(context->esys, object, aik, ESYS_TR_PASSWORD, ESYS_TR_PASSWORD, ESYS_TR_NONE, &data, &scheme, &attest, &signature)));
        TRY(bytes_copy(span_make(attest->attestationData, attest->size), &key->certification));
        return quote_signature_from_tss(signature, &key->signature);
}

Err *key_certify(TpmContext *context, ESYS_TR aik, Span aik_public, ESYS_TR object, Span public, Span qualifying, EvidenceKey *ret) {
        _cleanup_(evidence_key_done) EvidenceKey key = {};
        TRY(bytes_copy(public, &key.public));
        TRY(certify(context, aik, object, qualifying, &key));
        TRY(err_wrap(aik_verify_certification(aik_public, bytes_span(&key.certification), bytes_span(&key.signature), qualifying, public),
                     "checking the certification that the TPM has made"));
        *ret = key;
        key = (EvidenceKey) {};
        return NULL;
}

static Err *collect_other(TpmContext *context, uint32_t handle, bool is_plain, ESYS_TR aik, Span aik_public, Span qualifying, EvidenceKey *ret) {
        _cleanup_tpm_object_ TpmObject object = { .context = context, .handle = ESYS_TR_NONE, .is_persistent = true };
        _cleanup_bytes_ Bytes public = {};
        bool exists;
        TRY(tpm_handle_exists(context, handle, &exists));
        if (!exists)
                return err_new(ERR_TPM_KEY_MISSING, "the TPM has no key there");
        TRY(TPM_CALL(context, "looking up the key",
                     Esys_TR_FromTPMPublic(context->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &object.handle)));
        TRY(read_public(context, object.handle, &public));
        if (!is_plain)
                return key_certify(context, aik, aik_public, object.handle, bytes_span(&public), qualifying, ret);
        ret->public = bytes_steal(&public);
        return NULL;
}

Err *other_keys_collect(TpmContext *context, const char *setting, ESYS_TR aik, Span aik_public, Span qualifying, Evidence *evidence) {
        static const char separators[] = " \t";
        for (const char *p = setting + strspn(setting, separators); *p; p += strspn(p, separators)) {
                size_t size = strcspn(p, separators), n_handle = strcspn(p, ": \t");
                _cleanup_free_ char *text = strndup(p, n_handle);
                uint32_t handle;
                if (!text)
                        return err_oom();
                if (evidence->n_other_keys >= EVIDENCE_OTHER_KEYS_MAX)
                        return err_new(ERR_CONFIG_INVALID, "OtherKeys= names more than %d keys", EVIDENCE_OTHER_KEYS_MAX);
                TRY(err_wrap(aik_parse_handle(text, &handle), "OtherKeys="));
                TRY(err_wrap(collect_other(context, handle, n_handle < size, aik, aik_public, qualifying,
                                           &evidence->other_keys[evidence->n_other_keys]), "OtherKeys=%s", text));
                evidence->n_other_keys++;
                p += size;
        }
        return NULL;
}
