/* See azure-guest.h. */
#include "attest/azure-guest.h"

#include "attest/internal.h"
#include "maa/azure-guest.h"

#define PLAINTEXT_SIZE_MAX 512

struct AttestAzureGuest {
        Bytes aik_public, aik_certificate, quote, quote_signature, key_public, key_certification, key_signature, boot_log, proof, runtime_data;
        PcrValues pcrs;
        char *distro, *build;
        char *payload[2 * MAA_AZURE_GUEST_PAYLOAD_MAX];     /* name, value, … */
        MaaGuestRequest request;                            /* its spans and texts are of the above */
};

struct AttestAzureGuestResult {
        AttestToken *token;
        MaaGuestClaims claims;       /* borrowed from token */
        char *runtime, *isolation;
};

AttestAzureGuest *attest_azure_guest_free(AttestAzureGuest *guest) {
        if (!guest)
                return NULL;
        Bytes *const bytes[] = { &guest->aik_public, &guest->aik_certificate, &guest->quote, &guest->quote_signature, &guest->key_public,
                                 &guest->key_certification, &guest->key_signature, &guest->boot_log, &guest->proof, &guest->runtime_data };
        for (size_t i = 0; i < N_ELEMENTS(bytes); i++)
                bytes_done(bytes[i]);
        for (size_t i = 0; i < N_ELEMENTS(guest->payload); i++)
                free(guest->payload[i]);
        free(guest->distro);
        free(guest->build);
        free(guest);
        return NULL;
}

AttestError *attest_azure_guest_new(AttestAzureGuest **ret) {
        AttestAzureGuest *guest = calloc(1, sizeof(AttestAzureGuest));
        if (!guest)
                return error_out(err_oom());
        guest->pcrs.n_banks = 1;
        guest->pcrs.banks[0].alg = HASH_SHA256;
        guest->request.pcrs = &guest->pcrs;
        *ret = guest;
        return NULL;
}

/* ---- what goes to the service ---- */

typedef struct Part {
        Bytes *bytes;
        Span *span;       /* of the request */
        Span data;
} Part;

/* All of them, or none. */
static Err *set_parts(const Part *parts, size_t n) {
        Bytes copies[3] = {};
        Err *err = NULL;
        for (size_t i = 0; i < n && !err; i++)
                err = bytes_copy(parts[i].data, &copies[i]);
        for (size_t i = 0; i < n; i++) {
                if (err) {
                        bytes_done(&copies[i]);
                        continue;
                }
                bytes_done(parts[i].bytes);
                *parts[i].bytes = copies[i];
                *parts[i].span = bytes_span(parts[i].bytes);
        }
        return err;
}

AttestError *attest_azure_guest_set_aik(AttestAzureGuest *guest, const void *public_area, size_t public_size, const void *certificate, size_t certificate_size) {
        const Part parts[] = {
                { &guest->aik_public, &guest->request.aik_public, span_make(public_area, public_size) },
                { &guest->aik_certificate, &guest->request.aik_certificate, span_make(certificate, certificate_size) },
        };
        return error_out(set_parts(parts, N_ELEMENTS(parts)));
}

AttestError *attest_azure_guest_set_quote(AttestAzureGuest *guest, const void *quote, size_t quote_size, const void *signature, size_t signature_size) {
        const Part parts[] = {
                { &guest->quote, &guest->request.quote, span_make(quote, quote_size) },
                { &guest->quote_signature, &guest->request.quote_signature, span_make(signature, signature_size) },
        };
        return error_out(set_parts(parts, N_ELEMENTS(parts)));
}

AttestError *attest_azure_guest_set_pcr(AttestAzureGuest *guest, unsigned index, const unsigned char digest[32]) {
        if (index >= PCR_COUNT)
                return error_out(err_new(ERR_INVALID_ARGUMENT, "PCR %u: 0 to %d are possible", index, PCR_COUNT - 1));
        guest->pcrs.banks[0].mask |= UINT32_C(1) << index;
        guest->pcrs.banks[0].values[index] = digest_make(HASH_SHA256, span_make(digest, 32));
        return NULL;
}

AttestError *attest_azure_guest_set_encryption_key(AttestAzureGuest *guest, const void *public_area, size_t public_size, const void *certification,
                                                   size_t certification_size, const void *signature, size_t signature_size) {
        const Part parts[] = {
                { &guest->key_public, &guest->request.key_public, span_make(public_area, public_size) },
                { &guest->key_certification, &guest->request.key_certification, span_make(certification, certification_size) },
                { &guest->key_signature, &guest->request.key_signature, span_make(signature, signature_size) },
        };
        return error_out(set_parts(parts, N_ELEMENTS(parts)));
}

AttestError *attest_azure_guest_set_boot_log(AttestAzureGuest *guest, const void *log, size_t size) {
        const Part part = { &guest->boot_log, &guest->request.boot_log, span_make(log, size) };
        return error_out(set_parts(&part, 1));
}

static Err *set_texts(char **const members[2], const char *const texts[2]) {
        _cleanup_free_ char *first = NULL, *second = NULL;
        if (texts[0])
                TRY(string_copy(texts[0], &first));
        if (texts[1])
                TRY(string_copy(texts[1], &second));
        free(*members[0]);
        free(*members[1]);
        *members[0] = steal_ptr(&first);
        *members[1] = steal_ptr(&second);
        return NULL;
}

AttestError *attest_azure_guest_set_system(AttestAzureGuest *guest, const char *distro, const char *build, int64_t version_major, int64_t version_minor) {
        char **const members[] = { &guest->distro, &guest->build };
        Err *err = set_texts(members, (const char *const[]) { distro, build });
        if (err)
                return error_out(err);
        guest->request.os_distro = guest->distro;
        guest->request.os_build = guest->build;
        guest->request.os_major = version_major;
        guest->request.os_minor = version_minor;
        return NULL;
}

/* Where name is, or the first free place. */
static size_t find_payload(const AttestAzureGuest *guest, const char *name) {
        size_t i = 0;
        while (i < guest->request.n_payload && !string_equal(guest->payload[2 * i], name))
                i++;
        return i;
}

AttestError *attest_azure_guest_add_payload(AttestAzureGuest *guest, const char *name, const char *value) {
        if (!name || !value || name[0] == 0)
                return error_out(err_new(ERR_INVALID_ARGUMENT, "a client payload needs a name and a value"));
        size_t i = find_payload(guest, name);
        if (i == MAA_AZURE_GUEST_PAYLOAD_MAX)
                return error_out(err_new(ERR_LIMIT_EXCEEDED, "more than %u client payloads", MAA_AZURE_GUEST_PAYLOAD_MAX));
        char **const members[] = { &guest->payload[2 * i], &guest->payload[2 * i + 1] };
        Err *err = set_texts(members, (const char *const[]) { name, value });
        if (err)
                return error_out(err);
        guest->request.payload[i] = (MaaGuestPayload) { guest->payload[2 * i], guest->payload[2 * i + 1] };
        if (i == guest->request.n_payload)
                guest->request.n_payload++;
        return NULL;
}

AttestError *attest_azure_guest_set_isolation(AttestAzureGuest *guest, const char *type, const void *proof, size_t proof_size, const void *runtime_data,
                                              size_t runtime_data_size) {
        const Part parts[] = {
                { &guest->proof, &guest->request.proof, span_make(proof, proof_size) },
                { &guest->runtime_data, &guest->request.runtime_data, span_make(runtime_data, runtime_data_size) },
        };
        MaaIsolation isolation;
        if (!maa_isolation_from_string(type, &isolation))
                return error_out(err_new(ERR_INVALID_ARGUMENT, "isolation \"%.32s\" is none of TrustedLaunch, SevSnp, Tdx", type));
        Err *err = set_parts(parts, N_ELEMENTS(parts));
        if (!err)
                guest->request.isolation = isolation;
        return error_out(err);
}

/* ---- the call ---- */

AttestAzureGuestResult *attest_azure_guest_result_free(AttestAzureGuestResult *result) {
        if (!result)
                return NULL;
        attest_token_free(result->token);
        free(result->runtime);
        free(result->isolation);
        free(result);
        return NULL;
}
DEFINE_CLEANUP(AttestAzureGuestResult, attest_azure_guest_result_free)

static Err *open_answer(const MaaGuestAnswer *answer, AttestDecrypt *decrypt, void *userdata, char **ret_jwt) {
        _cleanup_bytes_erase_ Bytes plaintext = {};
        size_t size = PLAINTEXT_SIZE_MAX;
        TRY(bytes_alloc(PLAINTEXT_SIZE_MAX, &plaintext));
        TRY(err_wrap(error_in(decrypt(userdata, answer->encrypted_key.data, answer->encrypted_key.size, plaintext.data, &size)), "opening the answer"));
        if (size > PLAINTEXT_SIZE_MAX)
                return err_new(ERR_INVALID_ARGUMENT, "the callback says that it wrote %zu bytes where there was room for %d", size, PLAINTEXT_SIZE_MAX);
        return maa_guest_answer_open(answer, span_make(plaintext.data, size), ret_jwt);
}

static Err *read_result(AttestAzureGuestResult *result, const MaaGuestRequest *request) {
        TRY(maa_guest_claims(attest_token_json(result->token), request, &result->claims));
        TRY(json_to_string(result->claims.runtime, &result->runtime));
        return result->claims.isolation ? json_to_string(result->claims.isolation, &result->isolation) : NULL;
}

static Err *attest(AttestClient *client, const MaaGuestRequest *request, AttestDecrypt *decrypt, void *userdata, AttestAzureGuestResult **ret) {
        _cleanup_(attest_azure_guest_result_freep) AttestAzureGuestResult *result = calloc(1, sizeof(AttestAzureGuestResult));
        _cleanup_(operation_freep) Operation *operation = NULL;
        _cleanup_maa_guest_answer_ MaaGuestAnswer answer = {};
        _cleanup_free_ char *jwt = NULL;
        HttpRequest http = {};
        if (!result)
                return err_oom();
        TRY(maa_guest_request(client->url, client->api_version, request, &http));
        TRY(client_call(client, "the attestation of the VM", &http, &operation));
        TRY(maa_guest_answer_parse(operation_call_answer(operation), &answer));
        TRY(open_answer(&answer, decrypt, userdata, &jwt));
        TRY(err_wrap(client_validate(client, CLIENT_ATTESTATION, jwt, &result->token), "validating the token"));
        TRY(read_result(result, request));
        *ret = steal_ptr(&result);
        return NULL;
}

AttestError *attest_client_attest_azure_guest(AttestClient *client, const AttestAzureGuest *guest, AttestDecrypt *decrypt, void *userdata,
                                              AttestAzureGuestResult **ret) {
        client_begin(client);
        return error_out(err_wrap(attest(client, &guest->request, decrypt, userdata, ret), "attesting this VM to %s", client->url));
}

/* ---- result ---- */

const AttestToken *attest_azure_guest_result_get_token(const AttestAzureGuestResult *result) {
        return result->token;
}

const char *attest_azure_guest_result_get_attestation_type(const AttestAzureGuestResult *result) {
        return result->claims.attestation_type;
}

const char *attest_azure_guest_result_get_vm_id(const AttestAzureGuestResult *result) {
        return result->claims.vm_id;
}

const char *attest_azure_guest_result_get_os_type(const AttestAzureGuestResult *result) {
        return result->claims.os_type;
}

const char *attest_azure_guest_result_get_os_distro(const AttestAzureGuestResult *result) {
        return result->claims.os_distro;
}

const char *attest_azure_guest_result_get_policy_hash(const AttestAzureGuestResult *result) {
        return result->claims.policy_hash;
}

bool attest_azure_guest_result_get_secure_boot(const AttestAzureGuestResult *result, bool *ret) {
        if (result->claims.has_secure_boot)
                *ret = result->claims.is_secure_boot;
        return result->claims.has_secure_boot;
}

const char *attest_azure_guest_result_get_runtime(const AttestAzureGuestResult *result) {
        return result->runtime;
}

const char *attest_azure_guest_result_get_isolation(const AttestAzureGuestResult *result) {
        return result->isolation;
}

const char *attest_azure_guest_result_get_isolation_type(const AttestAzureGuestResult *result) {
        return result->claims.isolation_type;
}

const char *attest_azure_guest_result_get_compliance_status(const AttestAzureGuestResult *result) {
        return result->claims.compliance_status;
}
