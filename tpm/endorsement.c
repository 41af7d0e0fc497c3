/* See endorsement.h. */
#include "tpm/endorsement.h"

#include <tss2/tss2_mu.h>

#include "base/reader.h"
#include "base/writer.h"
#include "tcg/aik.h"
#include "tcg/ek-certificate.h"
#include "tpm/nv.h"
#include "tpm/quote.h"

#define RSA_SIZE 256
#define P256_SIZE 32

/* B.3.3, B.3.4: low range; B.4.5: high range, whose user authorization is an empty password */
#define LOW_ATTRIBUTES                                                                                                          \
        (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_ADMINWITHPOLICY |       \
         TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT)
/* PolicyA: PolicySecret of the endorsement hierarchy */
#define POLICY_A_SHA256                                                                                                         \
        { 0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,                       \
          0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa }
/* PolicyB: PolicyA, or a policy in an NV index */
#define POLICY_B_SHA384                                                                                                         \
        { 0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc, 0xf5, 0xfd, 0x3a, 0x1a,                       \
          0x07, 0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4, 0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca,                       \
          0xcb, 0x47, 0xba, 0x09, 0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12 }

typedef struct Candidate {
        const char *name;
        EndorsementAlgorithm algorithm;
        TPM2_HANDLE certificate, nonce, template;   /* NV indices; 0: none */
        TPM2_HANDLE persistent;                     /* where platforms keep it */
        TPM2B_PUBLIC public;                        /* the default template */
} Candidate;

static const Candidate candidates[] = {
        {
                .name = "rsa-2048", .algorithm = ENDORSEMENT_RSA,
                .certificate = 0x01c00002, .nonce = 0x01c00003, .template = 0x01c00004, .persistent = 0x81010001,
                .public.publicArea = {
                        .type = TPM2_ALG_RSA, .nameAlg = TPM2_ALG_SHA256, .objectAttributes = LOW_ATTRIBUTES,
                        .authPolicy = { .size = TPM2_SHA256_DIGEST_SIZE, .buffer = POLICY_A_SHA256 },
                        .parameters.rsaDetail = {
                                .symmetric = { .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB },
                                .scheme.scheme = TPM2_ALG_NULL, .keyBits = RSA_SIZE * 8,
                        },
                        .unique.rsa.size = RSA_SIZE,
                },
        },
        {
                .name = "ecc-p256", .algorithm = ENDORSEMENT_ECC,
                .certificate = 0x01c0000a, .nonce = 0x01c0000b, .template = 0x01c0000c, .persistent = 0x81010002,
                .public.publicArea = {
                        .type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA256, .objectAttributes = LOW_ATTRIBUTES,
                        .authPolicy = { .size = TPM2_SHA256_DIGEST_SIZE, .buffer = POLICY_A_SHA256 },
                        .parameters.eccDetail = {
                                .symmetric = { .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB },
                                .scheme.scheme = TPM2_ALG_NULL, .curveID = TPM2_ECC_NIST_P256, .kdf.scheme = TPM2_ALG_NULL,
                        },
                        .unique.ecc = { .x.size = P256_SIZE, .y.size = P256_SIZE },
                },
        },
        {
                .name = "ecc-p384", .algorithm = ENDORSEMENT_ECC, .certificate = 0x01c00016, .persistent = 0x81010016,
                .public.publicArea = {
                        .type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA384, .objectAttributes = LOW_ATTRIBUTES | TPMA_OBJECT_USERWITHAUTH,
                        .authPolicy = { .size = TPM2_SHA384_DIGEST_SIZE, .buffer = POLICY_B_SHA384 },
                        .parameters.eccDetail = {
                                .symmetric = { .algorithm = TPM2_ALG_AES, .keyBits.aes = 256, .mode.aes = TPM2_ALG_CFB },
                                .scheme.scheme = TPM2_ALG_NULL, .curveID = TPM2_ECC_NIST_P384, .kdf.scheme = TPM2_ALG_NULL,
                        },
                },
        },
};

void endorsement_key_done(EndorsementKey *key) {
        tpm_object_done(&key->object);
        bytes_done(&key->public);
        bytes_done(&key->certificate);
        bytes_done(&key->chain);
        freep(&key->notice);
        freep(&key->origin);
}

Err *endorsement_algorithm_from_string(const char *text, EndorsementAlgorithm *ret) {
        static const struct { const char *text; EndorsementAlgorithm algorithm; } names[] = {
                { "auto", ENDORSEMENT_AUTO }, { "rsa", ENDORSEMENT_RSA }, { "ecc", ENDORSEMENT_ECC },
        };
        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (string_equal(text, names[i].text)) {
                        *ret = names[i].algorithm;
                        return NULL;
                }
        return err_new(ERR_INVALID_ARGUMENT, "the algorithm of an endorsement key is none of auto, rsa, ecc");
}

/* *ret stays empty where the index is absent, unwritten or not defined for this candidate. */
static Err *read_index(TpmContext *context, TPM2_HANDLE index, Bytes *ret) {
        NvState state;
        return index ? nv_read(context, index, &state, ret) : NULL;
}

static Err *take_public(const TPMT_PUBLIC *public, EndorsementKey *key) {
        key->with_policy = !(public->objectAttributes & TPMA_OBJECT_USERWITHAUTH);
        key->name_alg = public->nameAlg;
        return quote_public_from_tss(public, ERR_TPM_COMMAND_FAILED, &key->public);
}

/* The nonce fills the front of the unique field (profile §2.2.1.4). */
static Err *apply_nonce(const Bytes *nonce, TPMT_PUBLIC *public) {
        uint8_t *unique = public->type == TPM2_ALG_RSA ? public->unique.rsa.buffer : public->unique.ecc.x.buffer;
        size_t room = public->type == TPM2_ALG_RSA ? public->unique.rsa.size : public->unique.ecc.x.size;
        if (nonce->size > room)
                return err_new(ERR_TPM_COMMAND_FAILED, "the nonce of the endorsement key has %zu bytes, its template has room for %zu", nonce->size, room);
        for (size_t i = 0; i < nonce->size; i++)
                unique[i] = nonce->data[i];
        return NULL;
}

static Err *find_template(TpmContext *context, const Candidate *candidate, TPM2B_PUBLIC *ret) {
        _cleanup_bytes_ Bytes template = {}, nonce = {};
        *ret = candidate->public;
        TRY(err_wrap(read_index(context, candidate->template, &template), "reading the endorsement key's template"));
        if (template.size > 0) {
                size_t offset = 0;
                *ret = (TPM2B_PUBLIC) {};
                TSS2_RC rc = Tss2_MU_TPMT_PUBLIC_Unmarshal(template.data, template.size, &offset, &ret->publicArea);
                if (rc != TSS2_RC_SUCCESS)
                        return err_new_native(ERR_TPM_COMMAND_FAILED, ERR_DOMAIN_TSS, rc, "the endorsement key's template in NV index 0x%08x does not unmarshal",
                                              candidate->template);
        }
        TRY(err_wrap(read_index(context, candidate->nonce, &nonce), "reading the endorsement key's nonce"));
        return apply_nonce(&nonce, &ret->publicArea);
}

static Err *match(const EndorsementKey *key) {
        _cleanup_ek_certificate_ EkCertificate certificate = {};
        if (key->certificate.size == 0)
                return NULL;
        TRY(ek_certificate_parse(bytes_span(&key->certificate), &certificate));
        return ek_certificate_match(&certificate, bytes_span(&key->public));
}

/* Only a key with a certificate can be recognized without making it anew. */
static Err *try_persistent(TpmContext *context, const Candidate *candidate, Span certificate, EndorsementKey *ret, bool *ret_found) {
        _cleanup_endorsement_key_ EndorsementKey key = { .object = { .context = context, .handle = ESYS_TR_NONE, .is_persistent = true } };
        _cleanup_free_ TPM2B_PUBLIC *public = NULL;
        bool exists = false;
        *ret_found = false;
        if (certificate.size > 0)
                TRY(tpm_handle_exists(context, candidate->persistent, &exists));
        if (!exists)
                return NULL;
        TRY(TPM_CALL(context, "looking up the endorsement key",
                     Esys_TR_FromTPMPublic(context->esys, candidate->persistent, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &key.object.handle)));
        TRY(TPM_CALL(context, "TPM2_ReadPublic of the endorsement key",
                     Esys_ReadPublic(context->esys, key.object.handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, NULL, NULL)));
        TRY(take_public(&public->publicArea, &key));
        TRY(bytes_copy(certificate, &key.certificate));
        TRY(string_format(&key.origin, "0x%08x", candidate->persistent));
        _cleanup_(err_freep) Err *mismatch = match(&key);
        if (mismatch)
                return NULL;
        *ret = key;
        key = (EndorsementKey) ENDORSEMENT_KEY_NONE;
        *ret_found = true;
        return NULL;
}

static Err *create(TpmContext *context, const Candidate *candidate, Span certificate, EndorsementKey *ret) {
        _cleanup_endorsement_key_ EndorsementKey key = { .object = { .context = context, .handle = ESYS_TR_NONE } };
        _cleanup_free_ TPM2B_PUBLIC *public = NULL;
        const TPM2B_SENSITIVE_CREATE sensitive = {};
        const TPM2B_DATA outside = {};
        const TPML_PCR_SELECTION pcrs = {};
        TPM2B_PUBLIC template;
        TRY(find_template(context, candidate, &template));
        TRY(TPM_CALL(context, "TPM2_CreatePrimary of the endorsement key",
                     Esys_CreatePrimary(context->esys, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &template,
                                        &outside, &pcrs, &key.object.handle, &public, NULL, NULL, NULL)));
        TRY(take_public(&public->publicArea, &key));
        TRY(bytes_copy(certificate, &key.certificate));
        TRY(string_format(&key.origin, "template %s", candidate->name));
        TRY(match(&key));
        *ret = key;
        key = (EndorsementKey) ENDORSEMENT_KEY_NONE;
        return NULL;
}

static Err *load(TpmContext *context, const Candidate *candidate, EndorsementKey *ret) {
        _cleanup_bytes_ Bytes content = {}, certificate = {};
        bool found;
        TRY(err_wrap(read_index(context, candidate->certificate, &content), "reading the endorsement key's certificate"));
        if (content.size > 0) {
                Err *err = aik_decode_certificate(bytes_span(&content), "the endorsement key's NV index", &certificate);
                TRY(err_code(err) == ERR_AIK_CERTIFICATE_INVALID ? err_wrap_code(ERR_EK_CERTIFICATE_INVALID, err, "NV index 0x%08x", candidate->certificate) : err);
        }
        TRY(try_persistent(context, candidate, bytes_span(&certificate), ret, &found));
        return found ? NULL : create(context, candidate, bytes_span(&certificate), ret);
}

/* The TPM has no such algorithm, curve or key size. */
static bool is_unknown_kind(const Err *err) {
        int64_t rc = 0;
        if (err_native(err, &rc) != ERR_DOMAIN_TSS)
                return false;
        switch (tpm_rc_base((TSS2_RC) rc)) {
        case TPM2_RC_ASYMMETRIC:
        case TPM2_RC_CURVE:
        case TPM2_RC_TYPE:
        case TPM2_RC_HASH:
        case TPM2_RC_SYMMETRIC:
        case TPM2_RC_KEY_SIZE:
        case TPM2_RC_VALUE:
                return true;
        }
        return false;
}

static Err *has_certificate(TpmContext *context, const Candidate *candidate, bool *ret) {
        return tpm_handle_exists(context, candidate->certificate, ret);
}

static Err *read_chain_indices(TpmContext *context, Bytes *ret) {
        _cleanup_writer_ Writer writer = {};
        TPM2_HANDLE handles[TPM_HANDLES_MAX];
        size_t n, size = 0;
        TRY(tpm_get_handles(context, EK_CHAIN_NV_FIRST, handles, &n));
        for (size_t i = 0; i < n && handles[i] <= EK_CHAIN_NV_LAST; i++) {
                _cleanup_bytes_ Bytes content = {};
                TRY(read_index(context, handles[i], &content));
                size += content.size;
                if (size > EK_CHAIN_SIZE_MAX)
                        return err_new(ERR_EK_CERTIFICATE_INVALID, "the chain has more than the %u bytes that are allowed", EK_CHAIN_SIZE_MAX);
                writer_span(&writer, bytes_span(&content));
        }
        return writer_finish(&writer, ret);
}

/* The chain is help for an authority that may do without: one that cannot be read is a notice. */
static Err *add_chain(TpmContext *context, EndorsementKey *key) {
        _cleanup_bytes_ Bytes content = {};
        if (key->certificate.size == 0)
                return NULL;
        Err *err = read_chain_indices(context, &content);
        if (!err)
                err = ek_chain_tidy(bytes_span(&content), &key->chain);
        if (err_code(err) != ERR_EK_CERTIFICATE_INVALID)
                return err_wrap(err, "reading the chain of the endorsement key's certificate");
        _cleanup_(err_freep) Err *reason = err_wrap(err, "the certificates of authorities in NV from index 0x%08x on are left out", EK_CHAIN_NV_FIRST);
        return string_copy(err_describe(reason), &key->notice);
}

static Err *load_with_chain(TpmContext *context, const Candidate *candidate, EndorsementKey *ret) {
        _cleanup_endorsement_key_ EndorsementKey key = ENDORSEMENT_KEY_NONE;
        TRY(load(context, candidate, &key));
        TRY(add_chain(context, &key));
        *ret = key;
        key = (EndorsementKey) ENDORSEMENT_KEY_NONE;
        return NULL;
}

/* Those with a certificate first: without one an endorsement key says nothing to anybody. */
Err *endorsement_key_load(TpmContext *context, EndorsementAlgorithm algorithm, EndorsementKey *ret) {
        for (int with_certificate = 1; with_certificate >= 0; with_certificate--)
                for (size_t i = 0; i < N_ELEMENTS(candidates); i++) {
                        const Candidate *candidate = &candidates[i];
                        bool has;
                        if (algorithm != ENDORSEMENT_AUTO && candidate->algorithm != algorithm)
                                continue;
                        TRY(has_certificate(context, candidate, &has));
                        if (has != (bool) with_certificate)
                                continue;
                        Err *err = load_with_chain(context, candidate, ret);
                        if (has || !is_unknown_kind(err))
                                return err_wrap(err, "loading the endorsement key %s", candidate->name);
                        err_free(err);
                }
        return err_new(ERR_NOT_SUPPORTED, "the TPM has no endorsement key of that algorithm");
}

Err *endorsement_key_load_for(TpmContext *context, Span encrypted_secret, EndorsementKey *ret) {
        Reader reader = reader_make(encrypted_secret);
        Span secret = reader_tpm2b(&reader, "TPM2B_ENCRYPTED_SECRET");
        TRY(reader_finish(&reader, ERR_CREDENTIAL_ACTIVATION_FAILED, "the encrypted secret"));
        if (secret.size == RSA_SIZE)
                return err_wrap(load(context, &candidates[0], ret), "loading the endorsement key %s", candidates[0].name);
        Reader point = reader_make(secret);
        Span x = reader_tpm2b(&point, "x");
        (void) reader_tpm2b(&point, "y");
        TRY(reader_finish(&point, ERR_CREDENTIAL_ACTIVATION_FAILED, "the encrypted secret is neither of RSA-2048 nor a point"));
        const Candidate *candidate = x.size <= P256_SIZE ? &candidates[1] : &candidates[2];
        return err_wrap(load(context, candidate, ret), "loading the endorsement key %s", candidate->name);
}

static Err *unmarshal(Span id_object, Span encrypted_secret, TPM2B_ID_OBJECT *ret_object, TPM2B_ENCRYPTED_SECRET *ret_secret) {
        size_t object_offset = 0, secret_offset = 0;
        TSS2_RC rc = Tss2_MU_TPM2B_ID_OBJECT_Unmarshal(id_object.data, id_object.size, &object_offset, ret_object);
        if (rc == TSS2_RC_SUCCESS)
                rc = Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal(encrypted_secret.data, encrypted_secret.size, &secret_offset, ret_secret);
        if (rc != TSS2_RC_SUCCESS || object_offset != id_object.size || secret_offset != encrypted_secret.size)
                return err_new_native(ERR_CREDENTIAL_ACTIVATION_FAILED, ERR_DOMAIN_TSS, rc, "the credential is no TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET");
        return NULL;
}

/* A session that satisfies PolicyA; its hash has to be the key's name algorithm. */
static Err *begin_policy(TpmContext *context, uint16_t name_alg, TpmObject *ret) {
        TRY(tpm_policy_session_start(context, name_alg, ret));
        return TPM_CALL(context, "TPM2_PolicySecret of the endorsement hierarchy",
                        Esys_PolicySecret(context->esys, ESYS_TR_RH_ENDORSEMENT, ret->handle, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, NULL, NULL,
                                          NULL, 0, NULL, NULL));
}

Err *endorsement_key_activate(const EndorsementKey *key, ESYS_TR aik, Span id_object, Span encrypted_secret, Bytes *ret_secret) {
        TpmContext *context = key->object.context;
        _cleanup_tpm_object_ TpmObject session = { .context = context, .handle = ESYS_TR_NONE };
        _cleanup_free_ TPM2B_DIGEST *secret = NULL;
        TPM2B_ID_OBJECT object = {};
        TPM2B_ENCRYPTED_SECRET encrypted = {};
        TRY(unmarshal(id_object, encrypted_secret, &object, &encrypted));
        if (key->with_policy)
                TRY(begin_policy(context, key->name_alg, &session));
        Err *err = TPM_CALL(context, "TPM2_ActivateCredential",
                            Esys_ActivateCredential(context->esys, aik, key->object.handle, ESYS_TR_PASSWORD,
                                                    key->with_policy ? session.handle : ESYS_TR_PASSWORD, ESYS_TR_NONE, &object, &encrypted, &secret));
        int64_t rc = 0;
        if (err_native(err, &rc) == ERR_DOMAIN_TSS && tpm_rc_is_refusal((TSS2_RC) rc))
                return err_wrap_code(ERR_CREDENTIAL_ACTIVATION_FAILED, err, "the credential is for another endorsement key or another attestation key");
        TRY(err);
        err = bytes_copy(span_make(secret->buffer, secret->size), ret_secret);
        explicit_bzero(secret, sizeof(*secret));
        return err;
}
