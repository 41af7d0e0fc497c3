/* OpenID metadata of an instance; see client.h. */
#include "attest/client.h"

#include "attest/internal.h"

struct AttestMetadata {
        OpenIdMetadata inner;
        char *text;
        const char *revocation_url;                                /* this and what is in the lists is borrowed from inner.json */
        const char **response_types, **algorithms, **claims;       /* NULL-terminated */
};

AttestMetadata *attest_metadata_free(AttestMetadata *metadata) {
        if (!metadata)
                return NULL;
        openid_metadata_done(&metadata->inner);
        free(metadata->text);
        free(metadata->response_types);
        free(metadata->algorithms);
        free(metadata->claims);
        free(metadata);
        return NULL;
}
DEFINE_CLEANUP(AttestMetadata, attest_metadata_free)

static Err *read_list(const Json *json, const char *name, const char ***ret) {
        Json *array = json_get(json, name);
        size_t n = json_is_array(array) ? json_object_array_length(array) : 0;
        _cleanup_free_ const char **list = calloc(n + 1, sizeof(char *));
        if (!list)
                return err_oom();
        if (array && !json_is_array(array))
                return err_new(ERR_SERVICE_ANSWER_INVALID, "%s: an array is needed", name);
        for (size_t i = 0; i < n; i++) {
                const Json *text = json_object_array_get_idx(array, i);
                if (!json_is_string(text))
                        return err_new(ERR_SERVICE_ANSWER_INVALID, "%s: element %zu is no text", name, i);
                list[i] = json_object_get_string((Json *) text);
        }
        *ret = steal_ptr(&list);
        return NULL;
}

static Err *read_members(AttestMetadata *metadata) {
        const Json *json = metadata->inner.json;
        TRY(err_wrap_code(ERR_SERVICE_ANSWER_INVALID, json_get_string_optional(json, "revocation_endpoint", &metadata->revocation_url), "the metadata"));
        TRY(read_list(json, "response_types_supported", &metadata->response_types));
        TRY(read_list(json, "id_token_signing_alg_values_supported", &metadata->algorithms));
        TRY(read_list(json, "claims_supported", &metadata->claims));
        return json_to_string(json, &metadata->text);
}

static Err *get_metadata(AttestClient *client, AttestMetadata **ret) {
        _cleanup_(attest_metadata_freep) AttestMetadata *metadata = calloc(1, sizeof(AttestMetadata));
        _cleanup_(operation_freep) Operation *operation = NULL;
        HttpRequest request = {};
        if (!metadata)
                return err_oom();
        TRY(maa_openid_request(client->url, &request));
        TRY(client_call(client, "the metadata", &request, &operation));
        TRY(maa_openid_parse(operation_call_answer(operation), &metadata->inner));
        TRY(err_wrap(read_members(metadata), "the metadata"));
        *ret = steal_ptr(&metadata);
        return NULL;
}

AttestError *attest_client_get_openid_metadata(AttestClient *client, AttestMetadata **ret) {
        client_begin(client);
        return error_out(err_wrap(get_metadata(client, ret), "getting the metadata of %s", client->url));
}

const char *attest_metadata_get_json(const AttestMetadata *metadata) {
        return metadata->text;
}

const char *attest_metadata_get_issuer(const AttestMetadata *metadata) {
        return metadata->inner.issuer;
}

const char *attest_metadata_get_keys_url(const AttestMetadata *metadata) {
        return metadata->inner.jwks_uri;
}

const char *attest_metadata_get_revocation_url(const AttestMetadata *metadata) {
        return metadata->revocation_url;
}

const char *const *attest_metadata_get_response_types(const AttestMetadata *metadata) {
        return metadata->response_types;
}

const char *const *attest_metadata_get_algorithms(const AttestMetadata *metadata) {
        return metadata->algorithms;
}

const char *const *attest_metadata_get_claims(const AttestMetadata *metadata) {
        return metadata->claims;
}
