/* See own-key.h. */
#include "tpm/own-key.h"

#include "base/bytes.h"
#include "tcg/aik.h"
#include "tpm/wrapped-key.h"

#define PUBLIC_EXPONENT_DEFAULT 0
#define AIK_ATTRIBUTES                                                                                                          \
        (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |         \
         TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT)

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
        const char *name, *setting, *file_name;
        TPM2B_PUBLIC template;
} KeyKind;

static const KeyKind kinds[_AIK_ALGORITHM_MAX] = {
        [AIK_ALGORITHM_RSA2048] = { "rsa2048", "AikAlgorithm=rsa2048", "aik.tpm2b", RSA_AIK(2048) },
        [AIK_ALGORITHM_RSA3072] = { "rsa3072", "AikAlgorithm=rsa3072", "aik-rsa3072.tpm2b", RSA_AIK(3072) },
        [AIK_ALGORITHM_ECC_P256] = { "ecc-p256", "AikAlgorithm=ecc-p256", "aik-ecc-p256.tpm2b", ECC_AIK(TPM2_ECC_NIST_P256, TPM2_ALG_SHA256) },
        [AIK_ALGORITHM_ECC_P384] = { "ecc-p384", "AikAlgorithm=ecc-p384", "aik-ecc-p384.tpm2b", ECC_AIK(TPM2_ECC_NIST_P384, TPM2_ALG_SHA384) },
};

static const WrappedKind foreign = { .what = "attestation key", .invalid = ERR_TPM_AIK_INVALID, .check = aik_public_check };

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

Err *own_key_load_file(const char *path, TpmContext *context, TpmObject *ret_object) {
        _cleanup_tpm_object_ TpmObject primary = { .context = context, .handle = ESYS_TR_NONE };
        _cleanup_bytes_ Bytes file = {};
        Err *err = wrapped_key_read(path, &file);
        if (err_code(err) == ERR_LIMIT_EXCEEDED)
                err = err_wrap_code(ERR_TPM_AIK_INVALID, err, "it is too large for a wrapped key");
        if (!err && file.size == 0)
                err = err_new(ERR_TPM_AIK_MISSING, "there is no key in it, or no such file");
        if (!err)
                err = wrapped_key_make_primary(context, &primary);
        *ret_object = (TpmObject) { .context = context, .handle = ESYS_TR_NONE };
        if (!err)
                err = wrapped_key_load(&foreign, context, primary.handle, bytes_span(&file), ret_object);
        return err_wrap(err, "loading %s", path);
}

Err *own_key_load(OwnKey *key, TpmContext *context, TpmObject *ret_object) {
        const KeyKind *kind = &kinds[key->algorithm];
        const WrappedKind wrapped = {
                .what = foreign.what, .name = kind->name, .setting = kind->setting, .template = &kind->template,
                .invalid = foreign.invalid, .check = foreign.check,
        };
        return wrapped_key_obtain(&wrapped, key->path, context, ret_object, &key->notice);
}
