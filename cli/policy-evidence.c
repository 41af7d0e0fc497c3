/* See policy-evidence.h. The bundle's quote answers the nonce of its collection, not a challenge of the service: whether it is fresh is not judged here. */
#include "cli/policy-evidence.h"

#include <time.h>

#include "cli/evidence-bundle.h"
#include "maa/token.h"
#include "maa/tpm-claims.h"
#include "policy/policy-eval.h"
#include "policy/properties.h"
#include "tcg/aik-certificate.h"
#include "tcg/aik.h"
#include "tcg/bundle.h"
#include "tcg/ima-match.h"
#include "tcg/verdict.h"

/* The key's digest as the claim has it, and whether somebody who is trusted vouches for the key; *ret_reason if not. */
static Err *judge_key(const Bundle *bundle, STACK_OF(X509) *anchors, TpmClaimsInput *input, char **ret_reason) {
        _cleanup_(aik_certificate_freep) AikCertificate *checked = NULL;
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        _cleanup_free_ char *fingerprint = NULL;
        _cleanup_bytes_ Bytes digest = {};
        TpmPublic public;
        TRY(aik_public_check(bytes_span(&bundle->aik_public)));
        TRY(aik_fingerprint(bytes_span(&bundle->aik_public), &fingerprint));
        TRY(hex_decode(span_from_string(fingerprint), "fingerprint", &digest));
        input->aik_hash = digest_make(HASH_SHA256, bytes_span(&digest));
        if (bundle->aik_certificate.size == 0)
                return string_copy("the bundle has none", ret_reason);
        TRY(tpm_public_parse(bytes_span(&bundle->aik_public), &public));
        TRY(tpm_public_to_pkey(&public, &key));
        _cleanup_(err_freep) Err *err = aik_certificate_check(bytes_span(&bundle->aik_certificate), key, (uint64_t) time(NULL), anchors, NULL, &checked);
        if (err_code(err) == ERR_AIK_CERTIFICATE_INVALID)
                return string_copy(err_describe(err), ret_reason);
        if (err)
                return steal_ptr(&err);
        input->aik_validated = checked->chain_verified;
        return checked->chain_verified ? NULL : string_copy("--trust-anchors was not given", ret_reason);
}

/* A firmware log that does not explain the PCRs only proves less; an IMA list that does not lead to the quoted PCR 10 is wrong evidence. */
static Err *judge_logs(const Bundle *bundle, const TpmAttest *attest, PcrVerdict *verdicts, TpmClaimsLogs *ret) {
        const Bytes *boot_log = bundle_log(bundle, EVIDENCE_LOG_TCG), *ima_list = bundle_log(bundle, EVIDENCE_LOG_IMA);
        TpmSignature signature;
        EventLogReplay replay;
        ImaMatch match;
        TRY(tpm_signature_parse(bytes_span(&bundle->signature), &signature));
        if (boot_log)
                TRY(eventlog_replay(bytes_span(boot_log), &replay));
        if (ima_list)
                TRY(ima_match_prefix(bytes_span(ima_list), NULL, &bundle->pcrs, attest, signature.hash_alg, &match));
        if (ima_list && match.replay.size != ima_list->size)
                return err_new(ERR_IMA_MISMATCH, "PCR 10 was quoted after entry %llu; the list goes on", (unsigned long long) match.replay.n_entries);
        verdict_for_pcrs(&bundle->pcrs, boot_log ? &replay : NULL, ima_list ? &match.replay : NULL, verdicts);
        *ret = (TpmClaimsLogs) { .pcrs = &bundle->pcrs, .verdicts = verdicts, .boot_log = boot_log, .ima_list = ima_list };
        return NULL;
}

static Err *judge_quote(const Bundle *bundle, const Bundle *key_of, Span qualifying, TpmAttest *ret) {
        return aik_verify_quote(bytes_span(&key_of->aik_public), bytes_span(&bundle->quote), bytes_span(&bundle->signature), qualifying, &bundle->pcrs, ret);
}

/* It answers no challenge; the key and the TPM's counts tie it to the current quote. */
static Err *judge_boot(const Bundle *bundle, const TpmAttest *current, PcrVerdict *verdicts, TpmClaimsLogs *ret) {
        TpmAttest attest;
        TRY(tpm_attest_parse(bytes_span(&bundle->boot->quote), &attest));
        TRY(judge_quote(bundle->boot, bundle, attest.extra_data, &attest));
        if (attest.reset_count != current->reset_count || tpm_attest_restarts(attest.restart_count, current->restart_count) <= 0)
                return err_new(ERR_EVIDENCE_MALFORMED, "it is not from before a hibernation of this boot");
        return judge_logs(bundle->boot, &attest, verdicts, ret);
}

static Err *judge_configuration(const Policy *policy, const TpmAttest *attest, bool aik_validated, const char *reason) {
        PolicyConfiguration configuration;
        TRY(policy_configuration_get(policy, &configuration));
        TRY(quote_check_covers(&attest->selection, configuration.required_pcrs));
        if (configuration.needs_valid_aik && !aik_validated)
                return err_new(ERR_AIK_CERTIFICATE_INVALID, "the policy requires a valid certificate of the attestation key (require_valid_aik_cert): %s", reason);
        return NULL;
}

static Err *add_claims(const TpmClaimsInput *input, const Policy *policy, PolicyClaims *claims) {
        _cleanup_tpm_claims_ TpmClaims made = {};
        TRY(tpm_claims_make(input, &made));
        TRY(policy_claims_add_json(claims, made.claims, POLICY_ISSUER_SERVICE));
        return policy_minor_version(policy) >= 2 ? policy_claims_add_json(claims, made.evidence, POLICY_ISSUER_SERVICE) : NULL;
}

static Err *judge(const Bundle *bundle, STACK_OF(X509) *anchors, const Policy *policy, PolicyClaims *claims) {
        _cleanup_free_ char *reason = NULL;
        TpmClaimsInput input = {};
        TpmClaimsLogs boot;
        PcrVerdict verdicts[PCR_COUNT], boot_verdicts[PCR_COUNT];
        TpmAttest attest;
        TRY(err_wrap(judge_key(bundle, anchors, &input, &reason), "attestation key"));
        TRY(err_wrap(judge_quote(bundle, bundle, bytes_span(&bundle->qualifying_data), &attest), "quote"));
        TRY(judge_configuration(policy, &attest, input.aik_validated, reason));
        TRY(err_wrap(judge_logs(bundle, &attest, verdicts, &input.current), "logs"));
        if (bundle->boot) {
                TRY(err_wrap(judge_boot(bundle, &attest, boot_verdicts, &boot), "attestation of the boot"));
                input.boot = &boot;
        }
        return add_claims(&input, policy, claims);
}

Err *policy_evidence_add_claims(const PolicyEvidence *evidence, const Policy *policy, PolicyClaims *claims) {
        _cleanup_(bundle_freep) Bundle *bundle = NULL;
        STACK_OF(X509) *anchors = NULL;
        TRY(evidence_read_bundle(evidence->bundle, &bundle));
        TRY(evidence_read_anchors(evidence->trust_anchors, &anchors));
        Err *err = judge(bundle, anchors, policy, claims);
        token_trust_anchors_free(anchors);
        return err_wrap(err, "%s", evidence->bundle);
}
