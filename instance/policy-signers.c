/* See policy-signers.h. */
#include "instance/policy-signers.h"

#include <errno.h>
#include <unistd.h>

#include "base/writer.h"
#include "instance/ca.h"
#include "instance/policy-jws.h"
#include "jose/x509.h"

#define FIRST_SIGNER_LIFETIME_SEC (INT64_C(20) * 365 * 86400)

struct PolicySigners {
        char *path;                     /* NULL: nowhere */
        STACK_OF(X509) *certificates;
};

static int find(const STACK_OF(X509) *certificates, X509 *certificate) {
        for (int i = 0; i < sk_X509_num(certificates); i++)
                if (X509_cmp(sk_X509_value(certificates, i), certificate) == 0)
                        return i;
        return -1;
}

static Err *save(const PolicySigners *signers, const STACK_OF(X509) *certificates) {
        _cleanup_writer_ Writer writer = {};
        _cleanup_bytes_ Bytes text = {};
        if (!signers->path)
                return NULL;
        for (int i = 0; i < sk_X509_num(certificates); i++) {
                _cleanup_bytes_ Bytes pem = {};
                TRY(ca_certificate_to_pem(sk_X509_value(certificates, i), &pem));
                writer_span(&writer, bytes_span(&pem));
        }
        TRY(writer_finish(&writer, &text));
        return file_write_atomic(signers->path, bytes_span(&text), 0644);
}

static Err *copy_stack(const STACK_OF(X509) *certificates, STACK_OF(X509) **ret) {
        *ret = certificates ? X509_chain_up_ref((STACK_OF(X509) *) certificates) : sk_X509_new_null();
        return *ret ? NULL : err_oom();
}

/* The list becomes certificates once the file has them. Takes certificates, also on failure. */
static Err *replace(PolicySigners *signers, STACK_OF(X509) *steal_certificates) {
        _cleanup_(x509_stack_freep) STACK_OF(X509) *certificates = steal_certificates;
        TRY(save(signers, certificates));
        x509_stack_free(signers->certificates);
        signers->certificates = steal_ptr(&certificates);
        return NULL;
}

static Err *load(PolicySigners *signers, const STACK_OF(X509) *initial) {
        STACK_OF(X509) *certificates = NULL;
        if (signers->path) {
                TRY(file_remove_unfinished(signers->path));
                if (access(signers->path, F_OK) == 0)
                        return ca_read_certificates(signers->path, &signers->certificates);
                if (errno != ENOENT)
                        return err_new_errno(ERR_IO, errno, "looking for %s", signers->path);
        }
        TRY(copy_stack(initial, &certificates));
        return replace(signers, certificates);
}

Err *policy_signers_load(const char *directory, const STACK_OF(X509) *initial, PolicySigners **ret) {
        _cleanup_(policy_signers_freep) PolicySigners *signers = calloc(1, sizeof(*signers));
        if (!signers)
                return err_oom();
        if (directory)
                TRY(string_format(&signers->path, "%s/policy-signers.pem", directory));
        TRY(err_wrap(load(signers, initial), "loading the policy signers"));
        *ret = steal_ptr(&signers);
        return NULL;
}

PolicySigners *policy_signers_free(PolicySigners *signers) {
        if (!signers)
                return NULL;
        x509_stack_free(signers->certificates);
        free(signers->path);
        free(signers);
        return NULL;
}

size_t policy_signers_count(const PolicySigners *signers) {
        return (size_t) sk_X509_num(signers->certificates);
}

bool policy_signers_have(const PolicySigners *signers, X509 *certificate) {
        return find(signers->certificates, certificate) >= 0;
}

Err *policy_signers_add(PolicySigners *signers, X509 *certificate) {
        _cleanup_(x509_stack_freep) STACK_OF(X509) *alone = sk_X509_new_null(), *certificates = NULL;
        _cleanup_json_ Json *json = NULL;
        if (!alone || X509_add_cert(alone, certificate, X509_ADD_FLAG_UP_REF) != 1)
                return err_oom();
        TRY(policy_jws_signer_to_json(alone, &json)); /* or it could never be listed */
        if (find(signers->certificates, certificate) >= 0)
                return NULL;
        if (sk_X509_num(signers->certificates) >= POLICY_SIGNERS_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "there are %d policy signers, which is the limit", POLICY_SIGNERS_MAX);
        TRY(copy_stack(signers->certificates, &certificates));
        if (X509_add_cert(certificates, certificate, X509_ADD_FLAG_UP_REF) != 1)
                return err_oom();
        return replace(signers, steal_ptr(&certificates));
}

Err *policy_signers_remove(PolicySigners *signers, X509 *certificate) {
        _cleanup_(x509_stack_freep) STACK_OF(X509) *certificates = NULL;
        int place = find(signers->certificates, certificate);
        if (place < 0)
                return NULL;
        if (sk_X509_num(signers->certificates) == 1)
                return err_new(ERR_CONFIG_INVALID, "the last policy signer cannot be removed, nobody could change anything any more");
        TRY(copy_stack(signers->certificates, &certificates));
        X509_free(sk_X509_delete(certificates, place));
        return replace(signers, steal_ptr(&certificates));
}

Err *policy_signers_to_json(const PolicySigners *signers, Json **ret) {
        _cleanup_json_ Json *json = NULL, *keys = NULL;
        TRY(json_new_object(&json));
        TRY(json_new_array(&keys));
        for (int i = 0; i < sk_X509_num(signers->certificates); i++) {
                _cleanup_(x509_stack_freep) STACK_OF(X509) *alone = sk_X509_new_null();
                Json *key = NULL;
                if (!alone || X509_add_cert(alone, sk_X509_value(signers->certificates, i), X509_ADD_FLAG_UP_REF) != 1)
                        return err_oom();
                TRY(policy_jws_signer_to_json(alone, &key));
                TRY(json_append(keys, key));
        }
        TRY(json_add(json, "keys", steal_ptr(&keys)));
        *ret = steal_ptr(&json);
        return NULL;
}

Err *policy_signers_make_first(const char *directory, int64_t now_sec, STACK_OF(X509) **ret) {
        _cleanup_ca_identity_ CaIdentity identity = {};
        _cleanup_(x509_stack_freep) STACK_OF(X509) *certificates = sk_X509_new_null();
        CaCertificate wanted = {
                .common_name = "attest-instance policy signer", .is_ca = true, .not_before = now_sec - 86400, .not_after = now_sec + FIRST_SIGNER_LIFETIME_SEC,
        };
        TRY(err_wrap(ca_state_identity(directory, "policy-signer", &wanted, now_sec, &identity), "making a policy signer"));
        if (!certificates || X509_add_cert(certificates, identity.certificate, X509_ADD_FLAG_UP_REF) != 1)
                return err_oom();
        *ret = steal_ptr(&certificates);
        return NULL;
}
