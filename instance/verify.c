/* See verify.h. */
#include "instance/verify.h"

#include "maa/attest_tpm.h"
#include "tcg/aik-certificate.h"
#include "tcg/eventlog.h"
#include "tcg/ima.h"
#include "tcg/quote.h"
#include "tcg/secure-boot.h"
#include "tcg/verdict.h"

#define PCR_SECURE_BOOT 7

void verdict_done(Verdict *verdict) {
        free(verdict->aik_reason);
        verdict->aik_reason = NULL;
        json_unrefp(&verdict->vsm_claims);
        tpm_claims_done(&verdict->claims);
}

/* A key that the AIK certifies needs no place in the quote. */
static Err *expected_extra_data(const AttestRequest *request, Span challenge, Bytes *ret) {
        _cleanup_free_ char *jwk_text = NULL;
        Digest digest;
        if (request->request_key.is_certified)
                return bytes_copy(challenge, ret);
        TRY(string_copy_span(request->jwk_text, &jwk_text));
        TRY(attest_tpm_qualifying_data(jwk_text, challenge, &digest));
        return bytes_copy(digest_span(&digest), ret);
}

static Err *check_quote(const AttestRequest *request, Span challenge, const VerifyRules *rules, Verdict *verdict) {
        if (!span_equal(bytes_span(&request->challenge), challenge))
                return err_new(ERR_CHALLENGE_INVALID, "att_data.challenge is not the one that service_context was issued with");
        _cleanup_bytes_ Bytes qualifying = {};
        TRY(expected_extra_data(request, challenge, &qualifying));
        TpmSignature signature;
        TRY(tpm_signature_parse(bytes_span(&request->signature), &signature));
        if (signature.hash_alg == HASH_SHA1)
                return err_new(ERR_QUOTE_SIGNATURE_INVALID, "the quote is signed over SHA-1, which proves nothing any more");
        TpmAttest attest;
        TRY(quote_verify(bytes_span(&request->quote), bytes_span(&request->signature), request->aik, bytes_span(&qualifying),
                         &request->pcrs, &attest));
        verdict->reset_count = attest.reset_count;
        verdict->restart_count = attest.restart_count;
        return quote_check_covers(&attest.selection, rules->required_pcrs);
}

/* The jwk is the key of the public area, and the AIK vouches for that area over the challenge. */
static Err *check_certified_key(const MessageKey *key, EVP_PKEY *aik, Span challenge) {
        _cleanup_(pkey_freep) EVP_PKEY *certified = NULL;
        TpmPublic public;
        TpmSignature signature;
        TRY(tpm_signature_parse(bytes_span(&key->signature), &signature));
        if (signature.hash_alg == HASH_SHA1)
                return err_new(ERR_QUOTE_SIGNATURE_INVALID, "the certification is signed over SHA-1, which proves nothing any more");
        TRY(certify_verify(bytes_span(&key->certification), bytes_span(&key->signature), aik, challenge, bytes_span(&key->public)));
        TRY(tpm_public_parse(bytes_span(&key->public), &public));
        TRY(tpm_public_to_pkey(&public, &certified));
        if (!jwk_same_key(key->key->key, certified))
                return err_new(ERR_KEY_INVALID, "the jwk is another key than the public area has");
        return NULL;
}

static Err *check_keys(const AttestRequest *request, Span challenge) {
        if (request->request_key.is_certified)
                TRY(err_wrap(check_certified_key(&request->request_key, request->aik, challenge), "request_key.info.tpm_certify"));
        for (size_t i = 0; i < request->n_other_keys; i++)
                if (request->other_keys[i].is_certified)
                        TRY(err_wrap(check_certified_key(&request->other_keys[i], request->aik, challenge), "other_keys[%zu].info.tpm_certify", i));
        return NULL;
}

static Err *hash_aik(const AttestRequest *request, Verdict *verdict) {
        uint8_t *der = NULL;
        int size = i2d_PUBKEY(request->aik, &der);
        if (size <= 0)
                return err_new(ERR_KEY_INVALID, "aik_pub has no DER form");
        Err *error = hash_digest(HASH_SHA256, span_make(der, (size_t) size), &verdict->aik_hash);
        OPENSSL_free(der);
        return error;
}

/* A certificate that is none, or is for another key, is wrong evidence; one that is merely not believed is a claim. */
static Err *check_aik_certificate(const AttestRequest *request, const VerifyRules *rules, Verdict *verdict) {
        if (!request->aik_certificate.data)
                return string_copy("no certificate was sent", &verdict->aik_reason);
        Span der;
        TRY(err_wrap(aik_certificate_cut(bytes_span(&request->aik_certificate), &der), "aik_cert"));
        const uint8_t *at = der.data;
        _cleanup_(x509_freep) X509 *certificate = d2i_X509(NULL, &at, (long) der.size);
        EVP_PKEY *key = certificate ? X509_get0_pubkey(certificate) : NULL;
        if (!key || !jwk_same_key(key, request->aik))
                return err_new(ERR_AIK_CERTIFICATE_INVALID, "aik_cert is for another key than aik_pub");
        _cleanup_(aik_certificate_freep) AikCertificate *checked = NULL;
        _cleanup_(err_freep) Err *error = aik_certificate_check(der, request->aik, (uint64_t) rules->now_sec, rules->aik_roots, NULL, &checked);
        if (err_code(error) == ERR_AIK_CERTIFICATE_INVALID)
                return string_copy(err_describe(error), &verdict->aik_reason);
        verdict->aik_validated = !error && checked->chain_verified;
        return steal_ptr(&error);
}

static Err *replay_ima(Span input, const PcrValues *quoted, bool padded_sha1, ImaReplay *ret) {
        uint16_t algs[PCR_BANKS_MAX];
        for (size_t i = 0; i < quoted->n_banks; i++)
                algs[i] = quoted->banks[i].alg;
        ImaReplay replay = ima_replay_start(algs, quoted->n_banks);
        replay.padded_sha1 = padded_sha1;
        ImaList list;
        TRY(ima_list_open(input, 0, &list));
        for (;;) {
                ImaEntry entry;
                bool more;
                TRY(ima_list_next(&list, &entry, &more));
                if (!more)
                        break;
                TRY(ima_replay_entry(&replay, &entry));
        }
        *ret = replay;
        return NULL;
}

/* The first bank whose PCR 10 the replay does not give, or NULL. */
static const PcrBank *ima_mismatch(const ImaReplay *replay, const PcrValues *quoted) {
        for (size_t i = 0; i < quoted->n_banks; i++) {
                const PcrBank *bank = &quoted->banks[i];
                if ((bank->mask & (UINT32_C(1) << PCR_IMA)) && !digest_equal(&replay->values[i], &bank->values[PCR_IMA]))
                        return bank;
        }
        return NULL;
}

static Err *check_ima(Span input, const PcrValues *quoted, ImaReplay *ret) {
        bool is_quoted = false;
        for (size_t i = 0; i < quoted->n_banks; i++)
                is_quoted = is_quoted || (quoted->banks[i].mask & (UINT32_C(1) << PCR_IMA));
        if (!is_quoted)
                return err_new(ERR_IMA_MISMATCH, "PCR 10 is not quoted, so nothing proves the list");
        ImaReplay replay, padded;
        TRY(replay_ima(input, quoted, /* padded_sha1= */ false, &replay));
        const PcrBank *bank = ima_mismatch(&replay, quoted);
        if (bank) { /* kernels before 5.8 extend the zero-padded SHA-1 digest into every bank */
                TRY(replay_ima(input, quoted, /* padded_sha1= */ true, &padded));
                if (ima_mismatch(&padded, quoted))
                        return err_new(ERR_IMA_MISMATCH, "its %llu entries do not yield the quoted PCR 10 of bank %s",
                                       (unsigned long long) replay.n_entries, hash_name(bank->alg));
                replay = padded;
        }
        *ret = replay;
        return NULL;
}

/* The one log of a type; NULL if there is none. */
static Err *find_log(const AttestRequest *request, EvidenceLogType type, const Bytes **ret) {
        *ret = NULL;
        for (size_t i = 0; i < request->n_logs; i++) {
                if (request->logs[i].type != type)
                        continue;
                if (*ret)
                        return err_new(ERR_NOT_SUPPORTED, "more than one log of type %s is not supported by this instance",
                                       evidence_log_type_to_string(type));
                *ret = &request->logs[i].bytes;
        }
        return NULL;
}

static Err *check_boot_logs(const AttestRequest *boot, Verdict *verdict) {
        const Bytes *firmware, *ima;
        EventLogReplay boot_replay;
        ImaReplay ima_replay;
        TRY(find_log(boot, EVIDENCE_LOG_TCG, &firmware));
        TRY(find_log(boot, EVIDENCE_LOG_IMA, &ima));
        if (firmware)
                TRY(err_wrap(eventlog_replay(bytes_span(firmware), &boot_replay), "the log of type TCG"));
        if (ima)
                TRY(err_wrap(check_ima(bytes_span(ima), &boot->pcrs, &ima_replay), "the log of type IMA"));
        verdict_for_pcrs(&boot->pcrs, firmware ? &boot_replay : NULL, ima ? &ima_replay : NULL, verdict->boot_pcrs);
        if (firmware && verdict->boot_pcrs[PCR_SECURE_BOOT] == PCR_REPLAYED)
                TRY(secure_boot_measured(bytes_span(firmware), pcr_values_strongest(&boot->pcrs)->alg, &verdict->boot_secure_boot));
        return NULL;
}

/* It answers no challenge: what ties it to this boot is the key and the TPM's own count of resets. */
static Err *check_boot_quote(const AttestRequest *request, const VerifyRules *rules, Verdict *verdict) {
        const AttestRequest *boot = request->boot;
        TpmSignature signature;
        TpmAttest attest;
        if (boot->pcrs.n_banks == 0)
                return err_new(ERR_EVIDENCE_MALFORMED, "pcrs has no bank");
        if (!jwk_same_key(boot->aik, request->aik))
                return err_new(ERR_KEY_INVALID, "aik_pub is another key than that of current_attestation");
        TRY(tpm_signature_parse(bytes_span(&boot->signature), &signature));
        if (signature.hash_alg == HASH_SHA1)
                return err_new(ERR_QUOTE_SIGNATURE_INVALID, "the quote is signed over SHA-1, which proves nothing any more");
        TRY(tpm_attest_parse(bytes_span(&boot->quote), &attest));
        TRY(quote_verify(bytes_span(&boot->quote), bytes_span(&boot->signature), request->aik, attest.extra_data, &boot->pcrs, &attest));
        if (attest.reset_count != verdict->reset_count)
                return err_new(ERR_EVIDENCE_MALFORMED, "the quote is of another boot: resetCount %u, the current one has %u", attest.reset_count,
                               verdict->reset_count);
        if (tpm_attest_restarts(attest.restart_count, verdict->restart_count) <= 0)
                return err_new(ERR_EVIDENCE_MALFORMED, "the quote is not from before a hibernation: restartCount %u, the current one has %u",
                               attest.restart_count, verdict->restart_count);
        verdict->boot_restart_count = attest.restart_count;
        return quote_check_covers(&attest.selection, rules->required_pcrs);
}

static Err *check_boot_attestation(const AttestRequest *request, const VerifyRules *rules, Verdict *verdict) {
        if (!request->boot)
                return NULL;
        TRY(check_boot_quote(request, rules, verdict));
        TRY(check_boot_logs(request->boot, verdict));
        verdict->has_boot_attestation = true;
        return NULL;
}

static Err *check_logs(const AttestRequest *request, Verdict *verdict) {
        const Bytes *boot, *ima;
        TRY(find_log(request, EVIDENCE_LOG_TCG, &boot));
        TRY(find_log(request, EVIDENCE_LOG_IMA, &ima));
        EventLogReplay boot_replay;
        ImaReplay ima_replay;
        verdict->has_boot_log = boot != NULL;
        verdict->has_ima_log = ima != NULL;
        if (boot) {
                TRY(err_wrap(eventlog_replay(bytes_span(boot), &boot_replay), "the log of type TCG"));
                verdict->n_boot_events = boot_replay.n_events;
        }
        if (ima) {
                TRY(err_wrap(check_ima(bytes_span(ima), &request->pcrs, &ima_replay), "the log of type IMA"));
                verdict->n_ima_entries = ima_replay.n_entries;
                verdict->n_ima_violations = ima_replay.n_violations;
        }
        verdict->bank = pcr_values_strongest(&request->pcrs)->alg;
        verdict_for_pcrs(&request->pcrs, boot ? &boot_replay : NULL, ima ? &ima_replay : NULL, verdict->pcrs);
        return NULL;
}

static Err *collect_logs(const AttestRequest *request, const PcrVerdict *verdicts, TpmClaimsLogs *ret) {
        *ret = (TpmClaimsLogs) { .pcrs = &request->pcrs, .verdicts = verdicts };
        TRY(find_log(request, EVIDENCE_LOG_TCG, &ret->boot_log));
        return find_log(request, EVIDENCE_LOG_IMA, &ret->ima_list);
}

/* What the service says of evidence that holds. */
static Err *make_claims(const AttestRequest *request, Verdict *verdict) {
        TpmClaimsLogs boot;
        TpmClaimsInput input = { .aik_validated = verdict->aik_validated, .aik_hash = verdict->aik_hash, .has_vbs_report = verdict->vsm_claims != NULL };
        TRY(collect_logs(request, verdict->pcrs, &input.current));
        if (request->boot) {
                TRY(collect_logs(request->boot, verdict->boot_pcrs, &boot));
                input.boot = &boot;
        }
        TRY(tpm_claims_make(&input, &verdict->claims));
        return json_get_boolean(verdict->claims.claims, "secureBootEnabled", &verdict->secure_boot);
}

Err *verify_request(const AttestRequest *request, Span challenge, const VerifyRules *rules, Verdict *ret) {
        _cleanup_verdict_ Verdict verdict = {};
        if (request->pcrs.n_banks == 0)
                return err_new(ERR_EVIDENCE_MALFORMED, "pcrs has no bank");
        TRY(check_quote(request, challenge, rules, &verdict));
        TRY(check_keys(request, challenge));
        TRY(hash_aik(request, &verdict));
        TRY(check_aik_certificate(request, rules, &verdict));
        TRY(check_logs(request, &verdict));
        TRY(err_wrap(check_boot_attestation(request, rules, &verdict), "boot_attestation"));
        if (request->vsm_report.report.size > 0)
                TRY(vsm_report_verify(&request->vsm_report, request->members_text, request->aik, &verdict.vsm_claims));
        TRY(make_claims(request, &verdict));
        *ret = verdict;
        verdict = (Verdict) {};
        return NULL;
}
