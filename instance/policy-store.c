/* See policy-store.h. */
#include "instance/policy-store.h"

#include <errno.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "instance/policy-jws.h"
#include "tcg/hash.h"

/* The service's answer for TPMs that have no policy: a header, no payload, no signature. */
#define NO_POLICY_JWS "eyJhbGciOiJub25lIn0.."
#define UNSIGNED_HEADER "{\"alg\":\"none\"}"

/* The service's default for enclaves since version 1.11.02134. */
static const char enclave_default[] =
        "version= 1.1;"
        "configurationrules{=> issueproperty(type=\"x-ms-sgx-tcbidentifier\", value=\"azuredefault\");};"
        "authorizationrules{=> permit();};"
        "issuancerules{"
        "c:[type==\"x-ms-sgx-is-debuggable\"] => issue(type=\"is-debuggable\", value=c.value);"
        "c:[type==\"x-ms-sgx-mrsigner\"] => issue(type=\"sgx-mrsigner\", value=c.value);"
        "c:[type==\"x-ms-sgx-mrenclave\"] => issue(type=\"sgx-mrenclave\", value=c.value);"
        "c:[type==\"x-ms-sgx-product-id\"] => issue(type=\"product-id\", value=c.value);"
        "c:[type==\"x-ms-sgx-svn\"] => issue(type=\"svn\", value=c.value);"
        "c:[type==\"x-ms-attestation-type\"] => issue(type=\"tee\", value=c.value);"
        "};";

struct PolicyStore {
        char *directory;                                /* DIR/policies; NULL: none */
        StoredPolicy policies[_ATTESTATION_TYPE_MAX];
};

const char *attestation_type_to_string(AttestationType type) {
        static const char *const names[_ATTESTATION_TYPE_MAX] = { "Tpm", "SgxEnclave", "OpenEnclave" };
        return type < _ATTESTATION_TYPE_MAX ? names[type] : NULL;
}

Err *attestation_type_from_span(Span text, AttestationType *ret) {
        for (unsigned i = 0; i < _ATTESTATION_TYPE_MAX; i++) {
                const char *name = attestation_type_to_string((AttestationType) i);
                if (text.size == strlen(name) && strncasecmp((const char *) text.data, name, text.size) == 0) {
                        *ret = (AttestationType) i;
                        return NULL;
                }
        }
        return err_new(ERR_REQUEST_INVALID, "the attestation type is none of Tpm, SgxEnclave, OpenEnclave");
}

void stored_policy_done(StoredPolicy *policy) {
        free(policy->jws);
        free(policy->text);
        free(policy->hash);
        policy_free(policy->policy);
        json_unref(policy->signer);
        *policy = (StoredPolicy) {};
}

Err *policy_hash(const char *text, char **ret) {
        Digest digest;
        TRY(hash_digest(HASH_SHA256, span_from_string(text), &digest));
        return base64url_encode(digest_span(&digest), ret);
}

Err *stored_policy_from_jws(const PolicyJws *jws, StoredPolicy *ret) {
        _cleanup_stored_policy_ StoredPolicy policy = {};
        _cleanup_bytes_ Bytes text = {};
        const char *claim;
        TRY(policy_jws_get_policy(jws, &claim, &text));
        TRY(policy_parse(bytes_span(&text), &policy.policy));
        TRY(string_copy_span(bytes_span(&text), &policy.text));
        TRY(string_copy_span(bytes_span(&jws->jws->text), &policy.jws));
        TRY(policy_hash(claim, &policy.hash));
        if (jws->chain)
                TRY(policy_jws_signer_to_json(jws->chain, &policy.signer));
        *ret = policy;
        policy = (StoredPolicy) {};
        return NULL;
}

Err *stored_policy_from_text(Span text, StoredPolicy *ret) {
        _cleanup_free_ char *claim = NULL, *payload = NULL, *jws = NULL, *header = NULL, *body = NULL;
        _cleanup_policy_jws_ PolicyJws parsed = {};
        TRY(base64url_encode(text, &claim));
        TRY(string_format(&payload, "{\"AttestationPolicy\":\"%s\"}", claim));
        TRY(base64url_encode(span_from_string(UNSIGNED_HEADER), &header));
        TRY(base64url_encode(span_from_string(payload), &body));
        TRY(string_format(&jws, "%s.%s.", header, body));
        TRY(policy_jws_open(span_from_string(jws), &parsed));
        return stored_policy_from_jws(&parsed, ret);
}

static Err *make_default(AttestationType type, StoredPolicy *ret) {
        StoredPolicy none = {};
        switch (type) {
        case ATTESTATION_TYPE_TPM:
                TRY(string_copy(NO_POLICY_JWS, &none.jws));
                *ret = none;
                return NULL;
        case ATTESTATION_TYPE_SGX_ENCLAVE:
        case ATTESTATION_TYPE_OPEN_ENCLAVE:
                return stored_policy_from_text(span_from_string(enclave_default), ret);
        case _ATTESTATION_TYPE_MAX:
                break;
        }
        return err_new(ERR_INTERNAL, "attestation type %d has no default policy", (int) type);
}

static Err *make_path(const PolicyStore *store, AttestationType type, char **ret) {
        return string_format(ret, "%s/%s.jws", store->directory, attestation_type_to_string(type));
}

static Err *load_one(const PolicyStore *store, AttestationType type, StoredPolicy *ret) {
        _cleanup_free_ char *path = NULL;
        _cleanup_bytes_ Bytes text = {};
        _cleanup_policy_jws_ PolicyJws jws = {};
        if (!store->directory)
                return make_default(type, ret);
        TRY(make_path(store, type, &path));
        TRY(file_remove_unfinished(path));
        if (access(path, F_OK) < 0 && errno == ENOENT)
                return make_default(type, ret);
        TRY(file_read(path, JWS_SIZE_MAX, &text));
        TRY(err_wrap(policy_jws_open(bytes_span(&text), &jws), "%s", path));
        return err_wrap(stored_policy_from_jws(&jws, ret), "%s", path);
}

static Err *prepare_directory(const char *directory, char **ret) {
        _cleanup_free_ char *path = NULL;
        TRY(string_format(&path, "%s/policies", directory));
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return err_new_errno(ERR_IO, errno, "making %s", path);
        *ret = steal_ptr(&path);
        return NULL;
}

Err *policy_store_load(const char *directory, PolicyStore **ret) {
        _cleanup_(policy_store_freep) PolicyStore *store = calloc(1, sizeof(*store));
        if (!store)
                return err_oom();
        if (directory)
                TRY(prepare_directory(directory, &store->directory));
        for (unsigned i = 0; i < _ATTESTATION_TYPE_MAX; i++)
                TRY(err_wrap(load_one(store, (AttestationType) i, &store->policies[i]), "loading the policies"));
        *ret = steal_ptr(&store);
        return NULL;
}

PolicyStore *policy_store_free(PolicyStore *store) {
        if (!store)
                return NULL;
        for (unsigned i = 0; i < _ATTESTATION_TYPE_MAX; i++)
                stored_policy_done(&store->policies[i]);
        free(store->directory);
        free(store);
        return NULL;
}

const StoredPolicy *policy_store_get(const PolicyStore *store, AttestationType type) {
        return &store->policies[type];
}

static void replace(PolicyStore *store, AttestationType type, StoredPolicy *steal_policy) {
        stored_policy_done(&store->policies[type]);
        store->policies[type] = *steal_policy;
        *steal_policy = (StoredPolicy) {};
}

Err *policy_store_put(PolicyStore *store, AttestationType type, StoredPolicy *steal_policy) {
        _cleanup_stored_policy_ StoredPolicy policy = *steal_policy;
        _cleanup_free_ char *path = NULL;
        *steal_policy = (StoredPolicy) {};
        if (store->directory) {
                TRY(make_path(store, type, &path));
                TRY(file_write_atomic(path, span_from_string(policy.jws), 0600));
        }
        replace(store, type, &policy);
        return NULL;
}

Err *policy_store_reset(PolicyStore *store, AttestationType type) {
        _cleanup_stored_policy_ StoredPolicy policy = {};
        _cleanup_free_ char *path = NULL;
        TRY(make_default(type, &policy));
        if (store->directory) {
                TRY(make_path(store, type, &path));
                if (unlink(path) < 0 && errno != ENOENT)
                        return err_new_errno(ERR_IO, errno, "removing %s", path);
        }
        replace(store, type, &policy);
        return NULL;
}
