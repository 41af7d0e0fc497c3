/* Every third-party quote, certification, public area and certificate against the values that independent programs found. */
#include "tests/support/vectors-tcg.h"

#include <openssl/pem.h>

#include "jose/jwk.h"
#include "tcg/aik-certificate.h"
#include "tcg/quote.h"
#include "tcg/verdict.h"

#define UNIX_2023 UINT64_C(1672531200)
#define UNIX_2024_06 UINT64_C(1717200000)
#define UNIX_2060 UINT64_C(2840140800)

static EVP_PKEY *read_key(Bytes pem) {
        BIO *bio = BIO_new_mem_buf(pem.data, (int) pem.size);
        EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
        BIO_free(bio);
        bytes_done(&pem);
        assert_non_null(key);
        return key;
}

static X509 *read_certificate(Bytes der) {
        const unsigned char *p = der.data;
        X509 *certificate = d2i_X509(NULL, &p, (long) der.size);
        bytes_done(&der);
        assert_non_null(certificate);
        return certificate;
}

static int64_t integer_of(const Json *json, const char *member) {
        int64_t value = -1;
        assert_ok(json_get_integer(json, member, &value));
        return value;
}

static bool boolean_of(const Json *json, const char *member) {
        Json *value = json_get(json, member);
        return value && json_object_get_boolean(value);
}

static void check_selection(const Json *quote, const PcrSelection *selection) {
        Json *banks;
        assert_ok(json_get_array(quote, "pcrSelect", &banks));
        assert_int_equal(selection->n_banks, json_object_array_length(banks));
        for (size_t i = 0; i < selection->n_banks; i++) {
                const Json *bank = json_object_array_get_idx(banks, i);
                Json *pcrs;
                uint32_t mask = 0;
                assert_ok(json_get_array(bank, "pcrs", &pcrs));
                for (size_t j = 0; j < json_object_array_length(pcrs); j++)
                        mask |= UINT32_C(1) << json_object_get_int(json_object_array_get_idx(pcrs, j));
                assert_int_equal(selection->banks[i].alg, hash_from_name(vector_string(bank, "hash")));
                assert_int_equal(selection->banks[i].mask, mask);
        }
}

static void check_attest(const Json *expected, const TpmAttest *attest) {
        const Json *clock = json_get(expected, "clockInfo"), *quote = json_get(expected, "quote"), *certify = json_get(expected, "certify");
        char text[17];
        snprintf(text, sizeof(text), "%04x", attest->type);
        assert_string_equal(text, vector_string(expected, "type"));
        assert_hex(attest->qualified_signer, vector_string(expected, "qualifiedSigner"), "qualifiedSigner");
        assert_hex(attest->extra_data, vector_string(expected, "extraData"), "extraData");
        assert_int_equal(attest->clock, integer_of(clock, "clock"));
        assert_int_equal(attest->reset_count, integer_of(clock, "resetCount"));
        assert_int_equal(attest->restart_count, integer_of(clock, "restartCount"));
        assert_int_equal(attest->safe, integer_of(clock, "safe"));
        snprintf(text, sizeof(text), "%016llx", (unsigned long long) attest->firmware_version);
        assert_string_equal(text, vector_string(expected, "firmwareVersion"));
        if (quote) {
                check_selection(quote, &attest->selection);
                assert_hex(attest->pcr_digest, vector_string(quote, "pcrDigest"), "pcrDigest");
        }
        if (certify) {
                assert_hex(attest->name, vector_string(certify, "name"), "name");
                assert_hex(attest->qualified_name, vector_string(certify, "qualifiedName"), "qualifiedName");
        }
}

/* The expected public area, which some sources have as TPM2B. */
static Span unwrapped(const Json *expected, const Bytes *public) {
        size_t skip = boolean_of(expected, "wrapped") ? 2 : 0;
        return span_make(public->data + skip, public->size - skip);
}

static void check_public(const Json *expected, const Bytes *bytes) {
        TpmPublic public;
        _cleanup_bytes_ Bytes name = {};
        char text[9];
        assert_ok(tpm_public_parse(unwrapped(expected, bytes), &public));
        assert_ok(tpm_public_name(unwrapped(expected, bytes), &name));
        assert_hex(bytes_span(&name), vector_string(expected, "name"), "name");
        assert_hex(public.auth_policy, vector_string(expected, "authPolicy"), "authPolicy");
        snprintf(text, sizeof(text), "%08x", public.attributes);
        assert_string_equal(text, vector_string(expected, "objectAttributes"));
        assert_int_equal(public.name_alg, hash_from_name(vector_string(expected, "nameAlg")));
        assert_int_equal(public.scheme_hash, hash_from_name(vector_string(expected, "schemeHash")));
        if (string_equal(vector_string(expected, "type"), "rsa")) {
                assert_int_equal(public.rsa_bits, integer_of(expected, "keyBits"));
                assert_int_equal(public.rsa_exponent, integer_of(expected, "exponent"));
        }
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        assert_ok(tpm_public_to_pkey(&public, &key));
}

/* The key of akpub.bin is the one of akpub.pem. */
static void check_same_key(const Json *expected, const Bytes *bytes, EVP_PKEY *pem) {
        TpmPublic public;
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        assert_ok(tpm_public_parse(unwrapped(expected, bytes), &public));
        assert_ok(tpm_public_to_pkey(&public, &key));
        assert_int_equal(EVP_PKEY_eq(key, pem), 1);
}

static PcrValues in_quote_order(const PcrValues *values, const PcrSelection *selection) {
        PcrValues ordered = { .n_banks = selection->n_banks };
        for (size_t i = 0; i < selection->n_banks; i++) {
                const PcrBank *bank = pcr_values_bank_const(values, selection->banks[i].alg);
                assert_non_null(bank);
                ordered.banks[i] = *bank;
                ordered.banks[i].mask = selection->banks[i].mask;
        }
        return ordered;
}

typedef struct Vector {
        const char *path;
        Json *expected;
        Bytes attest, signature, nonce;
        TpmAttest parsed;
} Vector;

static void vector_done(Vector *vector) {
        json_unref(vector->expected);
        bytes_done(&vector->attest);
        bytes_done(&vector->signature);
        bytes_done(&vector->nonce);
}

/* Any one bit that is wrong makes the quote worthless. */
static void check_changed_quote(const Vector *vector, EVP_PKEY *key, const PcrValues *values) {
        Span attest = bytes_span(&vector->attest), signature = bytes_span(&vector->signature), nonce = bytes_span(&vector->nonce);
        PcrValues other = *values;
        vector->attest.data[5] ^= 1;
        Err *err = quote_verify(attest, signature, key, nonce, values, NULL);
        assert_non_null(err);
        err_free(err);
        vector->attest.data[5] ^= 1;
        vector->signature.data[vector->signature.size - 1] ^= 1;
        assert_err(quote_verify(attest, signature, key, nonce, values, NULL), ERR_QUOTE_SIGNATURE_INVALID);
        vector->signature.data[vector->signature.size - 1] ^= 1;
        assert_err(quote_verify(attest, signature, key, SPAN_OF("other"), values, NULL), ERR_QUOTE_NONCE_MISMATCH);
        for (unsigned i = 0; i < PCR_COUNT; i++)
                other.banks[0].values[i].bytes[0] ^= (uint8_t) (other.banks[0].mask >> i & 1);
        assert_err(quote_verify(attest, signature, key, nonce, &other, NULL), ERR_QUOTE_PCR_MISMATCH);
        other = *values;
        other.n_banks = 0;
        assert_err(quote_verify(attest, signature, key, nonce, &other, NULL), ERR_QUOTE_PCR_MISMATCH);
        assert_ok(quote_verify(attest, signature, key, nonce, values, NULL));
}

static void check_quote(Vector *vector, EVP_PKEY *key) {
        _cleanup_json_ Json *json = vector_json(vector_file("%s/pcrs.json", vector->path));
        PcrValues all = vector_pcrs(json), values = in_quote_order(&all, &vector->parsed.selection);
        TpmSignature signature;
        Digest digest;
        assert_ok(tpm_signature_parse(bytes_span(&vector->signature), &signature));
        assert_ok(pcr_values_digest(&values, &vector->parsed.selection, signature.hash_alg, &digest));
        assert_true(span_equal(digest_span(&digest), vector->parsed.pcr_digest) == (json_get(vector->expected, "pcr_digest_matches")
                            ? boolean_of(vector->expected, "pcr_digest_matches") : true));
        if (!key) /* parse only */
                return;
        Err *err = quote_verify(bytes_span(&vector->attest), bytes_span(&vector->signature), key, bytes_span(&vector->nonce), &values, NULL);
        if (string_equal(vector_string(vector->expected, "expect"), "valid")) {
                assert_ok(err);
                check_changed_quote(vector, key, &values);
        } else
                assert_err(err, boolean_of(vector->expected, "signature_valid") ? ERR_QUOTE_NONCE_MISMATCH : ERR_QUOTE_SIGNATURE_INVALID);
}

static void check_certify(const Vector *vector, EVP_PKEY *key) {
        TpmSignature signature;
        _cleanup_bytes_ Bytes public = vector_file("%s/pubarea.bin", vector->path), name = {};
        check_public(json_get(vector->expected, "pubarea"), &public);
        assert_ok(tpm_public_name(unwrapped(json_get(vector->expected, "pubarea"), &public), &name));
        assert_true(span_equal(bytes_span(&name), vector->parsed.name));
        assert_true(span_equal(bytes_span(&vector->nonce), vector->parsed.extra_data));
        assert_ok(tpm_signature_parse(bytes_span(&vector->signature), &signature));
        assert_ok(tpm_signature_verify(&signature, bytes_span(&vector->attest), key));
        Span area = unwrapped(json_get(vector->expected, "pubarea"), &public), nonce = bytes_span(&vector->nonce), attest = bytes_span(&vector->attest);
        _cleanup_bytes_ Bytes other = {};
        assert_ok(certify_verify(attest, bytes_span(&vector->signature), key, nonce, area));
        assert_err(certify_verify(attest, bytes_span(&vector->signature), key, span_make(nonce.data, nonce.size - 1), area), ERR_QUOTE_NONCE_MISMATCH);
        assert_ok(bytes_copy(area, &other));
        other.data[other.size - 1] ^= 1;
        assert_err(certify_verify(attest, bytes_span(&vector->signature), key, nonce, bytes_span(&other)), ERR_KEY_INVALID);
        _cleanup_bytes_ Bytes raw = vector_file("%s/signature.raw", vector->path);
        assert_ok(tpm_signature_verify_raw(bytes_span(&raw), signature.hash_alg, bytes_span(&vector->attest), key));
        PcrValues none = {};
        assert_err(quote_verify(bytes_span(&vector->attest), bytes_span(&vector->signature), key, bytes_span(&vector->nonce), &none, NULL),
                   ERR_QUOTE_MALFORMED);
}

static void check_attestation(const char *path, const Json *expected, const char *kind) {
        _cleanup_(vector_done) Vector vector = {
                .path = path,
                .expected = json_object_get((Json *) expected),
                .attest = vector_file("%s/attest.bin", path),
                .signature = vector_file("%s/signature.bin", path),
        };
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        if (vector_exists("%s/nonce.bin", path))
                vector.nonce = vector_file("%s/nonce.bin", path);
        if (vector_exists("%s/akpub.pem", path))
                key = read_key(vector_file("%s/akpub.pem", path));
        if (string_equal(kind, "creation")) { /* neither a quote nor a certification */
                TpmSignature signature;
                assert_err(tpm_attest_parse(bytes_span(&vector.attest), &vector.parsed), ERR_QUOTE_MALFORMED);
                assert_string_equal(vector_string(expected, "expect"), "valid");
                assert_ok(tpm_signature_parse(bytes_span(&vector.signature), &signature));
                assert_ok(tpm_signature_verify(&signature, bytes_span(&vector.attest), key));
                vector.attest.data[vector.attest.size - 1] ^= 1;
                assert_err(tpm_signature_verify(&signature, bytes_span(&vector.attest), key), ERR_QUOTE_SIGNATURE_INVALID);
                return;
        }
        assert_ok(tpm_attest_parse(bytes_span(&vector.attest), &vector.parsed));
        check_attest(json_get(expected, "attest"), &vector.parsed);
        if (string_equal(kind, "certify"))
                check_certify(&vector, key);
        else
                check_quote(&vector, key);
        if (vector_exists("%s/akpub.bin", path)) {
                _cleanup_bytes_ Bytes public = vector_file("%s/akpub.bin", path);
                check_public(json_get(expected, "akpub"), &public);
                check_same_key(json_get(expected, "akpub"), &public, key);
        }
}

static void check_certificate(const char *path, const Json *expected) {
        _cleanup_bytes_ Bytes der = vector_file("%s/cert.der", path);
        const unsigned char *p = der.data;
        _cleanup_(x509_freep) X509 *certificate = d2i_X509(NULL, &p, (long) der.size);
        assert_non_null(certificate);
        assert_int_equal(p - der.data, integer_of(expected, "der_length"));
        EVP_PKEY *key = X509_get0_pubkey(certificate);
        _cleanup_(aik_certificate_freep) AikCertificate *checked = NULL;
        assert_ok(aik_certificate_check(bytes_span(&der), key, UNIX_2023, NULL, NULL, &checked));
        assert_false(checked->chain_verified);
        if (!vector_exists("%s/issuer.der", path))
                return;
        _cleanup_(x509_freep) X509 *issuer = read_certificate(vector_file("%s/issuer.der", path));
        STACK_OF(X509) *roots = sk_X509_new_null();
        sk_X509_push(roots, issuer);
        checked = aik_certificate_free(checked);
        assert_ok(aik_certificate_check(bytes_span(&der), key, UNIX_2023, roots, NULL, &checked));
        assert_true(checked->chain_verified);
        sk_X509_free(roots);
}

static unsigned n_kinds[7];

static size_t n_folders;

/* test-credential.c has these by name. */
static void check_is_tested_elsewhere(const char *name) {
        static const char *const names[] = { "keylime-makecredential-rsa.json", "keylime-makecredential-ecc.json" };
        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (string_equal(name, names[i]))
                        return;
        fail_msg("%s is a vector of MakeCredential that test-credential.c does not know", name);
}

static void check_vector(const char *directory, const char *name) {
        char path[4096];
        static const char *const kinds[] = { "quote", "negative-quote", "certify", "creation" };
        _cleanup_json_ Json *expected = vector_json(vector_file("%s/%s", directory, name));
        const char *kind = vector_string(expected, "kind");
        snprintf(path, sizeof(path), "%.*s/%.*s", (int) (strlen(directory) - strlen("/expected")), directory, (int) (strlen(name) - strlen(".json")), name);
        for (size_t i = 0; i < N_ELEMENTS(kinds); i++)
                if (string_equal(kind, kinds[i])) {
                        check_attestation(path, expected, kind);
                        n_kinds[i]++;
                }
        if (string_equal(kind, "certificate")) {
                check_certificate(path, expected);
                n_kinds[4]++;
        }
        if (string_equal(kind, "public")) {
                _cleanup_bytes_ Bytes public = vector_file("%s/public.bin", path);
                check_public(json_get(expected, "public"), &public);
                n_kinds[5]++;
        }
        if (string_equal(kind, "makecredential")) {
                check_is_tested_elsewhere(name);
                n_kinds[6]++;
        }
}

/* A vector without an expected file, or of a kind that nobody looks at, is a vector without a test. */
static void check_has_expected_file(const char *directory, const char *name) {
        if (string_equal(name, "expected"))
                return;
        if (!vector_exists("%s/expected/%s.json", directory, name))
                fail_msg("%s/%s has no expected file, so nothing tests it", directory, name);
        n_folders++;
}

static void test_tpm_vectors_give_expected_values(void **state) {
        char directory[4096];
        snprintf(directory, sizeof(directory), "%s/tpm/expected", vectors_or_skip());
        size_t n = vectors_each(directory, ".json", check_vector);
        print_message("%zu vectors: %u quotes, %u forged, %u certifications, %u creations, %u certificates, %u keys, %u credentials\n", n, n_kinds[0],
                      n_kinds[1], n_kinds[2], n_kinds[3], n_kinds[4], n_kinds[5], n_kinds[6]);
        size_t n_tested = 0;
        for (size_t i = 0; i < N_ELEMENTS(n_kinds); i++) {
                assert_true(n_kinds[i] > 0);
                n_tested += n_kinds[i];
        }
        assert_int_equal(n_tested, n);   /* each kind is one that is known */
        snprintf(directory, sizeof(directory), "%s/tpm", vectors_or_skip());
        vectors_each(directory, "", check_has_expected_file);
        assert_int_equal(n_folders, n);
}

/* Values that stand one after the other in the order of the selection. */
static PcrValues values_from_bytes(Span bytes, const PcrSelection *selection) {
        PcrValues values = { .n_banks = selection->n_banks };
        for (size_t i = 0; i < selection->n_banks; i++) {
                PcrBank *bank = &values.banks[i];
                *bank = (PcrBank) { .alg = selection->banks[i].alg, .mask = selection->banks[i].mask };
                for (unsigned j = 0; j < PCR_COUNT; j++) {
                        size_t size = hash_size(bank->alg);
                        if (!(bank->mask >> j & 1))
                                continue;
                        assert_true(bytes.size >= size);
                        bank->values[j] = digest_make(bank->alg, span_make(bytes.data, size));
                        bytes = span_make(bytes.data + size, bytes.size - size);
                }
        }
        assert_int_equal(bytes.size, 0);
        return values;
}

static void assert_gives_digest(const TpmAttest *attest, Span pcrs) {
        PcrValues values = values_from_bytes(pcrs, &attest->selection);
        Digest digest;
        assert_ok(pcr_values_digest(&values, &attest->selection, HASH_SHA256, &digest));
        assert_true(span_equal(digest_span(&digest), attest->pcr_digest));
}

static void check_azure_quote(const char *directory, const char *name) {
        int stem = (int) (strlen(name) - strlen(".attest.bin"));
        _cleanup_bytes_ Bytes attest = vector_file("%s/%s", directory, name), signature = vector_file("%s/%.*s.sig.bin", directory, stem, name);
        _cleanup_(pkey_freep) EVP_PKEY *key = read_key(vector_file("%s/%.*s.ak.pem", directory, stem, name));
        TpmAttest parsed;
        assert_ok(tpm_attest_parse(bytes_span(&attest), &parsed));
        assert_ok(tpm_signature_verify_raw(bytes_span(&signature), HASH_SHA256, bytes_span(&attest), key));
        attest.data[attest.size - 1] ^= 1;
        assert_err(tpm_signature_verify_raw(bytes_span(&signature), HASH_SHA256, bytes_span(&attest), key), ERR_QUOTE_SIGNATURE_INVALID);
        attest.data[attest.size - 1] ^= 1;
        if (vector_exists("%s/%.*s.pcrs.bin", directory, stem, name)) {
                _cleanup_bytes_ Bytes pcrs = vector_file("%s/%.*s.pcrs.bin", directory, stem, name);
                assert_gives_digest(&parsed, bytes_span(&pcrs));
                assert_true(span_equal_string(parsed.extra_data, "challenge"));
                assert_int_equal(parsed.selection.banks[0].mask, PCR_MASK_ALL);
        } else { /* kinvolk-0: bitmap 00 80 41, qualifying data 01 02 03 */
                assert_int_equal(parsed.selection.banks[0].mask, 0x418000);
                assert_memory_equal(parsed.extra_data.data, ((uint8_t[]) { 1, 2, 3 }), 3);
        }
}

static void test_azure_vtpm_quotes_verify(void **state) {
        char directory[4096];
        snprintf(directory, sizeof(directory), "%s/maa/tpmquote", vectors_or_skip());
        size_t n = vectors_each(directory, ".attest.bin", check_azure_quote);
        print_message("%zu Azure vTPM quotes\n", n);
        assert_true(n > 0);
}

/* What a real AzureGuest request carries: quote, certified key, AIK and its certificate. */
static void test_azure_guest_request_verifies(void **state) {
        const char *directory = vectors_or_skip();
        _cleanup_bytes_ Bytes certificate = vector_file("%s/maa/azureguest/spec-aik.der", directory);
        _cleanup_bytes_ Bytes aik = vector_file("%s/maa/azureguest/spec-aikpub.tpm2b_public.bin", directory);
        _cleanup_bytes_ Bytes quote = vector_file("%s/maa/azureguest/spec-quote.attest.bin", directory);
        _cleanup_bytes_ Bytes quote_signature = vector_file("%s/maa/azureguest/spec-quote.sig.bin", directory);
        _cleanup_bytes_ Bytes pcrs = vector_file("%s/maa/azureguest/spec-quote.pcrs.bin", directory);
        _cleanup_bytes_ Bytes certify = vector_file("%s/maa/azureguest/spec-enckey.certify.bin", directory);
        _cleanup_bytes_ Bytes certify_signature = vector_file("%s/maa/azureguest/spec-enckey.certify.sig.bin", directory);
        _cleanup_bytes_ Bytes public = vector_file("%s/maa/azureguest/spec-enckey.tpm2b_public.bin", directory), name = {};
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        _cleanup_(aik_certificate_freep) AikCertificate *checked = NULL;
        TpmPublic aik_public;
        TpmAttest parsed;
        assert_ok(tpm_public_parse(span_make(aik.data + 2, aik.size - 2), &aik_public));
        assert_ok(tpm_public_to_pkey(&aik_public, &key));
        assert_ok(aik_certificate_check(bytes_span(&certificate), key, UNIX_2024_06, NULL, NULL, &checked));
        assert_non_null(strstr(checked->issuer, "CN=Global Virtual TPM CA - 01"));
        assert_non_null(strstr(checked->subject, ".TrustedVM.Azure.Microsoft"));
        assert_ok(tpm_signature_verify_raw(bytes_span(&quote_signature), HASH_SHA256, bytes_span(&quote), key));
        assert_ok(tpm_attest_parse(bytes_span(&quote), &parsed));
        assert_int_equal(parsed.extra_data.size, 0);
        assert_int_equal(parsed.selection.banks[0].mask, 0x0078ff);
        assert_gives_digest(&parsed, bytes_span(&pcrs));
        assert_ok(tpm_signature_verify_raw(bytes_span(&certify_signature), HASH_SHA256, bytes_span(&certify), key));
        assert_ok(tpm_attest_parse(bytes_span(&certify), &parsed));
        assert_int_equal(parsed.type, TPM_ST_ATTEST_CERTIFY);
        assert_ok(tpm_public_name(span_make(public.data + 2, public.size - 2), &name));
        assert_true(span_equal(bytes_span(&name), parsed.name));
}

/* Windows AIKs with their issuer, and what makes such a certificate worthless. */
static void test_aik_certificate_check_tells_what_is_wrong(void **state) {
        static const char *const names[] = { "dell", "lenovo", "surface" };
        const char *directory = vectors_or_skip();
        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                _cleanup_bytes_ Bytes der = vector_file("%s/tpm/webauthn-tpm-%s/x5c-0.der", directory, names[i]), padded = {};
                _cleanup_(pkey_freep) EVP_PKEY *key = read_key(vector_file("%s/tpm/webauthn-tpm-%s/akpub.pem", directory, names[i]));
                _cleanup_(pkey_freep) EVP_PKEY *other = read_key(vector_file("%s/tpm/webauthn-tpm-%s/akpub.pem", directory, names[(i + 1) % 3]));
                _cleanup_(x509_freep) X509 *issuer = read_certificate(vector_file("%s/tpm/webauthn-tpm-%s/x5c-1.der", directory, names[i]));
                _cleanup_(x509_freep) X509 *stranger = read_certificate(vector_file("%s/maa/azureguest/spec-aik.der", directory));
                _cleanup_(aik_certificate_freep) AikCertificate *checked = NULL;
                STACK_OF(X509) *roots = sk_X509_new_null(), *strangers = sk_X509_new_null();
                sk_X509_push(roots, issuer);
                sk_X509_push(strangers, stranger);
                assert_ok(bytes_alloc(der.size + 100, &padded));
                memcpy(padded.data, der.data, der.size); /* lint: allocated 100 bytes larger above */
                assert_ok(aik_certificate_check(bytes_span(&padded), key, UNIX_2023, roots, NULL, &checked));
                assert_true(checked->chain_verified);
                assert_string_equal(checked->subject, "");
                AikCertificate *none = NULL;
                assert_err(aik_certificate_check(bytes_span(&der), other, UNIX_2023, roots, NULL, &none), ERR_AIK_CERTIFICATE_INVALID);
                assert_err(aik_certificate_check(bytes_span(&der), key, UNIX_2023, strangers, NULL, &none), ERR_AIK_CERTIFICATE_INVALID);
                assert_err(aik_certificate_check(bytes_span(&der), key, UNIX_2060, NULL, NULL, &none), ERR_AIK_CERTIFICATE_INVALID);
                assert_err(aik_certificate_check(bytes_span(&der), key, 0, NULL, NULL, &none), ERR_AIK_CERTIFICATE_INVALID);
                assert_err(aik_certificate_check(span_make(der.data, der.size - 1), key, UNIX_2023, NULL, NULL, &none), ERR_AIK_CERTIFICATE_INVALID);
                padded.data[der.size + 50] = 1;
                assert_err(aik_certificate_check(bytes_span(&padded), key, UNIX_2023, NULL, NULL, &none), ERR_AIK_CERTIFICATE_INVALID);
                assert_null(none);
                sk_X509_free(roots);
                sk_X509_free(strangers);
        }
}

/* A real machine: firmware log, IMA list and quote of one boot. The firmware did not log all that it measured into PCR 0. */
static void test_verdict_for_pcrs_real_machine_matches_expected(void **state) {
        const char *directory = vectors_or_skip();
        _cleanup_bytes_ Bytes log = vector_file("%s/eventlog/guard-dl160-fwupd-report.bin", directory), list = vector_file("%s/ima/guard-dl160.bin", directory);
        _cleanup_json_ Json *pcrs = vector_json(vector_file("%s/tpm/guard-dl160-fwupd-report/pcrs.json", directory));
        _cleanup_json_ Json *expected = vector_json(vector_file("%s/eventlog/expected/guard-dl160-fwupd-report.bin.json", directory));
        PcrValues values = vector_pcrs(pcrs);
        EventLogReplay boot;
        ImaReplay ima = ima_replay_start((uint16_t[]) { HASH_SHA256 }, 1);
        ImaList opened;
        PcrVerdict verdicts[PCR_COUNT];
        assert_ok(eventlog_replay(bytes_span(&log), &boot));
        assert_ok(ima_list_open(bytes_span(&list), 0, &opened));
        for (bool more = true; more;) {
                ImaEntry entry;
                assert_ok(ima_list_next(&opened, &entry, &more));
                if (more)
                        assert_ok(ima_replay_entry(&ima, &entry));
        }
        verdict_for_pcrs(&values, &boot, &ima, verdicts);
        const Json *match = json_get(json_get(expected, "tpm_pcr_match"), "sha256");
        Json *matching = json_get(match, "match"), *mismatching = json_get(match, "mismatch");
        for (size_t i = 0; i < json_object_array_length(matching); i++)
                assert_int_equal(verdicts[json_object_get_int(json_object_array_get_idx(matching, i))], PCR_REPLAYED);
        for (size_t i = 0; i < json_object_array_length(mismatching); i++)
                assert_int_equal(verdicts[json_object_get_int(json_object_array_get_idx(mismatching, i))], PCR_UNEXPLAINED);
        assert_int_equal(verdicts[PCR_IMA], PCR_REPLAYED);
        for (unsigned i = 17; i <= 22; i++)
                assert_int_equal(verdicts[i], PCR_UNUSED);
}

/* Every prefix of the structures is refused, in memory of just its size. */
static void test_tpm_structures_every_prefix_is_refused(void **state) {
        static const char *const files[] = {
                "keylime-files-quote/attest.bin", "guard-ludmilla/attest.bin", "webauthn-tpm-dell/attest.bin", "guard-ludmilla/signature.bin",
                "keylime-files-quote/signature.bin", "webauthn-tpm-dell/pubarea.bin", "goatt-windows_gcp/akpub.bin", "keylime-makecredential-ecc/ekpub.bin",
        };
        const char *directory = vectors_or_skip();
        for (size_t i = 0; i < N_ELEMENTS(files); i++) {
                _cleanup_bytes_ Bytes whole = vector_file("%s/tpm/%s", directory, files[i]);
                for (size_t size = 0; size < whole.size; size++) {
                        uint8_t *prefix = malloc(size > 0 ? size : 1);
                        assert_non_null(prefix);
                        memcpy(prefix, whole.data, size); /* lint: allocated with this size above */
                        TpmAttest attest;
                        TpmSignature signature;
                        TpmPublic public;
                        assert_err(tpm_attest_parse(span_make(prefix, size), &attest), ERR_QUOTE_MALFORMED);
                        assert_err(tpm_signature_parse(span_make(prefix, size), &signature), ERR_QUOTE_MALFORMED);
                        assert_err(tpm_public_parse(span_make(prefix, size), &public), ERR_QUOTE_MALFORMED);
                        free(prefix);
                }
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tpm_vectors_give_expected_values),
                cmocka_unit_test(test_azure_vtpm_quotes_verify),
                cmocka_unit_test(test_azure_guest_request_verifies),
                cmocka_unit_test(test_aik_certificate_check_tells_what_is_wrong),
                cmocka_unit_test(test_verdict_for_pcrs_real_machine_matches_expected),
                cmocka_unit_test(test_tpm_structures_every_prefix_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
