/* See quote.h. Everything is big endian; TPM2B is a u16 size and as many bytes.
 *
 *     TPMS_ATTEST      u32 magic | u16 type | TPM2B qualifiedSigner | TPM2B extraData
 *                      | u64 clock | u32 resetCount | u32 restartCount | u8 safe | u64 firmwareVersion | TPMU_ATTEST
 *       quote          u32 n | n * { u16 alg | u8 size | size bytes of bitmap } | TPM2B pcrDigest
 *       certify        TPM2B name | TPM2B qualifiedName
 *     TPMT_SIGNATURE   u16 scheme | u16 hash | RSA: TPM2B value; ECDSA: TPM2B r, TPM2B s
 *     TPMT_PUBLIC      u16 type | u16 nameAlg | u32 attributes | TPM2B authPolicy | TPMU_PUBLIC_PARMS | unique
 *       RSA            symmetric | scheme | u16 keyBits | u32 exponent        unique: TPM2B modulus
 *       ECC            symmetric | scheme | u16 curve | u16 kdf [u16 hash]    unique: TPM2B x, TPM2B y
 *       symmetric      u16 alg [u16 keyBits | u16 mode, unless alg is NULL]
 *       scheme         u16 alg [u16 hash, unless alg is NULL or RSAES; ECDAA has u16 count behind it] */
#include "tcg/quote.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "base/reader.h"
#include "base/writer.h"
#include "jose/jwk.h"
#include "tcg/hash-openssl.h"

#define TPM_ALG_RSAES 0x0015
#define TPM_ALG_ECDAA 0x001a
#define RSA_BITS_MIN 1024   /* smaller keys are in no TPM 2.0 */
#define RSA_BITS_MAX 4096
#define SELECT_SIZE_MAX 4   /* octets of a PCR bitmap: TPM2_PCR_SELECT_MAX of tpm2-tss */
#define SELECT_WANTED 3     /* of them PCR_COUNT / 8 may hold anything */

#define DEFINE_OPENSSL_CLEANUP(Type, name, destroy)                                                          \
        static Type *name(Type *object) {                                                                    \
                destroy(object);                                                                             \
                return NULL;                                                                                 \
        }                                                                                                    \
        DEFINE_CLEANUP(Type, name)
DEFINE_OPENSSL_CLEANUP(BIGNUM, bn_free, BN_free)
DEFINE_OPENSSL_CLEANUP(ECDSA_SIG, ecdsa_sig_free, ECDSA_SIG_free)
DEFINE_OPENSSL_CLEANUP(EVP_MD_CTX, md_context_free, EVP_MD_CTX_free)
DEFINE_OPENSSL_CLEANUP(EVP_PKEY_CTX, pkey_context_free, EVP_PKEY_CTX_free)
DEFINE_OPENSSL_CLEANUP(OSSL_PARAM_BLD, builder_free, OSSL_PARAM_BLD_free)
DEFINE_OPENSSL_CLEANUP(OSSL_PARAM, params_free, OSSL_PARAM_free)

static void read_selection(Reader *reader, PcrSelection *selection) {
        uint32_t n_banks = reader_u32be(reader, "the number of selected banks");
        if (n_banks > PCR_BANKS_MAX)
                reader_fail(reader, "the number of selected banks");
        for (uint32_t i = 0; i < n_banks && !reader_failed(reader); i++) {
                PcrBankSelection *bank = &selection->banks[i];
                bank->alg = reader_u16be(reader, "a selected bank");
                Span bitmap = reader_span(reader, reader_u8(reader, "the size of a PCR bitmap"), "a PCR bitmap");
                if (bitmap.size > SELECT_SIZE_MAX)
                        reader_fail(reader, "the size of a PCR bitmap");
                for (size_t j = 0; j < bitmap.size && !reader_failed(reader); j++) {
                        if (j >= SELECT_WANTED && bitmap.data[j] != 0)
                                reader_fail(reader, "the selection of a PCR above 23");
                        else if (j < SELECT_WANTED)
                                bank->mask |= (uint32_t) bitmap.data[j] << (8 * j);
                }
        }
        selection->n_banks = reader_failed(reader) ? 0 : n_banks;
}

int64_t tpm_attest_restarts(uint32_t from_restart_count, uint32_t to_restart_count) {
        uint32_t difference = to_restart_count - from_restart_count;
        return difference <= INT32_MAX ? (int64_t) difference : (int64_t) difference - ((int64_t) UINT32_MAX + 1);
}

Err *tpm_attest_parse(Span input, TpmAttest *ret) {
        Reader reader = reader_make(input);
        TpmAttest attest = {};
        attest.magic = reader_u32be(&reader, "magic");
        if (!reader_failed(&reader) && attest.magic != TPM_GENERATED_MAGIC)
                return err_new(ERR_QUOTE_MALFORMED, "attestation structure: magic is 0x%08x, TPM_GENERATED_VALUE (0x%08x) is needed", attest.magic,
                               TPM_GENERATED_MAGIC);
        attest.type = reader_u16be(&reader, "type");
        if (!reader_failed(&reader) && attest.type != TPM_ST_ATTEST_QUOTE && attest.type != TPM_ST_ATTEST_CERTIFY)
                return err_new(ERR_QUOTE_MALFORMED, "attestation structure: type 0x%04x is neither a quote nor a certification", attest.type);
        attest.qualified_signer = reader_tpm2b(&reader, "qualifiedSigner");
        attest.extra_data = reader_tpm2b(&reader, "extraData");
        attest.clock = reader_u64be(&reader, "clock");
        attest.reset_count = reader_u32be(&reader, "resetCount");
        attest.restart_count = reader_u32be(&reader, "restartCount");
        attest.safe = reader_u8(&reader, "safe");
        if (attest.safe > 1)
                reader_fail(&reader, "safe");
        attest.firmware_version = reader_u64be(&reader, "firmwareVersion");
        if (attest.type == TPM_ST_ATTEST_QUOTE) {
                read_selection(&reader, &attest.selection);
                attest.pcr_digest = reader_tpm2b(&reader, "pcrDigest");
        } else {
                attest.name = reader_tpm2b(&reader, "name");
                attest.qualified_name = reader_tpm2b(&reader, "qualifiedName");
        }
        TRY(reader_finish(&reader, ERR_QUOTE_MALFORMED, "attestation structure"));
        *ret = attest;
        return NULL;
}

Err *tpm_signature_parse(Span input, TpmSignature *ret) {
        Reader reader = reader_make(input);
        TpmSignature signature = {};
        signature.scheme = reader_u16be(&reader, "sigAlg");
        signature.hash_alg = reader_u16be(&reader, "hash");
        if (signature.scheme == TPM_ALG_RSASSA || signature.scheme == TPM_ALG_RSAPSS)
                signature.rsa = reader_tpm2b(&reader, "RSA signature");
        else if (signature.scheme == TPM_ALG_ECDSA) {
                signature.r = reader_tpm2b(&reader, "signatureR");
                signature.s = reader_tpm2b(&reader, "signatureS");
        } else if (!reader_failed(&reader))
                return err_new(ERR_QUOTE_MALFORMED, "TPM signature: scheme 0x%04x is none of RSASSA, RSAPSS, ECDSA", signature.scheme);
        TRY(reader_finish(&reader, ERR_QUOTE_MALFORMED, "TPM signature"));
        *ret = signature;
        return NULL;
}

static void read_symmetric(Reader *reader, TpmPublic *public) {
        public->symmetric = reader_u16be(reader, "symmetric");
        if (public->symmetric == TPM_ALG_NULL)
                return;
        public->symmetric_bits = reader_u16be(reader, "symmetric keyBits");
        public->symmetric_mode = reader_u16be(reader, "symmetric mode");
}

static void read_scheme(Reader *reader, TpmPublic *public) {
        public->scheme = reader_u16be(reader, "scheme");
        if (public->scheme == TPM_ALG_NULL || public->scheme == TPM_ALG_RSAES)
                return;
        public->scheme_hash = reader_u16be(reader, "scheme hash");
        if (public->scheme == TPM_ALG_ECDAA)
                reader_u16be(reader, "scheme count");
}

static void read_rsa_public(Reader *reader, TpmPublic *public) {
        read_symmetric(reader, public);
        read_scheme(reader, public);
        public->rsa_bits = reader_u16be(reader, "keyBits");
        public->rsa_exponent = reader_u32be(reader, "exponent");
        if (public->rsa_exponent == 0)
                public->rsa_exponent = 65537; /* Part 2 §12.2.3.5 */
        public->rsa_modulus = reader_tpm2b(reader, "modulus");
}

static void read_ecc_public(Reader *reader, TpmPublic *public) {
        read_symmetric(reader, public);
        read_scheme(reader, public);
        public->curve = reader_u16be(reader, "curveID");
        if (reader_u16be(reader, "kdf") != TPM_ALG_NULL)
                reader_u16be(reader, "kdf hash");
        public->x = reader_tpm2b(reader, "x");
        public->y = reader_tpm2b(reader, "y");
}

Err *tpm_public_parse(Span input, TpmPublic *ret) {
        Reader reader = reader_make(input);
        TpmPublic public = {};
        public.type = reader_u16be(&reader, "type");
        public.name_alg = reader_u16be(&reader, "nameAlg");
        public.attributes = reader_u32be(&reader, "objectAttributes");
        public.auth_policy = reader_tpm2b(&reader, "authPolicy");
        if (public.type == TPM_ALG_RSA)
                read_rsa_public(&reader, &public);
        else if (public.type == TPM_ALG_ECC)
                read_ecc_public(&reader, &public);
        else if (!reader_failed(&reader))
                return err_new(ERR_QUOTE_MALFORMED, "TPM public area: type 0x%04x is neither RSA nor ECC", public.type);
        TRY(reader_finish(&reader, ERR_QUOTE_MALFORMED, "TPM public area"));
        *ret = public;
        return NULL;
}

Err *tpm_public_name(Span tpmt_public, Bytes *ret) {
        TpmPublic public;
        Digest digest;
        TRY(tpm_public_parse(tpmt_public, &public));
        if (hash_size(public.name_alg) == 0)
                return err_new(ERR_QUOTE_MALFORMED, "TPM public area: nameAlg 0x%04x is no hash algorithm", public.name_alg);
        TRY(hash_digest(public.name_alg, tpmt_public, &digest));
        _cleanup_writer_ Writer writer = {};
        writer_u16be(&writer, public.name_alg);
        writer_span(&writer, digest_span(&digest));
        return writer_finish(&writer, ret);
}

static Err *key_unusable(const char *why) {
        ERR_clear_error();
        return err_new(ERR_QUOTE_MALFORMED, "TPM public area: %s", why);
}

static Err *pkey_from_builder(const char *type, OSSL_PARAM_BLD *builder, EVP_PKEY **ret) {
        _cleanup_(params_freep) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
        _cleanup_(pkey_context_freep) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        if (!params || !context)
                return err_oom();
        if (EVP_PKEY_fromdata_init(context) != 1 || EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
                return key_unusable("the key's numbers are no valid public key");
        *ret = steal_ptr(&key);
        return NULL;
}

static Err *rsa_to_pkey(const TpmPublic *public, EVP_PKEY **ret) {
        if (public->rsa_bits < RSA_BITS_MIN || public->rsa_bits > RSA_BITS_MAX || public->rsa_modulus.size != public->rsa_bits / 8U)
                return key_unusable("the size of the RSA modulus is not allowed or is not keyBits");
        if (public->rsa_exponent < 3 || public->rsa_exponent % 2 == 0 || public->rsa_modulus.data[0] == 0)
                return key_unusable("the RSA exponent or modulus is impossible");
        _cleanup_(builder_freep) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
        _cleanup_(bn_freep) BIGNUM *modulus = BN_bin2bn(public->rsa_modulus.data, (int) public->rsa_modulus.size, NULL);
        if (!builder || !modulus || OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) != 1 ||
            OSSL_PARAM_BLD_push_uint32(builder, OSSL_PKEY_PARAM_RSA_E, public->rsa_exponent) != 1)
                return err_oom();
        return pkey_from_builder("RSA", builder, ret);
}

/* TPM_ECC_CURVE, Part 2 §6.4; the NIST curves alone sign quotes in practice. */
static const struct Curve {
        uint16_t id;
        const char *name;
        size_t size;
} curves[] = {
        { 0x0003, "prime256v1", 32 },
        { 0x0004, "secp384r1", 48 },
        { 0x0005, "secp521r1", 66 },
};

static Err *ecc_to_pkey(const TpmPublic *public, EVP_PKEY **ret) {
        const struct Curve *curve = NULL;
        for (size_t i = 0; i < N_ELEMENTS(curves); i++)
                if (curves[i].id == public->curve)
                        curve = &curves[i];
        if (!curve)
                return err_new(ERR_QUOTE_MALFORMED, "TPM public area: curve 0x%04x is none of P-256, P-384, P-521", public->curve);
        if (public->x.size > curve->size || public->y.size > curve->size)
                return key_unusable("a coordinate is larger than its curve");
        static const uint8_t zeros[66];
        _cleanup_bytes_ Bytes point = {};
        _cleanup_writer_ Writer writer = {};
        writer_u8(&writer, POINT_CONVERSION_UNCOMPRESSED);
        writer_span(&writer, span_make(zeros, curve->size - public->x.size));
        writer_span(&writer, public->x);
        writer_span(&writer, span_make(zeros, curve->size - public->y.size));
        writer_span(&writer, public->y);
        TRY(writer_finish(&writer, &point));
        _cleanup_(builder_freep) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
        if (!builder || OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, curve->name, 0) != 1 ||
            OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.size) != 1)
                return err_oom();
        return pkey_from_builder("EC", builder, ret);
}

Err *tpm_public_to_pkey(const TpmPublic *public, EVP_PKEY **ret) {
        return public->type == TPM_ALG_RSA ? rsa_to_pkey(public, ret) : ecc_to_pkey(public, ret);
}

static Err *verify_with(bool pss, uint16_t hash_alg, Span signature, Span attest, EVP_PKEY *key) {
        const EVP_MD *md;
        EVP_PKEY_CTX *context; /* owned by digest */
        TRY(hash_evp_md(hash_alg, &md));
        _cleanup_(md_context_freep) EVP_MD_CTX *digest = EVP_MD_CTX_new();
        if (!digest)
                return err_oom();
        bool valid = EVP_DigestVerifyInit(digest, &context, md, NULL, key) == 1;
        /* Part 1 annex B.7: a TPM's salt has the size of the digest or is as large as possible. */
        if (valid && pss)
                valid = EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
                        EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_AUTO) == 1;
        valid = valid && EVP_DigestVerify(digest, signature.data, signature.size, attest.data, attest.size) == 1;
        ERR_clear_error();
        return valid ? NULL : err_new(ERR_QUOTE_SIGNATURE_INVALID, "the signature of the attestation structure does not verify with this key");
}

static Err *check_signature_hash(uint16_t hash_alg) {
        if (hash_size(hash_alg) == 0)
                return err_new(ERR_QUOTE_MALFORMED, "TPM signature: 0x%04x is no known hash algorithm", hash_alg);
        return NULL;
}

Err *tpm_signature_verify_raw(Span raw_signature, uint16_t hash_alg, Span attest, EVP_PKEY *key) {
        TRY(check_signature_hash(hash_alg));
        return verify_with(false, hash_alg, raw_signature, attest, key);
}

static Err *verify_ecdsa(const TpmSignature *signature, Span attest, EVP_PKEY *key) {
        _cleanup_(ecdsa_sig_freep) ECDSA_SIG *numbers = ECDSA_SIG_new();
        _cleanup_(bn_freep) BIGNUM *r = BN_bin2bn(signature->r.data, (int) signature->r.size, NULL);
        _cleanup_(bn_freep) BIGNUM *s = BN_bin2bn(signature->s.data, (int) signature->s.size, NULL);
        if (!numbers || !r || !s || ECDSA_SIG_set0(numbers, r, s) != 1)
                return err_oom();
        r = s = NULL; /* ECDSA_SIG_set0() took them */
        unsigned char *der = NULL;
        int size = i2d_ECDSA_SIG(numbers, &der);
        if (size < 0)
                return err_oom();
        Err *err = verify_with(false, signature->hash_alg, span_make(der, (size_t) size), attest, key);
        OPENSSL_free(der);
        return err;
}

Err *tpm_signature_verify(const TpmSignature *signature, Span attest, EVP_PKEY *key) {
        const char *needed = signature->scheme == TPM_ALG_ECDSA ? "EC" : "RSA";
        TRY(check_signature_hash(signature->hash_alg));
        if (EVP_PKEY_is_a(key, needed) != 1)
                return err_new(ERR_QUOTE_SIGNATURE_INVALID, "the signature of the attestation structure needs an %s key, and this is none", needed);
        if (signature->scheme == TPM_ALG_ECDSA)
                return verify_ecdsa(signature, attest, key);
        return verify_with(signature->scheme == TPM_ALG_RSAPSS, signature->hash_alg, signature->rsa, attest, key);
}

static Err *check_pcrs(const TpmAttest *attest, uint16_t hash_alg, const PcrValues *values) {
        PcrSelection given = pcr_values_selection(values);
        Digest digest;
        if (!pcr_selection_equal(&given, &attest->selection)) {
                _cleanup_free_ char *quoted_text = NULL, *given_text = NULL;
                TRY(pcr_selection_to_string(&attest->selection, &quoted_text));
                TRY(pcr_selection_to_string(&given, &given_text));
                return err_new(ERR_QUOTE_PCR_MISMATCH, "the quote covers PCRs %s, values of %s are at hand", quoted_text, given_text);
        }
        TRY(pcr_values_digest(values, &attest->selection, hash_alg, &digest));
        if (!span_equal(digest_span(&digest), attest->pcr_digest))
                return err_new(ERR_QUOTE_PCR_MISMATCH, "the PCR values do not give the quote's pcrDigest");
        return NULL;
}

Err *quote_verify(Span attest, Span tpmt_signature, EVP_PKEY *key, Span qualifying, const PcrValues *values,
                  TpmAttest *ret_attest) {
        TpmAttest parsed;
        TpmSignature signature;
        TRY(tpm_attest_parse(attest, &parsed));
        if (parsed.type != TPM_ST_ATTEST_QUOTE)
                return err_new(ERR_QUOTE_MALFORMED, "attestation structure: type 0x%04x is no quote", parsed.type);
        TRY(tpm_signature_parse(tpmt_signature, &signature));
        TRY(tpm_signature_verify(&signature, attest, key));
        if (!span_equal(parsed.extra_data, qualifying))
                return err_new(ERR_QUOTE_NONCE_MISMATCH, "the quote's extraData is not what was asked to be quoted");
        TRY(check_pcrs(&parsed, signature.hash_alg, values));
        if (ret_attest)
                *ret_attest = parsed;
        return NULL;
}

Err *certify_verify(Span attest, Span tpmt_signature, EVP_PKEY *key, Span qualifying, Span tpmt_public) {
        TpmAttest parsed;
        TpmSignature signature;
        _cleanup_bytes_ Bytes name = {};
        TRY(tpm_attest_parse(attest, &parsed));
        if (parsed.type != TPM_ST_ATTEST_CERTIFY)
                return err_new(ERR_QUOTE_MALFORMED, "attestation structure: type 0x%04x certifies no key", parsed.type);
        TRY(tpm_signature_parse(tpmt_signature, &signature));
        TRY(tpm_signature_verify(&signature, attest, key));
        if (!span_equal(parsed.extra_data, qualifying))
                return err_new(ERR_QUOTE_NONCE_MISMATCH, "the certification's extraData is not what was asked to be certified");
        TRY(tpm_public_name(tpmt_public, &name));
        if (!span_equal(parsed.name, bytes_span(&name)))
                return err_new(ERR_KEY_INVALID, "the certification is about a key of another name than the public area has");
        return NULL;
}

Err *quote_check_covers(const PcrSelection *selection, uint32_t required_pcrs) {
        for (size_t i = 0; i < selection->n_banks; i++)
                if ((selection->banks[i].mask & required_pcrs) == required_pcrs)
                        return NULL;
        _cleanup_free_ char *quoted = NULL, *required = NULL;
        TRY(pcr_selection_to_string(selection, &quoted));
        TRY(pcr_mask_to_string(required_pcrs, &required));
        return err_new(ERR_QUOTE_PCR_MISMATCH, "the quote covers %s, but one bank must have all of the PCRs %s", quoted, required);
}
