/* See own-key.h. The file, as tpm2_create -u and -r write the two parts of it (TPM 2.0 Part 2 §12.2.5, §12.3.7), big endian:
 *
 *     TPM2B_PUBLIC   u16 size | TPMT_PUBLIC
 *     TPM2B_PRIVATE  u16 size | wrapped by the TPM with a key that never leaves it
 */
#include "tpm/own-key.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <tss2/tss2_mu.h>

#include "base/bytes.h"
#include "base/reader.h"
#include "tcg/aik.h"

#define FILE_MODE 0600
#define FILE_SIZE_MAX 8192   /* far above two TPM2B of any key */
#define PUBLIC_EXPONENT_DEFAULT 0
#define PRIMARY_RSA_BITS 2048
#define P256_SIZE 32

#define PRIMARY_ATTRIBUTES                                                                                                      \
        (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |         \
         TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT)
#define AIK_ATTRIBUTES                                                                                                          \
        (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |         \
         TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT)

/* TCG TPM v2.0 Provisioning Guidance 1.0 §7.5.1: the storage root keys of the default templates. */
static const TPM2B_PUBLIC primary_ecc = {
        .publicArea = {
                .type = TPM2_ALG_ECC,
                .nameAlg = TPM2_ALG_SHA256,
                .objectAttributes = PRIMARY_ATTRIBUTES,
                .parameters.eccDetail = {
                        .symmetric = { .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB },
                        .scheme.scheme = TPM2_ALG_NULL,
                        .curveID = TPM2_ECC_NIST_P256,
                        .kdf.scheme = TPM2_ALG_NULL,
                },
                .unique.ecc = { .x.size = P256_SIZE, .y.size = P256_SIZE },
        },
};
static const TPM2B_PUBLIC primary_rsa = {
        .publicArea = {
                .type = TPM2_ALG_RSA,
                .nameAlg = TPM2_ALG_SHA256,
                .objectAttributes = PRIMARY_ATTRIBUTES,
                .parameters.rsaDetail = {
                        .symmetric = { .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB },
                        .scheme.scheme = TPM2_ALG_NULL,
                        .keyBits = PRIMARY_RSA_BITS,
                        .exponent = PUBLIC_EXPONENT_DEFAULT,
                },
                .unique.rsa.size = PRIMARY_RSA_BITS / 8,
        },
};

#define RSA_AIK(bits)                                                                                                           \
        {                                                                                                                       \
                .publicArea = {                                                                                                 \
                        .type = TPM2_ALG_RSA,                                                                                   \
                        .nameAlg = TPM2_ALG_SHA256,                                                                             \
                        .objectAttributes = AIK_ATTRIBUTES,                                                                     \
                        .parameters.rsaDetail = {                                                                               \
                                .symmetric.algorithm = TPM2_ALG_NULL,                                                           \
                                .scheme = { .scheme = TPM2_ALG_RSASSA, .details.rsassa.hashAlg = TPM2_ALG_SHA256 },             \
                                .keyBits = bits,                                                                                \
                                .exponent = PUBLIC_EXPONENT_DEFAULT,                                                            \
                        },                                                                                                      \
                },                                                                                                              \
        }
#define ECC_AIK(curve, hash)                                                                                                    \
        {                                                                                                                       \
                .publicArea = {                                                                                                 \
                        .type = TPM2_ALG_ECC,                                                                                   \
                        .nameAlg = TPM2_ALG_SHA256,                                                                             \
                        .objectAttributes = AIK_ATTRIBUTES,                                                                     \
                        .parameters.eccDetail = {                                                                               \
                                .symmetric.algorithm = TPM2_ALG_NULL,                                                           \
                                .scheme = { .scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = hash },                          \
                                .curveID = curve,                                                                               \
                                .kdf.scheme = TPM2_ALG_NULL,                                                                    \
                        },                                                                                                      \
                },                                                                                                              \
        }

typedef struct KeyKind {
        const char *name, *file_name;
        TPM2B_PUBLIC template;
} KeyKind;

static const KeyKind kinds[_AIK_ALGORITHM_MAX] = {
        [AIK_ALGORITHM_RSA2048] = { "rsa2048", "aik.tpm2b", RSA_AIK(2048) },
        [AIK_ALGORITHM_RSA3072] = { "rsa3072", "aik-rsa3072.tpm2b", RSA_AIK(3072) },
        [AIK_ALGORITHM_ECC_P256] = { "ecc-p256", "aik-ecc-p256.tpm2b", ECC_AIK(TPM2_ECC_NIST_P256, TPM2_ALG_SHA256) },
        [AIK_ALGORITHM_ECC_P384] = { "ecc-p384", "aik-ecc-p384.tpm2b", ECC_AIK(TPM2_ECC_NIST_P384, TPM2_ALG_SHA384) },
};

Err *own_key_init(const char *state_directory, AikAlgorithm algorithm, OwnKey *ret) {
        *ret = (OwnKey) { .algorithm = algorithm };
        const char *name = kinds[algorithm].file_name;
        TRY(string_format(&ret->certificate_path, "%s/%.*s-certificate.der", state_directory, (int) strcspn(name, "."), name));
        return string_format(&ret->path, "%s/%s", state_directory, name);
}

void own_key_done(OwnKey *key) {
        freep(&key->path);
        freep(&key->certificate_path);
        freep(&key->notice);
}

static Err *has_p256(TpmContext *context, bool *ret) {
        TPMI_YES_NO more;
        _cleanup_free_ TPMS_CAPABILITY_DATA *data = NULL;
        TRY(TPM_CALL(context, "TPM2_GetCapability of elliptic curves",
                     Esys_GetCapability(context->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_ECC_CURVES, TPM2_ECC_NIST_P256, 1, &more,
                                        &data)));
        *ret = data->data.eccCurves.count > 0 && data->data.eccCurves.eccCurves[0] == TPM2_ECC_NIST_P256;
        return NULL;
}

static Err *make_primary(TpmContext *context, TpmObject *ret) {
        bool is_ecc;
        TRY(has_p256(context, &is_ecc));
        const TPM2B_SENSITIVE_CREATE sensitive = {};
        const TPM2B_DATA outside = {};
        const TPML_PCR_SELECTION pcrs = {};
        return TPM_CALL(context, "TPM2_CreatePrimary of the storage key",
                        Esys_CreatePrimary(context->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
                                           is_ecc ? &primary_ecc : &primary_rsa, &outside, &pcrs, &ret->handle, NULL, NULL, NULL, NULL));
}

static Err *to_file_form(const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private, Bytes *ret) {
        _cleanup_bytes_ Bytes file = {};
        size_t size = 0;
        TRY(bytes_alloc(FILE_SIZE_MAX, &file));
        TSS2_RC rc = Tss2_MU_TPM2B_PUBLIC_Marshal(public, file.data, file.size, &size);
        if (rc == TSS2_RC_SUCCESS)
                rc = Tss2_MU_TPM2B_PRIVATE_Marshal(private, file.data, file.size, &size);
        if (rc != TSS2_RC_SUCCESS)
                return err_new_native(ERR_INTERNAL, ERR_DOMAIN_TSS, rc, "marshalling the attestation key");
        return bytes_copy(span_make(file.data, size), ret);
}

/* Did the TPM dislike what it was given (and not, say, run out of memory)? */
static bool is_parameter_error(const Err *err) {
        int64_t rc = 0;
        return err_native(err, &rc) == ERR_DOMAIN_TSS && tpm_rc_is_parameter((TSS2_RC) rc);
}

static Err *create_key(OwnKey *key, TpmContext *context, ESYS_TR primary, Bytes *ret_file) {
        _cleanup_free_ TPM2B_PRIVATE *private = NULL;
        _cleanup_free_ TPM2B_PUBLIC *public = NULL;
        const TPM2B_SENSITIVE_CREATE sensitive = {};
        const TPM2B_DATA outside = {};
        const TPML_PCR_SELECTION pcrs = {};
        const KeyKind *kind = &kinds[key->algorithm];
        Err *err = TPM_CALL(context, "TPM2_Create of the attestation key",
                            Esys_Create(context->esys, primary, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &kind->template, &outside,
                                        &pcrs, &private, &public, NULL, NULL, NULL));
        if (is_parameter_error(err))
                return err_wrap_code(ERR_NOT_SUPPORTED, err, "the TPM makes no key of AikAlgorithm=%s", kind->name);
        TRY(err);
        _cleanup_bytes_ Bytes file = {};
        TRY(to_file_form(public, private, &file));
        TRY(file_write_atomic(key->path, bytes_span(&file), FILE_MODE));
        *ret_file = bytes_steal(&file);
        return NULL;
}

/* Both parts with their sizes, and that the public one is an attestation key's: the file may have been put there by anyone with access. */
static Err *parse_file(Span file, TPM2B_PUBLIC *ret_public, TPM2B_PRIVATE *ret_private) {
        Reader reader = reader_make(file);
        Span public = reader_tpm2b(&reader, "TPM2B_PUBLIC");
        (void) reader_tpm2b(&reader, "TPM2B_PRIVATE");
        TRY(reader_finish(&reader, ERR_TPM_AIK_INVALID, "the wrapped attestation key"));
        TRY(aik_public_check(public));
        size_t offset = 0;
        TSS2_RC rc = Tss2_MU_TPM2B_PUBLIC_Unmarshal(file.data, file.size, &offset, ret_public);
        if (rc == TSS2_RC_SUCCESS)
                rc = Tss2_MU_TPM2B_PRIVATE_Unmarshal(file.data, file.size, &offset, ret_private);
        if (rc != TSS2_RC_SUCCESS || offset != file.size)
                return err_new_native(ERR_TPM_AIK_INVALID, ERR_DOMAIN_TSS, rc, "the wrapped attestation key does not unmarshal");
        return NULL;
}

static Err *check_kind(const TPMT_PUBLIC *public, const KeyKind *kind) {
        const TPMT_PUBLIC *wanted = &kind->template.publicArea;
        bool same = public->type == wanted->type;
        if (same && wanted->type == TPM2_ALG_RSA)
                same = public->parameters.rsaDetail.keyBits == wanted->parameters.rsaDetail.keyBits;
        else if (same)
                same = public->parameters.eccDetail.curveID == wanted->parameters.eccDetail.curveID;
        return same ? NULL : err_new(ERR_TPM_AIK_INVALID, "it holds no %s key", kind->name);
}

/* kind is what the key has to be, or NULL. Error TPM_AIK_INVALID: this TPM will never load the file. */
static Err *load_file(TpmContext *context, ESYS_TR primary, Span file, const KeyKind *kind, TpmObject *ret) {
        TPM2B_PUBLIC public = {};
        TPM2B_PRIVATE private = {};
        Err *err = parse_file(file, &public, &private);
        if (err_code(err) == ERR_QUOTE_MALFORMED)
                return err_wrap_code(ERR_TPM_AIK_INVALID, err, "the public part does not parse");
        TRY(err);
        if (kind)
                TRY(check_kind(&public.publicArea, kind));
        err = TPM_CALL(context, "TPM2_Load of the attestation key",
                       Esys_Load(context->esys, primary, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &private, &public, &ret->handle));
        if (is_parameter_error(err))
                return err_wrap_code(ERR_TPM_AIK_INVALID, err, "it is another TPM's, from before the TPM was cleared, or below another primary key");
        return err;
}

/* aik.tpm2b -> aik-XXXXXXXX.tpm2b.old, named by its content so that nothing is ever overwritten by something else. */
static Err *set_aside(OwnKey *key, Span file, const Err *why) {
        Digest digest;
        char hex[2 * HASH_SIZE_MAX + 1];
        _cleanup_free_ char *aside = NULL, *notice = NULL;
        TRY(hash_digest(HASH_SHA256, file, &digest));
        hex_encode_into(digest_span(&digest), hex);
        int stem = (int) (strlen(key->path) - strlen(".tpm2b"));
        TRY(string_format(&aside, "%.*s-%.8s.tpm2b.old", stem, key->path, hex));
        TRY(string_format(&notice, "a new attestation key was made; the old one, kept as %s, could not be used: %s", aside, err_describe(why)));
        if (rename(key->path, aside) < 0)
                return err_new_errno(ERR_IO, errno, "renaming %s to %s", key->path, aside);
        free(key->notice);
        key->notice = steal_ptr(&notice);
        return NULL;
}

/* ret is empty where there is no file. */
static Err *read_key_file(const char *path, Bytes *ret) {
        int64_t number = 0;
        Err *err = file_read(path, FILE_SIZE_MAX, ret);
        if (err_code(err) == ERR_IO && err_native(err, &number) == ERR_DOMAIN_ERRNO && number == ENOENT)
                err = err_free(err);
        return err;
}

Err *own_key_load_file(const char *path, TpmContext *context, TpmObject *ret_object) {
        _cleanup_tpm_object_ TpmObject primary = { .context = context, .handle = ESYS_TR_NONE };
        _cleanup_bytes_ Bytes file = {};
        Err *err = read_key_file(path, &file);
        if (err_code(err) == ERR_LIMIT_EXCEEDED)
                err = err_wrap_code(ERR_TPM_AIK_INVALID, err, "it is too large for a wrapped key");
        if (!err && file.size == 0)
                err = err_new(ERR_TPM_AIK_MISSING, "there is no key in it, or no such file");
        if (!err)
                err = make_primary(context, &primary);
        *ret_object = (TpmObject) { .context = context, .handle = ESYS_TR_NONE };
        if (!err)
                err = load_file(context, primary.handle, bytes_span(&file), /* kind= */ NULL, ret_object);
        return err_wrap(err, "loading %s", path);
}

Err *own_key_load(OwnKey *key, TpmContext *context, TpmObject *ret_object) {
        _cleanup_tpm_object_ TpmObject primary = { .context = context, .handle = ESYS_TR_NONE };
        _cleanup_bytes_ Bytes file = {};
        TRY(file_remove_unfinished(key->path));
        TRY(make_primary(context, &primary));
        TRY(read_key_file(key->path, &file));
        *ret_object = (TpmObject) { .context = context, .handle = ESYS_TR_NONE };
        if (file.size > 0) {
                _cleanup_(err_freep) Err *err = load_file(context, primary.handle, bytes_span(&file), &kinds[key->algorithm], ret_object);
                if (err_code(err) != ERR_TPM_AIK_INVALID)
                        return err_wrap(steal_ptr(&err), "loading %s", key->path);
                TRY(set_aside(key, bytes_span(&file), err));
                bytes_done(&file);
        }
        TRY(err_wrap(create_key(key, context, primary.handle, &file), "making an attestation key"));
        return err_wrap(load_file(context, primary.handle, bytes_span(&file), &kinds[key->algorithm], ret_object), "loading the new attestation key");
}
