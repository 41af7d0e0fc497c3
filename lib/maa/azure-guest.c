/* See azure-guest.h. */
#include "maa/azure-guest.h"

#include <strings.h>

#include "base/writer.h"
#include "jose/aes-gcm.h"
#include "tcg/quote.h"

#define PROTOCOL_VERSION "2.0"

static const char *const isolation_names[] = {
        [MAA_ISOLATION_TRUSTED_LAUNCH] = "TrustedLaunch",
        [MAA_ISOLATION_SEV_SNP] = "SevSnp",
        [MAA_ISOLATION_TDX] = "Tdx",
};

const char *maa_isolation_to_string(MaaIsolation isolation) {
        return isolation < N_ELEMENTS(isolation_names) ? isolation_names[isolation] : NULL;
}

bool maa_isolation_from_string(const char *text, MaaIsolation *ret) {
        for (size_t i = 0; i < N_ELEMENTS(isolation_names); i++)
                if (strcasecmp(isolation_names[i], text) == 0) {
                        *ret = (MaaIsolation) i;
                        return true;
                }
        return false;
}

/* ---- request ---- */

static Err *add_base64(Json *json, const char *member, Span data) {
        _cleanup_free_ char *text = NULL;
        TRY(base64_encode(data, &text));
        return json_add_string(json, member, text);
}

static Err *add_base64_text(Json *json, const char *member, const char *text) {
        return add_base64(json, member, span_from_string(text));
}

/* The service wants a TPM2B_PUBLIC. */
static Err *add_public(Json *json, const char *member, Span tpmt_public) {
        _cleanup_writer_ Writer writer = {};
        _cleanup_bytes_ Bytes bytes = {};
        writer_tpm2b(&writer, tpmt_public);
        TRY(writer_finish(&writer, &bytes));
        return add_base64(json, member, bytes_span(&bytes));
}

/* Of a TPMT_SIGNATURE it wants the RSA value alone. */
static Err *add_signature(Json *json, const char *member, Span tpmt_signature) {
        TpmSignature signature;
        TRY(err_wrap(tpm_signature_parse(tpmt_signature, &signature), "%s", member));
        if (signature.scheme != TPM_ALG_RSASSA)
                return err_new(ERR_NOT_SUPPORTED, "%s: the attestation key has to sign with RSASSA; configure an RSA key (AikHandle=)", member);
        return add_base64(json, member, signature.rsa);
}

static Err *add_pcrs(Json *json, const PcrValues *pcrs) {
        const PcrBank *bank = &pcrs->banks[0];
        Json *set, *values, *value;
        TRY(json_new_array(&set));
        TRY(json_add(json, "PcrSet", set));
        TRY(json_new_array(&values));
        TRY(json_add(json, "PCRs", values));
        for (unsigned i = 0; i < PCR_COUNT; i++) {
                if (!(bank->mask >> i & 1))
                        continue;
                TRY(json_append(set, json_object_new_int((int) i)));
                TRY(json_new_object(&value));
                TRY(json_append(values, value));
                TRY(json_add_integer(value, "Index", i));
                TRY(add_base64(value, "Digest", digest_span(&bank->values[i])));
        }
        return NULL;
}

static Err *add_tpm_info(Json *info, const MaaGuestRequest *request) {
        Json *tpm;
        TRY(json_new_object(&tpm));
        TRY(json_add(info, "TpmInfo", tpm));
        TRY(add_base64(tpm, "AikCert", request->aik_certificate));
        TRY(add_public(tpm, "AikPub", request->aik_public));
        TRY(add_base64(tpm, "PcrQuote", request->quote));
        TRY(add_signature(tpm, "PcrSignature", request->quote_signature));
        TRY(add_public(tpm, "EncKeyPub", request->key_public));
        TRY(add_base64(tpm, "EncKeyCertifyInfo", request->key_certification));
        TRY(add_signature(tpm, "EncKeyCertifyInfoSignature", request->key_signature));
        return add_pcrs(tpm, request->pcrs);
}

static Err *add_isolation(Json *info, const MaaGuestRequest *request) {
        Json *isolation, *evidence;
        TRY(json_new_object(&isolation));
        TRY(json_add(info, "IsolationInfo", isolation));
        TRY(json_add_string(isolation, "Type", maa_isolation_to_string(request->isolation)));
        if (request->isolation == MAA_ISOLATION_TRUSTED_LAUNCH)
                return NULL;
        TRY(json_new_object(&evidence));
        TRY(json_add(isolation, "Evidence", evidence));
        TRY(add_base64(evidence, "Proof", request->proof));
        return add_base64(evidence, "RunTimeData", request->runtime_data);
}

static Err *add_payload(Json *info, const MaaGuestRequest *request) {
        Json *payload;
        TRY(json_new_object(&payload));
        TRY(json_add(info, "ClientPayload", payload));
        for (size_t i = 0; i < request->n_payload; i++)
                TRY(add_base64_text(payload, request->payload[i].name, request->payload[i].value));
        return NULL;
}

static Err *make_info(const MaaGuestRequest *request, char **ret) {
        _cleanup_json_ Json *info = NULL;
        TRY(json_new_object(&info));
        TRY(json_add_string(info, "AttestationProtocolVersion", PROTOCOL_VERSION));
        TRY(add_base64_text(info, "OSType", "Linux"));
        TRY(add_base64_text(info, "OSDistro", request->os_distro ? request->os_distro : "Unknown"));
        TRY(add_base64_text(info, "OSBuild", request->os_build ? request->os_build : "Unknown"));
        TRY(json_add_integer(info, "OSVersionMajor", request->os_major));
        TRY(json_add_integer(info, "OSVersionMinor", request->os_minor));
        TRY(add_base64(info, "TcgLogs", request->boot_log));
        TRY(add_payload(info, request));
        TRY(add_tpm_info(info, request));
        TRY(add_isolation(info, request));
        return json_to_string(info, ret);
}

static Err *check_key_type(Span tpmt_public, const char *what) {
        TpmPublic public;
        TRY(err_wrap(tpm_public_parse(tpmt_public, &public), "%s", what));
        return public.type == TPM_ALG_RSA ? NULL : err_new(ERR_NOT_SUPPORTED, "%s is no RSA key", what);
}

static Err *check_request(const MaaGuestRequest *request) {
        const struct { const char *what; bool is_there; } needed[] = {
                { "the attestation key", request->aik_public.size > 0 },
                { "the attestation key's certificate", request->aik_certificate.size > 0 },
                { "the quote", request->quote.size > 0 && request->quote_signature.size > 0 },
                { "the encryption key", request->key_public.size > 0 },
                { "the encryption key's certification", request->key_certification.size > 0 && request->key_signature.size > 0 },
                { "the report of the confidential VM", request->isolation == MAA_ISOLATION_TRUSTED_LAUNCH || request->proof.size > 0 },
                { "the runtime data of the confidential VM", request->isolation == MAA_ISOLATION_TRUSTED_LAUNCH || request->runtime_data.size > 0 },
        };
        for (size_t i = 0; i < N_ELEMENTS(needed); i++)
                if (!needed[i].is_there)
                        return err_new(ERR_INVALID_ARGUMENT, "attestation of an Azure VM: %s is missing", needed[i].what);
        if (!request->pcrs || request->pcrs->n_banks != 1 || request->pcrs->banks[0].mask == 0)
                return err_new(ERR_INVALID_ARGUMENT, "attestation of an Azure VM: PCR values of one bank are needed");
        TRY(check_key_type(request->aik_public, "the attestation key"));
        TRY(check_key_type(request->key_public, "the encryption key"));
        return request->n_payload > MAA_AZURE_GUEST_PAYLOAD_MAX ? err_new(ERR_LIMIT_EXCEEDED, "more than %u client payloads", MAA_AZURE_GUEST_PAYLOAD_MAX) : NULL;
}

Err *maa_guest_request(const char *base_url, const char *api_version, const MaaGuestRequest *request, HttpRequest *ret) {
        _cleanup_json_ Json *body = NULL;
        _cleanup_free_ char *info = NULL;
        TRY(check_request(request));
        TRY(make_info(request, &info));
        TRY(json_new_object(&body));
        TRY(json_add_base64url(body, "AttestationInfo", span_from_string(info)));
        return maa_request_post_json(base_url, "attest/AzureGuest", api_version ? api_version : MAA_AZURE_GUEST_API_VERSION, body, ret);
}

/* ---- answer ---- */

void maa_guest_answer_done(MaaGuestAnswer *answer) {
        bytes_done(&answer->encrypted_key);
        bytes_done(&answer->ciphertext);
        bytes_done(&answer->iv);
        bytes_done(&answer->tag);
}

static Err *get_base64(const Json *json, const char *member, Bytes *ret) {
        const char *text;
        TRY(json_get_string(json, member, &text));
        return base64_decode(span_from_string(text), member, ret);
}

static Err *check_text(const Json *json, const char *member, const char *wanted) {
        const char *text;
        TRY(json_get_string(json, member, &text));
        return string_equal(text, wanted) ? NULL : err_new(ERR_NOT_SUPPORTED, "%s is not %s", member, wanted);
}

/* GCM has no padding; the service names one all the same. */
static Err *read_parameters(const Json *envelope, MaaGuestAnswer *answer) {
        Json *parameters;
        int64_t bits;
        TRY(json_get_object(envelope, "EncryptionParams", &parameters));
        TRY(check_text(parameters, "Cipher", "AES"));
        TRY(check_text(parameters, "BlockMode", "ChainingModeGCM"));
        TRY(json_get_integer(parameters, "KeySizeInBits", &bits));
        if (bits != AES256_KEY_SIZE * 8)
                return err_new(ERR_NOT_SUPPORTED, "KeySizeInBits is not %d", AES256_KEY_SIZE * 8);
        TRY(get_base64(parameters, "Iv", &answer->iv));
        if (answer->iv.size != AES_GCM_IV_SIZE)
                return err_new(ERR_NOT_SUPPORTED, "Iv has %zu bytes, %d are needed", answer->iv.size, AES_GCM_IV_SIZE);
        return NULL;
}

static Err *read_envelope(Span text, MaaGuestAnswer *answer) {
        _cleanup_json_ Json *envelope = NULL;
        TRY(json_parse(text, "the envelope of the token", &envelope));
        TRY(read_parameters(envelope, answer));
        TRY(get_base64(envelope, "Jwt", &answer->ciphertext));
        TRY(get_base64(envelope, "EncryptedInnerKey", &answer->encrypted_key));
        TRY(get_base64(envelope, "AuthenticationData", &answer->tag));
        return answer->tag.size == AES_GCM_TAG_SIZE ? NULL : err_new(ERR_NOT_SUPPORTED, "AuthenticationData has %zu bytes, %d are needed", answer->tag.size, AES_GCM_TAG_SIZE);
}

Err *maa_guest_answer_parse(Span answer, MaaGuestAnswer *ret) {
        _cleanup_maa_guest_answer_ MaaGuestAnswer parsed = {};
        _cleanup_free_ char *token = NULL;
        _cleanup_bytes_ Bytes envelope = {};
        TRY(maa_token_answer_parse(answer, &token));
        Err *err = base64url_decode(span_from_string(token), "token", &envelope);
        if (!err)
                err = read_envelope(bytes_span(&envelope), &parsed);
        if (err)
                return err_wrap_code(ERR_SERVICE_ANSWER_INVALID, err, "the answer of attest/AzureGuest cannot be used");
        *ret = parsed;
        parsed = (MaaGuestAnswer) {};
        return NULL;
}

Err *maa_guest_answer_open(const MaaGuestAnswer *answer, Span inner_key, char **ret_jwt) {
        _cleanup_bytes_erase_ Bytes text = {};
        Err *err = aes256_gcm_open(inner_key, bytes_span(&answer->iv), span_from_string(MAA_AZURE_GUEST_ASSOCIATED_DATA), bytes_span(&answer->ciphertext),
                                   bytes_span(&answer->tag), &text);
        if (!err)
                err = string_copy_span(bytes_span(&text), ret_jwt);
        return err_wrap_code(ERR_SERVICE_ANSWER_INVALID, err, "the token does not open");
}

/* ---- claims ---- */

static Err *read_texts(const Json *claims, MaaGuestClaims *ret) {
        const struct { const char *name; const char **text; } texts[] = {
                { "x-ms-attestation-type", &ret->attestation_type },     { "x-ms-azurevm-vmid", &ret->vm_id },
                { "x-ms-azurevm-ostype", &ret->os_type },                { "x-ms-azurevm-osdistro", &ret->os_distro },
                { "x-ms-policy-hash", &ret->policy_hash },
        };
        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                TRY(json_get_string_optional(claims, texts[i].name, texts[i].text));
        ret->has_secure_boot = json_get(claims, "secureboot") != NULL;
        if (ret->has_secure_boot)
                TRY(json_get_boolean(claims, "secureboot", &ret->is_secure_boot));
        return NULL;
}

static Err *read_objects(const Json *claims, MaaGuestClaims *ret) {
        Json *object;
        TRY(json_get_object(claims, "x-ms-runtime", &object));
        ret->runtime = object;
        if (!json_get(claims, "x-ms-isolation-tee"))
                return NULL;
        TRY(json_get_object(claims, "x-ms-isolation-tee", &object));
        ret->isolation = object;
        TRY(json_get_string_optional(object, "x-ms-attestation-type", &ret->isolation_type));
        return json_get_string_optional(object, "x-ms-compliance-status", &ret->compliance_status);
}

/* The key of the runtime that the service calls the ephemeral one. */
static Err *find_key(const Json *runtime, Bytes *ret_modulus) {
        Json *keys;
        TRY(err_wrap_code(ERR_TOKEN_CLAIM_INVALID, json_get_array(runtime, "keys", &keys), "x-ms-runtime"));
        for (size_t i = 0; i < json_object_array_length(keys); i++) {
                const Json *key = json_object_array_get_idx(keys, i);
                const char *id;
                TRY(err_wrap_code(ERR_TOKEN_CLAIM_INVALID, json_get_string_optional(key, "kid", &id), "a key in x-ms-runtime"));
                if (id && string_equal(id, MAA_AZURE_GUEST_KEY_ID))
                        return err_wrap_code(ERR_TOKEN_CLAIM_INVALID, json_get_base64url(key, "n", ret_modulus), "%s in x-ms-runtime", MAA_AZURE_GUEST_KEY_ID);
        }
        return err_new(ERR_TOKEN_CNF_MISMATCH, "x-ms-runtime has no key %s", MAA_AZURE_GUEST_KEY_ID);
}

static Err *check_key(const Json *runtime, const MaaGuestRequest *request) {
        _cleanup_bytes_ Bytes modulus = {};
        TpmPublic public;
        TRY(check_key_type(request->key_public, "the encryption key"));
        TRY(tpm_public_parse(request->key_public, &public));
        TRY(find_key(runtime, &modulus));
        if (!span_equal(bytes_span(&modulus), public.rsa_modulus))
                return err_new(ERR_TOKEN_CNF_MISMATCH, "%s in x-ms-runtime is another key than the one that was sent", MAA_AZURE_GUEST_KEY_ID);
        return NULL;
}

static Err *check_payload(const Json *runtime, const MaaGuestRequest *request) {
        const Json *payload = json_get(runtime, "client-payload");
        for (size_t i = 0; i < request->n_payload; i++) {
                _cleanup_free_ char *wanted = NULL;
                const char *text;
                TRY(base64_encode(span_from_string(request->payload[i].value), &wanted));
                TRY(err_wrap_code(ERR_TOKEN_CLAIM_INVALID, json_get_string_optional(payload, request->payload[i].name, &text), "client-payload"));
                if (!text || !string_equal(text, wanted))
                        return err_new(ERR_TOKEN_NONCE_MISMATCH, "client-payload: \"%s\" is not what was sent", request->payload[i].name);
        }
        return NULL;
}

Err *maa_guest_claims(const Json *claims, const MaaGuestRequest *request, MaaGuestClaims *ret) {
        MaaGuestClaims found = {};
        Err *err = read_texts(claims, &found);
        if (!err)
                err = read_objects(claims, &found);
        if (err)
                return err_wrap_code(ERR_TOKEN_CLAIM_INVALID, err, "the token's claims about the VM");
        if (!found.attestation_type || !string_equal(found.attestation_type, "azurevm"))
                return err_new(ERR_TOKEN_CLAIM_INVALID, "x-ms-attestation-type is not azurevm");
        TRY(check_key(found.runtime, request));
        TRY(check_payload(found.runtime, request));
        *ret = found;
        return NULL;
}
