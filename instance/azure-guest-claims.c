/* See azure-guest-claims.h. */
#include "instance/azure-guest-claims.h"

#include <openssl/rand.h>

#define ID_SIZE 32
#define SNP_POLICY_DEBUG (UINT64_C(1) << 19)      /* AMD 56860, guest policy */
#define SNP_POLICY_MIGRATION (UINT64_C(1) << 18)
#define SNP_POLICY_SMT (UINT64_C(1) << 16)

void guest_evidence_done(GuestEvidence *evidence) {
        free(evidence->aik_reason);
        EVP_PKEY_free(evidence->key);
        json_unref(evidence->runtime);
        *evidence = (GuestEvidence) {};
}

static Err *add_pcr_list(Json *claims, const char *name, uint32_t mask) {
        Json *list;
        TRY(json_new_array(&list));
        TRY(json_add(claims, name, list));
        for (int i = 0; i < PCR_COUNT; i++)
                if (mask >> i & 1)
                        TRY(json_append(list, json_object_new_int(i)));
        return NULL;
}

static Err *add_system(const GuestBody *body, Json *claims) {
        TRY(json_add_string(claims, "x-ms-azurevm-attestation-protocol-ver", "2.0"));
        TRY(add_pcr_list(claims, "x-ms-azurevm-attested-pcrs", body->pcrs.banks[0].mask));
        TRY(json_add_boolean(claims, "x-ms-azurevm-is-windows", string_equal(body->os_type, "Windows")));
        TRY(json_add_string(claims, "x-ms-azurevm-osbuild", body->os_build));
        TRY(json_add_string(claims, "x-ms-azurevm-osdistro", body->os_distro));
        TRY(json_add_string(claims, "x-ms-azurevm-ostype", body->os_type));
        TRY(json_add_integer(claims, "x-ms-azurevm-osversion-major", body->os_major));
        return json_add_integer(claims, "x-ms-azurevm-osversion-minor", body->os_minor);
}

/* {"client-payload":{…},"keys":[the key]}. */
static Err *add_runtime(const GuestEvidence *evidence, Json *claims) {
        _cleanup_free_ char *jwk = NULL;
        Json *runtime, *keys, *key, *operations;
        TRY(json_new_object(&runtime));
        TRY(json_add(claims, "x-ms-runtime", runtime));
        if (evidence->body->payload && json_object_object_length(evidence->body->payload) > 0)
                TRY(json_add(runtime, "client-payload", json_ref((Json *) evidence->body->payload)));
        TRY(json_new_array(&keys));
        TRY(json_add(runtime, "keys", keys));
        TRY(jwk_public_text(evidence->key, &jwk));
        TRY(json_parse(span_from_string(jwk), "jwk", &key));
        TRY(json_append(keys, key));
        TRY(json_new_array(&operations));
        TRY(json_add(key, "key_ops", operations));
        TRY(json_append(operations, json_object_new_string("encrypt")));
        return json_add_string(key, "kid", MAA_AZURE_GUEST_KEY_ID);
}

static Err *add_snp(const SnpReport *snp, Json *tee) {
        TRY(json_add_hex(tee, "x-ms-sevsnpvm-authorkeydigest", snp->author_key_digest));
        TRY(json_add_hex(tee, "x-ms-sevsnpvm-familyId", snp->family_id));
        TRY(json_add_integer(tee, "x-ms-sevsnpvm-guestsvn", snp->guest_svn));
        TRY(json_add_hex(tee, "x-ms-sevsnpvm-hostdata", snp->host_data));
        TRY(json_add_hex(tee, "x-ms-sevsnpvm-idkeydigest", snp->id_key_digest));
        TRY(json_add_hex(tee, "x-ms-sevsnpvm-imageId", snp->image_id));
        TRY(json_add_boolean(tee, "x-ms-sevsnpvm-is-debuggable", (snp->policy & SNP_POLICY_DEBUG) != 0));
        TRY(json_add_hex(tee, "x-ms-sevsnpvm-launchmeasurement", snp->measurement));
        TRY(json_add_boolean(tee, "x-ms-sevsnpvm-migration-allowed", (snp->policy & SNP_POLICY_MIGRATION) != 0));
        TRY(json_add_hex(tee, "x-ms-sevsnpvm-reportdata", snp->report_data));
        TRY(json_add_hex(tee, "x-ms-sevsnpvm-reportid", snp->report_id));
        TRY(json_add_boolean(tee, "x-ms-sevsnpvm-smt-allowed", (snp->policy & SNP_POLICY_SMT) != 0));
        /* TCB_VERSION: boot loader, TEE, 4 bytes reserved, SNP firmware, microcode */
        TRY(json_add_integer(tee, "x-ms-sevsnpvm-bootloader-svn", (int64_t) (snp->reported_tcb & 0xff)));
        TRY(json_add_integer(tee, "x-ms-sevsnpvm-tee-svn", (int64_t) (snp->reported_tcb >> 8 & 0xff)));
        TRY(json_add_integer(tee, "x-ms-sevsnpvm-snpfw-svn", (int64_t) (snp->reported_tcb >> 48 & 0xff)));
        TRY(json_add_integer(tee, "x-ms-sevsnpvm-microcode-svn", (int64_t) (snp->reported_tcb >> 56)));
        return json_add_integer(tee, "x-ms-sevsnpvm-vmpl", snp->vmpl);
}

static Err *add_isolation(const GuestEvidence *evidence, Json *claims) {
        Json *tee;
        const char *vm_id;
        if (!evidence->runtime)
                return NULL;
        TRY(json_new_object(&tee));
        TRY(json_add(claims, "x-ms-isolation-tee", tee));
        TRY(json_add_string(tee, "x-ms-attestation-type", "sevsnpvm"));
        TRY(json_add_string(tee, "x-ms-compliance-status", "unverified"));
        TRY(json_add(tee, "x-ms-runtime", json_ref(evidence->runtime)));
        TRY(add_snp(&evidence->snp, tee));
        TRY(json_get_string_optional(json_get(evidence->runtime, "vm-configuration"), "vmUniqueId", &vm_id));
        return json_add_string(claims, "x-ms-azurevm-vmid", vm_id);
}

/* What the service's tokens do not have. */
static Err *add_own(const GuestEvidence *evidence, Json *claims) {
        uint32_t replayed = 0;
        for (unsigned i = 0; i < PCR_COUNT; i++)
                if (evidence->pcrs[i] == PCR_REPLAYED)
                        replayed |= UINT32_C(1) << i;
        TRY(json_add_boolean(claims, "aikValidated", evidence->aik_validated));
        TRY(json_add_string(claims, "aikNotValidatedReason", evidence->aik_reason));
        return add_pcr_list(claims, "pcrs-replayed", replayed);
}

Err *guest_claims(const GuestEvidence *evidence, Json **ret) {
        _cleanup_json_ Json *claims = NULL;
        uint8_t id[ID_SIZE];
        if (RAND_bytes(id, sizeof(id)) != 1)
                return err_new(ERR_INTERNAL, "OpenSSL has no random bytes");
        TRY(json_new_object(&claims));
        TRY(json_add_hex(claims, "jti", SPAN_OF(id)));
        TRY(json_add_boolean(claims, "secureboot", evidence->is_secure_boot));
        TRY(json_add_string(claims, "x-ms-attestation-type", "azurevm"));
        TRY(json_add_string(claims, "x-ms-ver", "1.0"));
        TRY(add_system(evidence->body, claims));
        TRY(add_runtime(evidence, claims));
        TRY(add_isolation(evidence, claims));
        TRY(add_own(evidence, claims));
        *ret = steal_ptr(&claims);
        return NULL;
}
