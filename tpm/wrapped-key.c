/* See wrapped-key.h. The file, as tpm2_create -u and -r write the two parts of it (TPM 2.0 Part 2 §12.2.5, §12.3.7), big endian:
 *
 *     TPM2B_PUBLIC   u16 size | TPMT_PUBLIC
 *     TPM2B_PRIVATE  u16 size | wrapped by the TPM with a key that never leaves it
 */
#include "tpm/wrapped-key.h"

#include <errno.h>
#include <stdio.h>

#include <tss2/tss2_mu.h>

#include "base/reader.h"
#include "tcg/hash.h"

#define FILE_MODE 0600
#define FILE_SIZE_MAX 8192   /* far above two TPM2B of any key */
#define PUBLIC_EXPONENT_DEFAULT 0
#define PRIMARY_RSA_BITS 2048
#define P256_SIZE 32

#define PRIMARY_ATTRIBUTES                                                                                                      \
        (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |         \
         TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT)

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


static Err *has_p256(TpmContext *context, bool *ret) {
        TPMI_YES_NO more;
        _cleanup_free_ TPMS_CAPABILITY_DATA *data = NULL;
        TRY(TPM_CALL(context, "TPM2_GetCapability of elliptic curves",
                     Esys_GetCapability(context->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_ECC_CURVES, TPM2_ECC_NIST_P256, 1, &more,
                                        &data)));
        *ret = data->data.eccCurves.count > 0 && data->data.eccCurves.eccCurves[0] == TPM2_ECC_NIST_P256;
        return NULL;
}

Err *wrapped_key_make_primary(TpmContext *context, TpmObject *ret) {
        bool is_ecc;
        TRY(has_p256(context, &is_ecc));
        const TPM2B_SENSITIVE_CREATE sensitive = {};
        const TPM2B_DATA outside = {};
        const TPML_PCR_SELECTION pcrs = {};
        return TPM_CALL(context, "TPM2_CreatePrimary of the storage key",
                        Esys_CreatePrimary(context->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
                                           is_ecc ? &primary_ecc : &primary_rsa, &outside, &pcrs, &ret->handle, NULL, NULL, NULL, NULL));
}

static Err *to_file_form(const WrappedKind *kind, const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private, Bytes *ret) {
        _cleanup_bytes_ Bytes file = {};
        size_t size = 0;
        TRY(bytes_alloc(FILE_SIZE_MAX, &file));
        TSS2_RC rc = Tss2_MU_TPM2B_PUBLIC_Marshal(public, file.data, file.size, &size);
        if (rc == TSS2_RC_SUCCESS)
                rc = Tss2_MU_TPM2B_PRIVATE_Marshal(private, file.data, file.size, &size);
        if (rc != TSS2_RC_SUCCESS)
                return err_new_native(ERR_INTERNAL, ERR_DOMAIN_TSS, rc, "marshalling the %s", kind->what);
        return bytes_copy(span_make(file.data, size), ret);
}

/* Did the TPM dislike what it was given (and not, say, run out of memory)? */
static bool is_parameter_error(const Err *err) {
        int64_t rc = 0;
        return err_native(err, &rc) == ERR_DOMAIN_TSS && tpm_rc_is_parameter((TSS2_RC) rc);
}

Err *wrapped_key_create(const WrappedKind *kind, const char *path, TpmContext *context, ESYS_TR primary, Bytes *ret_file) {
        _cleanup_free_ TPM2B_PRIVATE *private = NULL;
        _cleanup_free_ TPM2B_PUBLIC *public = NULL;
        _cleanup_free_ char *command = NULL;
        const TPM2B_SENSITIVE_CREATE sensitive = {};
        const TPM2B_DATA outside = {};
        const TPML_PCR_SELECTION pcrs = {};
        TRY(string_format(&command, "TPM2_Create of the %s", kind->what));
        Err *err = TPM_CALL(context, command,
                            Esys_Create(context->esys, primary, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, kind->template, &outside,
                                        &pcrs, &private, &public, NULL, NULL, NULL));
        if (is_parameter_error(err))
                return err_wrap_code(ERR_NOT_SUPPORTED, err, "the TPM makes no key of %s", kind->setting);
        TRY(err);
        _cleanup_bytes_ Bytes file = {};
        TRY(to_file_form(kind, public, private, &file));
        TRY(file_write_atomic(path, bytes_span(&file), FILE_MODE));
        *ret_file = bytes_steal(&file);
        return NULL;
}

/* Both parts with their sizes, and that the public one is such a key's: the file may have been put there by anyone with access. */
static Err *parse_file(const WrappedKind *kind, Span file, TPM2B_PUBLIC *ret_public, TPM2B_PRIVATE *ret_private) {
        _cleanup_free_ char *what = NULL;
        Reader reader = reader_make(file);
        Span public = reader_tpm2b(&reader, "TPM2B_PUBLIC");
        (void) reader_tpm2b(&reader, "TPM2B_PRIVATE");
        TRY(string_format(&what, "the wrapped %s", kind->what));
        TRY(reader_finish(&reader, kind->invalid, what));
        TRY(kind->check(public));
        size_t offset = 0;
        TSS2_RC rc = Tss2_MU_TPM2B_PUBLIC_Unmarshal(file.data, file.size, &offset, ret_public);
        if (rc == TSS2_RC_SUCCESS)
                rc = Tss2_MU_TPM2B_PRIVATE_Unmarshal(file.data, file.size, &offset, ret_private);
        if (rc != TSS2_RC_SUCCESS || offset != file.size)
                return err_new_native(kind->invalid, ERR_DOMAIN_TSS, rc, "the wrapped %s does not unmarshal", kind->what);
        return NULL;
}

static Err *check_template(const WrappedKind *kind, const TPMT_PUBLIC *public) {
        if (!kind->template)
                return NULL;
        const TPMT_PUBLIC *wanted = &kind->template->publicArea;
        bool same = public->type == wanted->type;
        if (same && wanted->type == TPM2_ALG_RSA)
                same = public->parameters.rsaDetail.keyBits == wanted->parameters.rsaDetail.keyBits;
        else if (same)
                same = public->parameters.eccDetail.curveID == wanted->parameters.eccDetail.curveID;
        return same ? NULL : err_new(kind->invalid, "it holds no %s key", kind->name);
}

Err *wrapped_key_load(const WrappedKind *kind, TpmContext *context, ESYS_TR primary, Span file, TpmObject *ret) {
        _cleanup_free_ char *command = NULL;
        TPM2B_PUBLIC public = {};
        TPM2B_PRIVATE private = {};
        Err *err = parse_file(kind, file, &public, &private);
        if (err_code(err) == ERR_QUOTE_MALFORMED)
                return err_wrap_code(kind->invalid, err, "the public part does not parse");
        TRY(err);
        TRY(check_template(kind, &public.publicArea));
        TRY(string_format(&command, "TPM2_Load of the %s", kind->what));
        err = TPM_CALL(context, command,
                       Esys_Load(context->esys, primary, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &private, &public, &ret->handle));
        if (is_parameter_error(err))
                return err_wrap_code(kind->invalid, err, "it is another TPM's, from before the TPM was cleared, or below another primary key");
        return err;
}

Err *wrapped_key_set_aside(const char *path, Span file, char **ret_aside) {
        Digest digest;
        char hex[2 * HASH_SIZE_MAX + 1];
        _cleanup_free_ char *aside = NULL;
        TRY(hash_digest(HASH_SHA256, file, &digest));
        hex_encode_into(digest_span(&digest), hex);
        int stem = (int) (strlen(path) - strlen(WRAPPED_KEY_SUFFIX));
        TRY(string_format(&aside, "%.*s-%.8s" WRAPPED_KEY_SUFFIX ".old", stem, path, hex));
        if (rename(path, aside) < 0)
                return err_new_errno(ERR_IO, errno, "renaming %s to %s", path, aside);
        *ret_aside = steal_ptr(&aside);
        return NULL;
}

Err *wrapped_key_read(const char *path, Bytes *ret) {
        int64_t number = 0;
        Err *err = file_read(path, FILE_SIZE_MAX, ret);
        if (err_code(err) == ERR_IO && err_native(err, &number) == ERR_DOMAIN_ERRNO && number == ENOENT)
                err = err_free(err);
        return err;
}

Err *wrapped_key_obtain(const WrappedKind *kind, const char *path, TpmContext *context, TpmObject *ret_object, char **ret_notice) {
        _cleanup_tpm_object_ TpmObject primary = { .context = context, .handle = ESYS_TR_NONE };
        _cleanup_bytes_ Bytes file = {};
        TRY(file_remove_unfinished(path));
        TRY(wrapped_key_make_primary(context, &primary));
        TRY(wrapped_key_read(path, &file));
        *ret_object = (TpmObject) { .context = context, .handle = ESYS_TR_NONE };
        if (file.size > 0) {
                _cleanup_(err_freep) Err *err = wrapped_key_load(kind, context, primary.handle, bytes_span(&file), ret_object);
                if (err_code(err) != kind->invalid)
                        return err_wrap(steal_ptr(&err), "loading %s", path);
                _cleanup_free_ char *aside = NULL, *notice = NULL;
                TRY(wrapped_key_set_aside(path, bytes_span(&file), &aside));
                TRY(string_format(&notice, "a new %s was made; the old one, kept as %s, could not be used: %s", kind->what, aside, err_describe(err)));
                free(*ret_notice);
                *ret_notice = steal_ptr(&notice);
                bytes_done(&file);
        }
        TRY(err_wrap(wrapped_key_create(kind, path, context, primary.handle, &file), "making %s %s", strchr("aeiou", kind->what[0]) ? "an" : "a", kind->what));
        return err_wrap(wrapped_key_load(kind, context, primary.handle, bytes_span(&file), ret_object), "loading the new %s", kind->what);
}
