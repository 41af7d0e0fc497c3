/* See attest_tpm.h. Format: "TPM and VBS enclave attestation protocol", version 2, message 3:
 *
 *     {"data":"                                                   outer envelope
 *        base64url  {"payload":{"request":"                       inner envelope
 *           PS256 JWS, typ attReqV2, signed with the request key; payload:
 *           base64url  {"att_type":"basic","att_data":{
 *                          "rp_id":…,"rp_data":…,"challenge":…,
 *                          "tpm_att_data":{"current_attestation":{
 *                              "logs":[{"type":"TCG","log":" base64url of a file "},…],
 *                              "aik_cert":…,"aik_pub":{kty,n,e},"pcrs":[…],"quote":…,"signature":…},
 *                            (after a hibernation) "boot_attestation":{the same members}},
 *                          "request_key":{"jwk":<literal text>,"info":{"tpm_quote":{"hash_alg":"sha-256"}}},
 *                            (of a key in the TPM: "info":{"tpm_certify":{"public":…,"certification":…,"signature":…}})
 *                          "other_keys":[{"jwk":…,"info":{"tpm_certify":{…}}},{"jwk":…}],
 *                          "custom_claims":[…],"service_context":…}}
 *
 * With a VBS report (att_type "vbs") the members of att_data stand one level deeper, beside the report, whose 64 bytes of user data are the SHA-512
 * of the text between the braces of report_signed, braces included:
 *
 *                      {"att_type":"vbs","att_data":{"report_signed":{"rp_id":…,…},"vsm_report":{"enclave":{"report":" base64url "}}}}
 *
 * "vm" in place of "enclave" is an extension of ours, for a paravisor's report.
 *
 * A log may have 100 MB and stands under three layers of base64, so the body is never held in memory: the payload is a row of text pieces and
 * file sources, and every layer is a source over it. The quote covers the hash of the jwk's text, and the service hashes the characters that it
 * finds in the payload; so that text is made once, hashed, and pasted here, never put through a JSON library again. */
#include "maa/attest_tpm.h"

#include <errno.h>
#include <fcntl.h>

#include "base/writer.h"
#include "tcg/quote.h"

#define REQUEST_HEADER "{\"alg\":\"PS256\",\"typ\":\"attReqV2\"}"
#define INIT_MESSAGE "{\"payload\":{\"type\":\"aikcert\"}}"

/* ---- envelope ---- */

/* prefix, inner, suffix as one source; takes inner, also on failure. */
static Err *source_between(const char *prefix, Source *steal_inner, const char *suffix, Source **ret) {
        _cleanup_(source_freep) Source *inner = steal_inner, *before = NULL, *after = NULL;
        TRY(source_new_string(prefix, &before));
        TRY(source_new_string(suffix, &after));
        Source *parts[] = { steal_ptr(&before), steal_ptr(&inner), steal_ptr(&after) };
        return source_new_concat(parts, N_ELEMENTS(parts), ret);
}

Err *attest_tpm_envelope(Source *steal_inner, Source **ret) {
        Source *encoded;
        TRY(source_new_base64url(steal_inner, &encoded));
        return source_between("{\"data\":\"", encoded, "\"}", ret);
}

Err *attest_tpm_envelope_open(Span body, const char *what, Bytes *ret_inner, Json **ret_payload) {
        _cleanup_json_ Json *outer = NULL, *inner = NULL;
        _cleanup_bytes_ Bytes text = {};
        const char *data;
        Json *payload;
        TRY(json_parse(body, what, &outer));
        Err *err = json_get_string(outer, "data", &data);
        if (!err)
                err = base64_decode_lenient(span_from_string(data), "data", &text);
        if (!err)
                err = json_parse(bytes_span(&text), "the JSON in data", &inner);
        if (!err)
                err = json_get_object(inner, "payload", &payload);
        if (err)
                return err_wrap(err, "%s", what);
        *ret_inner = bytes_steal(&text);
        *ret_payload = json_ref(payload);
        return NULL;
}

static Err *check_api_version(const char *api_version) {
        static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-";
        if (!*api_version || api_version[strspn(api_version, allowed)] != 0)
                return err_new(ERR_INVALID_ARGUMENT, "an API version of letters, digits, '.' and '-' is needed");
        return NULL;
}

/* POST of inner in its envelope; takes inner, also on failure. */
static Err *make_post(const char *base_url, const char *api_version, Source *steal_inner, HttpRequest *ret) {
        _cleanup_(source_freep) Source *inner = steal_inner;
        _cleanup_http_request_ HttpRequest request = { .method = "POST" };
        TRY(check_api_version(api_version));
        TRY(string_format(&request.url, "%s/attest/Tpm?api-version=%s", base_url, api_version));
        TRY(http_request_add_header(&request, "Content-Type", "application/json"));
        TRY(http_request_add_header(&request, "Accept", "application/json"));
        TRY(attest_tpm_envelope(steal_ptr(&inner), &request.body));
        *ret = request;
        request = (HttpRequest) {};
        return NULL;
}

Err *attest_tpm_init_request(const char *base_url, const char *api_version, HttpRequest *ret) {
        Source *inner;
        TRY(source_new_string(INIT_MESSAGE, &inner));
        return make_post(base_url, api_version, inner, ret);
}

/* ---- answers ---- */

void attest_tpm_challenge_done(AttestTpmChallenge *challenge) {
        if (!challenge)
                return;
        bytes_done(&challenge->challenge);
        free(challenge->service_context);
        *challenge = (AttestTpmChallenge) {};
}

static Err *open_answer(const HttpResponse *response, uint64_t now_sec, const char *what, Json **ret_payload) {
        _cleanup_bytes_ Bytes inner = {};
        TRY(http_response_check_json(response, now_sec));
        Err *err = attest_tpm_envelope_open(bytes_span(&response->body), what, &inner, ret_payload);
        return err_wrap_code(ERR_SERVICE_ANSWER_INVALID, err, "the answer of attest/Tpm cannot be used");
}

static Err *payload_string(const Json *payload, const char *what, const char *member, const char **ret) {
        const char *text;
        Err *err = json_get_string(payload, member, &text);
        if (err)
                return err_wrap_code(ERR_SERVICE_ANSWER_INVALID, err, "%s: payload.%s", what, member);
        if (!*text)
                return err_new(ERR_SERVICE_ANSWER_INVALID, "%s: payload.%s is empty", what, member);
        *ret = text;
        return NULL;
}

/* The client never looks inside the context, but it pastes it into JSON: so it must be what it is said to be. */
static Err *check_service_context(const char *what, const char *text) {
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        size_t n = strspn(text, allowed), n_padding = strspn(text + n, "=");
        if (text[n + n_padding] != 0 || n_padding > 2)
                return err_new(ERR_SERVICE_ANSWER_INVALID, "%s: payload.service_context is no base64url at offset %zu", what, n);
        if (n + n_padding > MAA_SERVICE_CONTEXT_MAX)
                return err_new(ERR_SERVICE_ANSWER_INVALID, "%s: payload.service_context has %zu characters, %u are allowed",
                               what, n + n_padding, MAA_SERVICE_CONTEXT_MAX);
        return NULL;
}

Err *attest_tpm_challenge_parse(const HttpResponse *response, uint64_t now_sec, AttestTpmChallenge *ret) {
        static const char what[] = "the challenge message";
        _cleanup_json_ Json *payload = NULL;
        _cleanup_attest_tpm_challenge_ AttestTpmChallenge challenge = {};
        const char *text, *context;
        TRY(open_answer(response, now_sec, what, &payload));
        TRY(payload_string(payload, what, "challenge", &text));
        Err *err = base64_decode_lenient(span_from_string(text), "payload.challenge", &challenge.challenge);
        if (err)
                return err_wrap_code(ERR_SERVICE_ANSWER_INVALID, err, "%s", what);
        if (challenge.challenge.size != MAA_CHALLENGE_SIZE)
                return err_new(ERR_SERVICE_ANSWER_INVALID, "%s: payload.challenge has %zu bytes where %d are needed",
                               what, challenge.challenge.size, MAA_CHALLENGE_SIZE);
        TRY(payload_string(payload, what, "service_context", &context));
        TRY(check_service_context(what, context));
        TRY(string_copy(context, &challenge.service_context));
        *ret = challenge;
        challenge = (AttestTpmChallenge) {};
        return NULL;
}

Err *attest_tpm_report_parse(const HttpResponse *response, uint64_t now_sec, char **ret_token) {
        static const char what[] = "the report message";
        _cleanup_json_ Json *payload = NULL;
        const char *token;
        TRY(open_answer(response, now_sec, what, &payload));
        TRY(payload_string(payload, what, "report", &token));
        return string_copy(token, ret_token);
}

/* ---- request ---- */

Err *attest_tpm_qualifying_data(const char *jwk_text, Span challenge, Digest *ret) {
        _cleanup_(hash_freep) Hash *hash = NULL;
        TRY(hash_new(HASH_SHA256, &hash));
        TRY(hash_update(hash, span_make(jwk_text, strlen(jwk_text) + 1)));   /* with its NUL: that is the 0x00 of the rule */
        TRY(hash_update(hash, challenge));
        return hash_finish(hash, ret);
}

/* The payload while it grows: text not yet turned into a source stands in text. Each log ends one piece of text and adds itself. */
typedef struct Pieces {
        Source *items[2 * 2 * EVIDENCE_LOGS_MAX + 1];   /* of two attestations */
        size_t n;
        Writer text;
} Pieces;

static void pieces_done(Pieces *pieces) {
        for (size_t i = 0; i < pieces->n; i++)
                source_free(pieces->items[i]);
        writer_done(&pieces->text);
}

static Err *pieces_end_text(Pieces *pieces) {
        _cleanup_bytes_ Bytes text = {};
        TRY(writer_finish(&pieces->text, &text));
        TRY(source_new_bytes(&text, &pieces->items[pieces->n]));
        pieces->n++;
        return NULL;
}

static Err *pieces_join(Pieces *pieces, Source **ret) {
        TRY(pieces_end_text(pieces));
        size_t n = pieces->n;
        pieces->n = 0;
        return source_new_concat(pieces->items, n, ret);
}

/* What comes from configuration or from a caller must be UTF-8, or the payload would be no JSON. */
static Err *write_text_member(Writer *out, const char *member, const char *value) {
        _cleanup_writer_ Writer text = {};
        _cleanup_bytes_ Bytes quoted = {};
        writer_json_string(&text, span_from_string(value));
        TRY(writer_finish(&text, &quoted));
        Err *err = json_check(bytes_span(&quoted), member);
        if (err)
                return err_wrap_code(ERR_INVALID_ARGUMENT, err, "text for the request");
        writer_format(out, "\"%s\":%s", member, (const char *) quoted.data);
        return NULL;
}

static void write_bytes_member(Writer *out, const char *member, Span value) {
        writer_format(out, "\"%s\":\"", member);
        writer_base64url(out, value);
        writer_string(out, "\"");
}

static Err *add_log(Pieces *pieces, const EvidenceLog *log) {
        const char *name = evidence_log_type_to_string(log->type);
        Source *file;
        writer_format(&pieces->text, "{\"type\":\"%s\",\"log\":\"", name);
        TRY(pieces_end_text(pieces));
        int fd = fcntl(log->fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
                return err_new_errno(ERR_IO, errno, "duplicating the descriptor of the %s log", name);
        TRY(source_new_fd(fd, 0, log->size, name, &file));
        TRY(source_new_base64url(file, &pieces->items[pieces->n]));
        pieces->n++;
        writer_string(&pieces->text, "\"}");
        return NULL;
}

static Err *add_logs(Pieces *pieces, const Evidence *evidence) {
        writer_string(&pieces->text, "\"logs\":[");
        for (size_t i = 0; i < evidence->n_logs; i++) {
                writer_string(&pieces->text, i > 0 ? "," : "");
                TRY(add_log(pieces, &evidence->logs[i]));
        }
        writer_string(&pieces->text, "]");
        return NULL;
}

static Err *write_aik(Writer *out, const Evidence *evidence) {
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        _cleanup_free_ char *text = NULL;
        TpmPublic public;
        TRY(err_wrap(tpm_public_parse(bytes_span(&evidence->aik_public), &public), "the AIK's public area"));
        TRY(tpm_public_to_pkey(&public, &key));
        TRY(jwk_public_text(key, &text));
        if (evidence->aik_certificate.size > 0) {
                write_bytes_member(out, "aik_cert", bytes_span(&evidence->aik_certificate));
                writer_string(out, ",");
        }
        writer_format(out, "\"aik_pub\":%s", text);
        return NULL;
}

static void write_bank(Writer *out, const PcrBank *bank) {
        writer_format(out, "{\"algorithm\":%u,\"values\":[", (unsigned) bank->alg);
        const char *separator = "";
        for (unsigned i = 0; i < PCR_COUNT; i++) {
                if (!(bank->mask & UINT32_C(1) << i))
                        continue;
                writer_format(out, "%s{\"index\":%u,", separator, i);
                write_bytes_member(out, "digest", digest_span(&bank->values[i]));
                writer_string(out, "}");
                separator = ",";
        }
        writer_string(out, "]}");
}

static void write_pcrs(Writer *out, const PcrValues *pcrs) {
        writer_string(out, "\"pcrs\":[");
        for (size_t i = 0; i < pcrs->n_banks; i++) {
                writer_string(out, i > 0 ? "," : "");
                write_bank(out, &pcrs->banks[i]);
        }
        writer_string(out, "]");
}

static Err *add_attestation(Pieces *pieces, const char *name, const Evidence *evidence) {
        Writer *out = &pieces->text;
        writer_format(out, "\"%s\":{", name);
        TRY(add_logs(pieces, evidence));
        writer_string(out, ",");
        TRY(write_aik(out, evidence));
        writer_string(out, ",");
        write_pcrs(out, &evidence->pcrs);
        writer_string(out, ",");
        write_bytes_member(out, "quote", bytes_span(&evidence->quote));
        writer_string(out, ",");
        write_bytes_member(out, "signature", bytes_span(&evidence->signature));
        writer_string(out, "}");
        return NULL;
}

static Err *add_attestations(Pieces *pieces, const Evidence *evidence) {
        writer_string(&pieces->text, "\"tpm_att_data\":{");
        TRY(add_attestation(pieces, "current_attestation", evidence));
        if (evidence->boot) {
                writer_string(&pieces->text, ",");
                TRY(err_wrap(add_attestation(pieces, "boot_attestation", evidence->boot), "the attestation from before hibernation"));
        }
        writer_string(&pieces->text, "}");
        return NULL;
}

static void write_certify(Writer *out, const EvidenceKey *key) {
        writer_string(out, "\"info\":{\"tpm_certify\":{");
        write_bytes_member(out, "public", bytes_span(&key->public));
        writer_string(out, ",");
        write_bytes_member(out, "certification", bytes_span(&key->certification));
        writer_string(out, ",");
        write_bytes_member(out, "signature", bytes_span(&key->signature));
        writer_string(out, "}}");
}

static Err *write_request_key(Writer *out, const AttestTpmRequest *request) {
        if (request->certified_key && request->evidence->request_key.certification.size == 0)
                return err_new(ERR_INTERNAL, "the evidence has no certification of the request key");
        writer_format(out, ",\"request_key\":{\"jwk\":%s,", request->jwk_text);
        if (request->certified_key)
                write_certify(out, &request->evidence->request_key);
        else
                writer_string(out, "\"info\":{\"tpm_quote\":{\"hash_alg\":\"sha-256\"}}");
        writer_string(out, "},");
        return NULL;
}

static Err *write_other_key(Writer *out, const EvidenceKey *key) {
        _cleanup_(pkey_freep) EVP_PKEY *pkey = NULL;
        _cleanup_free_ char *jwk = NULL;
        TpmPublic public;
        TRY(tpm_public_parse(bytes_span(&key->public), &public));
        TRY(tpm_public_to_pkey(&public, &pkey));
        TRY(jwk_public_text(pkey, &jwk));
        writer_format(out, "{\"jwk\":%s", jwk);
        if (key->certification.size > 0) {
                writer_string(out, ",");
                write_certify(out, key);
        }
        writer_string(out, "}");
        return NULL;
}

static Err *write_other_keys(Writer *out, const Evidence *evidence) {
        if (evidence->n_other_keys == 0)
                return NULL;
        writer_string(out, "\"other_keys\":[");
        for (size_t i = 0; i < evidence->n_other_keys; i++) {
                writer_string(out, i > 0 ? "," : "");
                TRY(err_wrap(write_other_key(out, &evidence->other_keys[i]), "other_keys[%zu]", i));
        }
        writer_string(out, "],");
        return NULL;
}

static Err *write_custom_claims(Writer *out, const AttestTpmRequest *request) {
        if (request->n_custom_claims == 0)
                return NULL;
        writer_string(out, "\"custom_claims\":[");
        for (size_t i = 0; i < request->n_custom_claims; i++) {
                writer_string(out, i > 0 ? ",{" : "{");
                TRY(write_text_member(out, "name", request->custom_claims[i].name));
                writer_string(out, ",");
                TRY(write_text_member(out, "value", request->custom_claims[i].value));
                writer_string(out, ",\"value_type\":\"string\"}");
        }
        writer_string(out, "],");
        return NULL;
}

/* The members that att_data has in a basic request, and report_signed in one with a VBS report; with both braces. */
static Err *add_members(Pieces *pieces, const AttestTpmRequest *request) {
        Writer *out = &pieces->text;
        writer_string(out, "{");
        TRY(write_text_member(out, "rp_id", request->rp_id ? request->rp_id : ""));
        writer_string(out, ",");
        if (request->rp_data.size > 0) {
                write_bytes_member(out, "rp_data", request->rp_data);
                writer_string(out, ",");
        }
        write_bytes_member(out, "challenge", bytes_span(&request->challenge->challenge));
        writer_string(out, ",");
        TRY(add_attestations(pieces, request->evidence));
        TRY(write_request_key(out, request));
        TRY(write_other_keys(out, request->evidence));
        TRY(write_custom_claims(out, request));
        TRY(write_text_member(out, "service_context", request->challenge->service_context));
        writer_string(out, "}");
        return NULL;
}

static Err *make_payload(const AttestTpmRequest *request, Source **ret) {
        _cleanup_(pieces_done) Pieces pieces = {};
        Writer *out = &pieces.text;
        bool is_vbs = request->vsm_report.size > 0;
        writer_format(out, "{\"att_type\":\"%s\",\"att_data\":%s", is_vbs ? "vbs" : "basic", is_vbs ? "{\"report_signed\":" : "");
        TRY(add_members(&pieces, request));
        if (is_vbs) {
                writer_format(out, ",\"vsm_report\":{\"%s\":{", vsm_report_kind_to_string(request->vsm_report_kind));
                write_bytes_member(out, "report", request->vsm_report);
                writer_string(out, "}}}");
        }
        writer_string(out, "}");
        return pieces_join(&pieces, ret);
}

static Err *hash_source(Source *source, uint16_t alg, Digest *ret) {
        _cleanup_(hash_freep) Hash *hash = NULL;
        uint8_t buffer[8192];
        size_t n;
        TRY(hash_new(alg, &hash));
        do {
                TRY(source_read(source, buffer, sizeof(buffer), &n));
                TRY(hash_update(hash, span_make(buffer, n)));
        } while (n > 0);
        return hash_finish(hash, ret);
}

Err *attest_tpm_report_data(const AttestTpmRequest *request, Digest *ret) {
        _cleanup_(pieces_done) Pieces pieces = {};
        _cleanup_(source_freep) Source *text = NULL;
        TRY(add_members(&pieces, request));
        TRY(pieces_join(&pieces, &text));
        return err_wrap(hash_source(text, HASH_SHA512, ret), "hashing the evidence for the VBS report");
}

/* POST of message 3 around a finished JWS; takes it, also on failure. */
static Err *make_request_post(const char *base_url, const char *api_version, Source *steal_jws, HttpRequest *ret) {
        Source *message;
        TRY(source_between("{\"payload\":{\"request\":\"", steal_jws, "\"}}", &message));
        return make_post(base_url, api_version, message, ret);
}

Err *attest_tpm_request(const char *base_url, const char *api_version, const AttestTpmRequest *request, HttpRequest *ret) {
        const JoseSigner signer = { .alg = JOSE_ALG_PS256, .key = request->request_key };
        Source *payload, *jws;
        TRY(make_payload(request, &payload));
        TRY(err_wrap(jws_sign_source(&signer, REQUEST_HEADER, payload, &jws), "signing the request with the request key"));
        return make_request_post(base_url, api_version, jws, ret);
}

Err *attest_tpm_signing_input(const AttestTpmRequest *request, Source **ret) {
        Source *payload;
        TRY(make_payload(request, &payload));
        return jws_signing_input(REQUEST_HEADER, payload, ret);
}

Err *attest_tpm_signed_request(const char *base_url, const char *api_version, const AttestTpmProof *proof, Source *steal_signing_input,
                               HttpRequest *ret) {
        Source *jws;
        TRY(err_wrap(jws_append_signature(JOSE_ALG_PS256, proof->key, proof->digest, proof->signature, steal_signing_input, &jws),
                     "checking the request key's signature"));
        return make_request_post(base_url, api_version, jws, ret);
}
