/* See evidence-decode.h. The kinds are told apart by their first bytes:
 *
 *     "HCLA"                     a paravisor's report        ff 54 43 47 (also behind a u16 size)   TPMS_ATTEST
 *     "VKAS"                     a VBS key claim             00 14, 00 16, 00 18                    TPMT_SIGNATURE
 *     u32 size, u32 1, … u32 0   a VBS enclave report        00 01, 00 23 (also behind a u16 size)  TPMT_PUBLIC (TPM2B_PUBLIC)
 *     "-----BEGIN", 30           a certificate */
#include "cli/evidence-decode.h"

#include <stdio.h>

#include "base/reader.h"
#include "tcg/aik-certificate.h"
#include "tcg/aik.h"
#include "tcg/paravisor-report.h"
#include "tcg/vbs-enclave-report.h"

#define ASN1_SEQUENCE 0x30

static Err *add_hash(Json *json, const char *member, uint16_t alg) {
        _cleanup_free_ char *number = NULL;
        const char *name = hash_name(alg);
        if (!name)
                TRY(string_format(&number, "0x%04x", alg));
        return json_add_string(json, member, name ?: number);
}

static Err *add_scheme(Json *json, const char *member, uint16_t scheme) {
        _cleanup_free_ char *number = NULL;
        switch (scheme) {
        case TPM_ALG_RSASSA:
                return json_add_string(json, member, "rsassa");
        case TPM_ALG_RSAPSS:
                return json_add_string(json, member, "rsapss");
        case TPM_ALG_ECDSA:
                return json_add_string(json, member, "ecdsa");
        case TPM_ALG_NULL:
                return json_add_string(json, member, "null");
        default:
                TRY(string_format(&number, "0x%04x", scheme));
                return json_add_string(json, member, number);
        }
}

static Err *add_selection(Json *json, const PcrSelection *selection) {
        Json *banks;
        TRY(json_new_object(&banks));
        TRY(json_add(json, "selection", banks));
        for (size_t i = 0; i < selection->n_banks; i++) {
                _cleanup_free_ char *mask = NULL;
                _cleanup_free_ char *number = NULL;
                TRY(string_format(&number, "0x%04x", selection->banks[i].alg));
                TRY(string_format(&mask, "0x%06x", selection->banks[i].mask));
                TRY(json_add_string(banks, hash_name(selection->banks[i].alg) ?: number, mask));
        }
        return NULL;
}

static Err *add_attest(Json *json, Span input, EvidenceBinding *ret_binding _unused_) {
        TpmAttest attest;
        char firmware[17];
        TRY(tpm_attest_parse(input, &attest));
        TRY(json_add_string(json, "type", attest.type == TPM_ST_ATTEST_QUOTE ? "quote" : "certify"));
        TRY(json_add_hex(json, "qualified_signer", attest.qualified_signer));
        TRY(json_add_hex(json, "extra_data", attest.extra_data));
        TRY(json_add_integer(json, "clock", (int64_t) (attest.clock & INT64_MAX)));
        TRY(json_add_integer(json, "reset_count", attest.reset_count));
        TRY(json_add_integer(json, "restart_count", attest.restart_count));
        TRY(json_add_boolean(json, "safe", attest.safe));
        snprintf(firmware, sizeof(firmware), "%016llx", (unsigned long long) attest.firmware_version);
        TRY(json_add_string(json, "firmware_version", firmware));
        if (attest.type == TPM_ST_ATTEST_CERTIFY) {
                TRY(json_add_hex(json, "name", attest.name));
                return json_add_hex(json, "qualified_name", attest.qualified_name);
        }
        TRY(add_selection(json, &attest.selection));
        return json_add_hex(json, "pcr_digest", attest.pcr_digest);
}

static Err *add_signature(Json *json, Span input, EvidenceBinding *ret_binding _unused_) {
        TpmSignature signature;
        TRY(tpm_signature_parse(input, &signature));
        TRY(add_scheme(json, "scheme", signature.scheme));
        TRY(add_hash(json, "hash_alg", signature.hash_alg));
        if (signature.scheme != TPM_ALG_ECDSA)
                return json_add_hex(json, "signature", signature.rsa);
        TRY(json_add_hex(json, "r", signature.r));
        return json_add_hex(json, "s", signature.s);
}

static Err *add_attributes(Json *json, uint32_t attributes) {
        static const struct {
                uint32_t bit;
                const char *name;
        } known[] = {
                { TPM_OBJECT_FIXEDTPM, "fixed_tpm" }, { TPM_OBJECT_FIXEDPARENT, "fixed_parent" },
                { TPM_OBJECT_SENSITIVEDATAORIGIN, "sensitive_data_origin" }, { TPM_OBJECT_USERWITHAUTH, "user_with_auth" },
                { TPM_OBJECT_RESTRICTED, "restricted" }, { TPM_OBJECT_DECRYPT, "decrypt" }, { TPM_OBJECT_SIGN, "sign" },
        };
        _cleanup_free_ char *hex = NULL;
        Json *object;
        TRY(json_new_object(&object));
        TRY(json_add(json, "attributes", object));
        TRY(string_format(&hex, "0x%08x", attributes));
        TRY(json_add_string(object, "value", hex));
        for (size_t i = 0; i < N_ELEMENTS(known); i++)
                TRY(json_add_boolean(object, known[i].name, attributes & known[i].bit));
        return NULL;
}

static Err *add_public(Json *json, Span input, EvidenceBinding *ret_binding _unused_) {
        TpmPublic public;
        _cleanup_bytes_ Bytes name = {};
        TRY(tpm_public_parse(input, &public));
        TRY(tpm_public_name(input, &name));
        TRY(json_add_string(json, "type", public.type == TPM_ALG_RSA ? "rsa" : "ecc"));
        TRY(json_add_hex(json, "name", bytes_span(&name)));
        TRY(add_hash(json, "name_alg", public.name_alg));
        TRY(add_attributes(json, public.attributes));
        TRY(json_add_hex(json, "auth_policy", public.auth_policy));
        TRY(add_scheme(json, "scheme", public.scheme));
        if (public.scheme != TPM_ALG_NULL)
                TRY(add_hash(json, "scheme_hash", public.scheme_hash));
        if (public.type == TPM_ALG_RSA) {
                TRY(json_add_integer(json, "bits", public.rsa_bits));
                TRY(json_add_integer(json, "exponent", public.rsa_exponent));
                return json_add_hex(json, "modulus", public.rsa_modulus);
        }
        TRY(json_add_integer(json, "curve", public.curve));
        TRY(json_add_hex(json, "x", public.x));
        return json_add_hex(json, "y", public.y);
}

static Err *add_certificate(Json *json, Span input, EvidenceBinding *ret_binding _unused_) {
        _cleanup_bytes_ Bytes der = {};
        _cleanup_(aik_certificate_freep) AikCertificate *certificate = NULL;
        Digest digest;
        TRY(aik_decode_certificate(input, "the file", &der));
        TRY(aik_certificate_read(bytes_span(&der), &certificate));
        TRY(json_add_string(json, "subject", certificate->subject));
        TRY(json_add_string(json, "issuer", certificate->issuer));
        TRY(json_add_integer(json, "not_before", certificate->not_before));
        TRY(json_add_integer(json, "not_after", certificate->not_after));
        TRY(json_add_string(json, "key_thumbprint", certificate->key_thumbprint));
        TRY(hash_digest(HASH_SHA256, bytes_span(&der), &digest));
        return json_add_hex(json, "sha256", digest_span(&digest));
}

static Err *add_enclave(Json *json, Span input, EvidenceBinding *ret_binding _unused_) {
        return evidence_add_vbs_enclave_report(json, input);
}

static Err *add_key_claim(Json *json, Span input, EvidenceBinding *ret_binding _unused_) {
        return evidence_add_vbs_key_claim(json, input);
}

typedef struct Kind {
        const char *name;
        Err *(*add)(Json *json, Span input, EvidenceBinding *ret_binding);
} Kind;

static const Kind *kind_of_tpm(Span *input) {
        static const Kind attest = { "tpms-attest", add_attest }, signature = { "tpmt-signature", add_signature }, public = { "tpmt-public", add_public };
        Reader reader = reader_make(*input);
        uint16_t first = reader_u16be(&reader, "first");
        uint16_t second = reader_u16be(&reader, "second");
        if (reader_failed(&reader))
                return NULL;
        if (first == TPM_GENERATED_MAGIC >> 16)
                return &attest;
        if (first == TPM_ALG_RSASSA || first == TPM_ALG_RSAPSS || first == TPM_ALG_ECDSA)
                return &signature;
        if (first == TPM_ALG_RSA || first == TPM_ALG_ECC)
                return &public;
        if (first != input->size - 2)
                return NULL;
        *input = span_make(input->data + 2, input->size - 2);
        if (second == TPM_GENERATED_MAGIC >> 16)
                return &attest;
        return second == TPM_ALG_RSA || second == TPM_ALG_ECC ? &public : NULL;
}

static const Kind *kind_of(Span *input) {
        static const Kind paravisor = { "hcl-report", evidence_add_paravisor_report }, claim = { "vbs-key-claim", add_key_claim },
                          enclave = { "vbs-enclave-report", add_enclave }, certificate = { "certificate", add_certificate };
        static const char armour[] = "-----BEGIN CERTIFICATE-----";
        if (paravisor_report_detect(*input))
                return &paravisor;
        if (vbs_key_claim_detect(*input))
                return &claim;
        if (vbs_enclave_report_detect(*input))
                return &enclave;
        if (input->size > 0 && (input->data[0] == ASN1_SEQUENCE || memmem(input->data, input->size, armour, strlen(armour))))
                return &certificate;
        return kind_of_tpm(input);
}

Err *evidence_decode(Span input, Json **ret, EvidenceBinding *ret_binding) {
        _cleanup_json_ Json *json = NULL;
        EvidenceBinding binding = EVIDENCE_BINDING_NONE;
        const Kind *kind = kind_of(&input);
        if (!kind)
                return err_new(ERR_NOT_SUPPORTED, "the file is no piece of evidence that is known");
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "kind", kind->name));
        TRY(kind->add(json, input, &binding));
        *ret = steal_ptr(&json);
        *ret_binding = binding;
        return NULL;
}
