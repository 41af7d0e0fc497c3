/* See azure-guest-request.h. */
#include "instance/azure-guest-request.h"

#include "base/reader.h"
#include "base/writer.h"
#include "instance/members.h"
#include "tcg/quote.h"

#define STRUCTURE_SIZE_MAX 8192u             /* ours; public areas, attestations and certificates have less */
#define LOG_SIZE_MAX (4u << 20)
#define PROOF_SIZE_MAX (64u << 10)
#define OS_TEXT_MAX 256u
#define PROTOCOL_VERSION "2.0"

void guest_body_done(GuestBody *body) {
        Bytes *const bytes[] = { &body->aik_certificate, &body->aik_public, &body->quote, &body->quote_signature, &body->key_public, &body->key_certification,
                                 &body->key_signature, &body->boot_log, &body->proof, &body->runtime_data };
        for (size_t i = 0; i < N_ELEMENTS(bytes); i++)
                bytes_done(bytes[i]);
        free(body->os_type);
        free(body->os_distro);
        free(body->os_build);
        json_unref(body->json);
        *body = (GuestBody) {};
}

/* A TPM2B_PUBLIC, of which the inside is wanted. */
static Err *read_public(const Json *tpm, const char *name, Bytes *ret) {
        _cleanup_bytes_ Bytes bytes = {};
        TRY(member_bytes(tpm, name, STRUCTURE_SIZE_MAX, &bytes));
        Reader reader = reader_make(bytes_span(&bytes));
        Span inside = reader_tpm2b(&reader, name);
        TRY(reader_finish(&reader, ERR_EVIDENCE_MALFORMED, name));
        return bytes_copy(inside, ret);
}

/* The value of an RSA signature alone; what is verified is a TPMT_SIGNATURE: scheme, hash, TPM2B. */
static Err *read_signature(const Json *tpm, const char *name, Bytes *ret) {
        _cleanup_bytes_ Bytes bytes = {};
        _cleanup_writer_ Writer writer = {};
        TRY(member_bytes(tpm, name, STRUCTURE_SIZE_MAX, &bytes));
        writer_u16be(&writer, TPM_ALG_RSASSA);
        writer_u16be(&writer, HASH_SHA256);
        writer_tpm2b(&writer, bytes_span(&bytes));
        return writer_finish(&writer, ret);
}

static Err *read_pcr(const Json *item, PcrBank *bank) {
        _cleanup_bytes_ Bytes digest = {};
        Json *index;
        TRY(member_find(item, "Index", &index));
        if (!index || !json_object_is_type(index, json_type_int))
                return err_new(ERR_EVIDENCE_MALFORMED, "Index is missing, or no integer");
        int64_t pcr = json_object_get_int64(index);
        TRY(member_bytes(item, "Digest", HASH_SIZE_MAX, &digest));
        if (pcr < 0 || pcr >= PCR_COUNT || bank->mask >> pcr & 1 || digest.size != hash_size(HASH_SHA256))
                return err_new(ERR_EVIDENCE_MALFORMED, "a PCR from 0 to 23 that is there once, and a SHA-256 digest, are needed");
        bank->mask |= UINT32_C(1) << pcr;
        bank->values[pcr] = digest_make(HASH_SHA256, bytes_span(&digest));
        return NULL;
}

/* PcrSet says once more which ones they are. */
static Err *check_set(const Json *tpm, uint32_t mask) {
        Json *set;
        uint32_t named = 0;
        TRY(member_array(tpm, "PcrSet", &set));
        for (size_t i = 0; i < json_object_array_length(set); i++) {
                int64_t pcr = json_object_get_int64(json_object_array_get_idx(set, i));
                if (pcr >= 0 && pcr < PCR_COUNT)
                        named |= UINT32_C(1) << pcr;
        }
        return named == mask ? NULL : err_new(ERR_EVIDENCE_MALFORMED, "PcrSet and PCRs name different PCRs");
}

static Err *read_pcrs(const Json *tpm, PcrValues *pcrs) {
        Json *list;
        PcrBank *bank = &pcrs->banks[0];
        TRY(member_array(tpm, "PCRs", &list));
        pcrs->n_banks = 1;
        bank->alg = HASH_SHA256;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                const Json *item = json_object_array_get_idx(list, i);
                if (!json_is_object(item))
                        return err_new(ERR_EVIDENCE_MALFORMED, "PCRs: an object is needed");
                TRY(err_wrap(read_pcr(item, bank), "PCRs"));
        }
        if (bank->mask == 0)
                return err_new(ERR_EVIDENCE_MALFORMED, "PCRs is empty");
        return check_set(tpm, bank->mask);
}

static Err *read_tpm(const Json *info, GuestBody *body) {
        Json *tpm;
        TRY(member_object(info, "TpmInfo", &tpm));
        TRY(member_bytes(tpm, "AikCert", STRUCTURE_SIZE_MAX, &body->aik_certificate));
        TRY(read_public(tpm, "AikPub", &body->aik_public));
        TRY(member_bytes(tpm, "PcrQuote", STRUCTURE_SIZE_MAX, &body->quote));
        TRY(read_signature(tpm, "PcrSignature", &body->quote_signature));
        TRY(read_public(tpm, "EncKeyPub", &body->key_public));
        TRY(member_bytes(tpm, "EncKeyCertifyInfo", STRUCTURE_SIZE_MAX, &body->key_certification));
        TRY(read_signature(tpm, "EncKeyCertifyInfoSignature", &body->key_signature));
        return read_pcrs(tpm, &body->pcrs);
}

static Err *read_isolation(const Json *info, GuestBody *body) {
        Json *isolation, *evidence;
        const char *type;
        TRY(member_object(info, "IsolationInfo", &isolation));
        TRY(member_string(isolation, "Type", &type));
        if (!type || !maa_isolation_from_string(type, &body->isolation))
                return err_new(ERR_EVIDENCE_MALFORMED, "IsolationInfo: Type is none of TrustedLaunch, SevSnp, Tdx");
        if (body->isolation == MAA_ISOLATION_TRUSTED_LAUNCH)
                return NULL;
        TRY(member_object(isolation, "Evidence", &evidence));
        TRY(member_bytes(evidence, "Proof", PROOF_SIZE_MAX, &body->proof));
        return member_bytes(evidence, "RunTimeData", PROOF_SIZE_MAX, &body->runtime_data);
}

static Err *read_text(const Json *info, const char *name, char **ret) {
        _cleanup_bytes_ Bytes bytes = {};
        TRY(member_bytes(info, name, OS_TEXT_MAX, &bytes));
        if (bytes.size == 0 || !bytes.data || memchr(bytes.data, 0, bytes.size))
                return err_new(ERR_EVIDENCE_MALFORMED, "%s is empty, or has a NUL in it", name);
        return string_copy_span(bytes_span(&bytes), ret);
}

static Err *read_number(const Json *info, const char *name, int64_t *ret) {
        Json *value;
        TRY(member_find(info, name, &value));
        if (!value || !json_object_is_type(value, json_type_int))
                return err_new(ERR_EVIDENCE_MALFORMED, "%s is missing, or no integer", name);
        *ret = json_object_get_int64(value);
        return NULL;
}

static Err *read_payload(const Json *info, GuestBody *body) {
        Json *payload;
        TRY(member_find(info, "ClientPayload", &payload));
        if (!payload)
                return NULL;
        if (!json_is_object(payload))
                return err_new(ERR_EVIDENCE_MALFORMED, "ClientPayload is no object");
        json_object_object_foreach(payload, name, value) {
                if (!json_is_string(value))
                        return err_new(ERR_EVIDENCE_MALFORMED, "ClientPayload: \"%.64s\" is no string", name);
        }
        body->payload = payload;
        return NULL;
}

static Err *read_info(const Json *info, GuestBody *body) {
        const char *version;
        TRY(member_string(info, "AttestationProtocolVersion", &version));
        if (!version || !string_equal(version, PROTOCOL_VERSION))
                return err_new(ERR_NOT_SUPPORTED, "AttestationProtocolVersion is not %s", PROTOCOL_VERSION);
        TRY(read_text(info, "OSType", &body->os_type));
        TRY(read_text(info, "OSDistro", &body->os_distro));
        TRY(read_text(info, "OSBuild", &body->os_build));
        TRY(read_number(info, "OSVersionMajor", &body->os_major));
        TRY(read_number(info, "OSVersionMinor", &body->os_minor));
        TRY(member_bytes(info, "TcgLogs", LOG_SIZE_MAX, &body->boot_log));
        TRY(read_payload(info, body));
        TRY(read_tpm(info, body));
        return read_isolation(info, body);
}

Err *guest_body_parse(Span text, GuestBody *ret) {
        _cleanup_guest_body_ GuestBody body = {};
        _cleanup_json_ Json *outer = NULL;
        _cleanup_bytes_ Bytes info = {};
        TRY(json_parse(text, "the request", &outer));
        if (!json_is_object(outer))
                return err_new(ERR_EVIDENCE_MALFORMED, "the request is no JSON object");
        TRY(member_bytes(outer, "AttestationInfo", SIZE_MAX, &info));
        TRY(json_parse(bytes_span(&info), "AttestationInfo", &body.json));
        if (!json_is_object(body.json))
                return err_new(ERR_EVIDENCE_MALFORMED, "AttestationInfo is no JSON object");
        TRY(read_info(body.json, &body));
        *ret = body;
        body = (GuestBody) {};
        return NULL;
}
