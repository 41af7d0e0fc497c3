/* See evidence-bundle.h. Every check stands for one rule; all are made, so that one look shows everything that is wrong. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/evidence-bundle.h"
#include "cli/format.h"
#include "maa/token.h"
#include "tcg/aik-certificate.h"
#include "tcg/aik.h"
#include "tcg/bundle.h"
#include "tcg/ima-match.h"
#include "tcg/verdict.h"

#define TRUST_ANCHORS_SIZE_MAX (1u << 20)
#define FIRMWARE_PCRS UINT32_C(0xff)

typedef enum CheckState { CHECK_OK, CHECK_WARNING, CHECK_FAILURE } CheckState;

typedef struct Replay {
        const Bundle *bundle;
        const BundleCommand *command;
        STACK_OF(X509) *anchors;
        uint64_t now_sec;
        TpmAttest attest;             /* where the quote's check went well; borrows from bundle */
        bool has_attest;
        uint16_t hash_alg;            /* of the quote's signature */
        EventLogReplay boot;
        bool has_boot;
        ImaReplay ima;
        bool has_ima;
        PcrVerdict verdicts[PCR_COUNT];
        char *note;                   /* what the check that runs has to say where it fails not */
        bool is_warning;              /* so it is for the note */
} Replay;

static void replay_done(Replay *replay) {
        token_trust_anchors_free(replay->anchors);
        free(replay->note);
}

static Err *say(Replay *replay, bool is_warning, const char *text) {
        replay->is_warning = is_warning;
        return string_copy(text, &replay->note);
}

static Err *check_key(Replay *replay) {
        const Bundle *bundle = replay->bundle;
        _cleanup_bytes_ Bytes name = {};
        _cleanup_free_ char *fingerprint = NULL;
        TRY(aik_public_check(bytes_span(&bundle->aik_public)));
        TRY(tpm_public_name(bytes_span(&bundle->aik_public), &name));
        if (!span_equal(bytes_span(&name), bytes_span(&bundle->aik_name)))
                return err_new(ERR_TPM_AIK_INVALID, "aik_name is not the name of aik_public");
        TRY(aik_fingerprint(bytes_span(&bundle->aik_public), &fingerprint));
        return string_format(&replay->note, "an attestation key, SHA-256 of its public key %s", fingerprint);
}

static Err *check_quote(Replay *replay) {
        const Bundle *bundle = replay->bundle;
        TpmSignature signature;
        _cleanup_free_ char *selection = NULL;
        TRY(tpm_signature_parse(bytes_span(&bundle->signature), &signature));
        TRY(aik_verify_quote(bytes_span(&bundle->aik_public), bytes_span(&bundle->quote), bytes_span(&bundle->signature),
                             bytes_span(&bundle->qualifying_data), &bundle->pcrs, &replay->attest));
        replay->hash_alg = signature.hash_alg;
        replay->has_attest = true;
        TRY(pcr_selection_to_string(&replay->attest.selection, &selection));
        return string_format(&replay->note, "signed by that key, covers PCRs %s and the qualifying data", selection);
}

static Err *check_nonce(Replay *replay) {
        Span nonce = bytes_span(&replay->command->nonce);
        if (nonce.size == 0)
                return say(replay, /* is_warning= */ true, "--nonce was not given: whether the quote is fresh is not judged");
        if (!span_equal(nonce, bytes_span(&replay->bundle->qualifying_data)))
                return err_new(ERR_QUOTE_NONCE_MISMATCH, "the bundle was collected for another nonce");
        return say(replay, false, "the bundle was collected for that nonce");
}

static Err *check_certificate(Replay *replay) {
        const Bundle *bundle = replay->bundle;
        Span certificate = bytes_span(&bundle->aik_certificate);
        TpmPublic public;
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        _cleanup_(aik_certificate_freep) AikCertificate *checked = NULL;
        if (certificate.size == 0)
                return say(replay, /* is_warning= */ true, "there is none: nobody vouches for the key");
        TRY(tpm_public_parse(bytes_span(&bundle->aik_public), &public));
        TRY(tpm_public_to_pkey(&public, &key));
        TRY(aik_certificate_check(certificate, key, replay->now_sec, replay->anchors, /* intermediates= */ NULL, &checked));
        if (!checked->chain_verified) {
                replay->is_warning = true;
                return string_format(&replay->note, "for that key and in date; --trust-anchors was not given: its issuer (%s) is not judged", checked->issuer);
        }
        return string_format(&replay->note, "for that key, in date, issued by %s, which is trusted", checked->issuer);
}

static Err *check_boot_log(Replay *replay) {
        const Bytes *log = bundle_log(replay->bundle, EVIDENCE_LOG_TCG);
        uint32_t mask = 0;
        if (!log)
                return say(replay, /* is_warning= */ true, "there is none");
        TRY(eventlog_replay(bytes_span(log), &replay->boot));
        replay->has_boot = true;
        verdict_for_pcrs(&replay->bundle->pcrs, &replay->boot, NULL, replay->verdicts);
        for (unsigned i = 0; i < PCR_COUNT; i++)
                if (replay->verdicts[i] == PCR_UNEXPLAINED && (FIRMWARE_PCRS >> i & 1))
                        mask |= UINT32_C(1) << i;
        if (mask == 0)
                return string_format(&replay->note, "%llu events that yield the firmware's PCRs", (unsigned long long) replay->boot.n_events);
        _cleanup_free_ char *text = NULL;
        TRY(pcr_mask_to_string(mask, &text));
        return err_new(ERR_EVENTLOG_MISMATCH, "the log does not yield PCRs %s", text);
}

static Err *check_ima_list(Replay *replay) {
        const Bytes *log = bundle_log(replay->bundle, EVIDENCE_LOG_IMA);
        ImaMatch match;
        if (!log)
                return say(replay, /* is_warning= */ true, "there is none");
        if (!replay->has_attest)
                return err_new(ERR_IMA_MISMATCH, "without a valid quote nothing proves the list");
        TRY(ima_match_prefix(bytes_span(log), NULL, &replay->bundle->pcrs, &replay->attest, replay->hash_alg, &match));
        if (match.replay.size != log->size)
                return err_new(ERR_IMA_MISMATCH, "PCR 10 was quoted after entry %llu; the list goes on", (unsigned long long) match.replay.n_entries);
        replay->ima = match.replay;
        replay->has_ima = true;
        return string_format(&replay->note, "%llu entries that yield PCR 10, %llu of them violations", (unsigned long long) match.replay.n_entries,
                             (unsigned long long) match.replay.n_violations);
}

/* It answers no challenge; the key and the TPM's count of resets tie it to the current quote. */
static Err *check_boot_attestation(Replay *replay) {
        const Bundle *boot = replay->bundle->boot;
        TpmAttest attest;
        TpmSignature signature;
        ImaMatch match;
        if (!boot)
                return say(replay, false, "there is none: the machine did not come back from hibernation");
        if (!replay->has_attest)
                return err_new(ERR_EVIDENCE_MALFORMED, "without a valid quote nothing says that it is about the same boot");
        if (!span_equal(bytes_span(&boot->aik_public), bytes_span(&replay->bundle->aik_public)))
                return err_new(ERR_TPM_AIK_INVALID, "it is of another key");
        TRY(tpm_signature_parse(bytes_span(&boot->signature), &signature));
        TRY(tpm_attest_parse(bytes_span(&boot->quote), &attest));
        TRY(aik_verify_quote(bytes_span(&boot->aik_public), bytes_span(&boot->quote), bytes_span(&boot->signature), attest.extra_data, &boot->pcrs, &attest));
        int64_t n_restarts = tpm_attest_restarts(attest.restart_count, replay->attest.restart_count);
        if (attest.reset_count != replay->attest.reset_count || n_restarts <= 0)
                return err_new(ERR_EVIDENCE_MALFORMED, "it is not from before a hibernation of this boot: resetCount %u, restartCount %u, the quote has %u, %u",
                               attest.reset_count, attest.restart_count, replay->attest.reset_count, replay->attest.restart_count);
        const Bytes *ima = bundle_log(boot, EVIDENCE_LOG_IMA);
        if (ima)
                TRY(ima_match_prefix(bytes_span(ima), NULL, &boot->pcrs, &attest, signature.hash_alg, &match));
        return string_format(&replay->note, "signed by that key in the same boot, %lld restarts of the TPM before the quote", (long long) n_restarts);
}

static const struct Check {
        const char *name;
        Err *(*run)(Replay *replay);
} checks[] = {
        { "attestation-key", check_key }, { "quote", check_quote },       { "nonce", check_nonce },
        { "certificate", check_certificate }, { "boot-log", check_boot_log }, { "ima-list", check_ima_list },
        { "boot-attestation", check_boot_attestation },
};

static void show(const struct Check *check, CheckState state, const char *text) {
        static const char *const words[] = { [CHECK_OK] = "ok", [CHECK_WARNING] = "warning", [CHECK_FAILURE] = "failure" };
        static const char *const like[] = { [CHECK_OK] = "attested", [CHECK_WARNING] = "degraded", [CHECK_FAILURE] = "failed" };
        bool colour = cli_use_colour();
        printf("%s%-8s%s %-16s %s\n", format_state_colour(like[state], colour), words[state], format_colour_end(colour), check->name, text);
}

static Err *report(const struct Check *check, const Replay *replay, const Err *err, Json *list) {
        static const char *const words[] = { [CHECK_OK] = "ok", [CHECK_WARNING] = "warning", [CHECK_FAILURE] = "failure" };
        CheckState state = err ? CHECK_FAILURE : replay->is_warning ? CHECK_WARNING : CHECK_OK;
        const char *text = err ? err_describe(err) : replay->note ? replay->note : "";
        Json *item;
        if (!cli_is_json())
                show(check, state, text);
        TRY(json_new_object(&item));
        TRY(json_append(list, item));
        TRY(json_add_string(item, "check", check->name));
        TRY(json_add_string(item, "state", words[state]));
        if (err)
                TRY(json_add_string(item, "code", err_code_info(err_code(err))->dbus_name));
        return json_add_string(item, "message", text);
}

/* The first failure stays in *ret_verdict. */
static Err *run_checks(Replay *replay, Json *list, Err **ret_verdict) {
        for (size_t i = 0; i < N_ELEMENTS(checks); i++) {
                freep(&replay->note);
                replay->is_warning = false;
                _cleanup_(err_freep) Err *err = checks[i].run(replay);
                if (err_code(err) == ERR_NO_MEMORY)
                        return steal_ptr(&err);
                TRY(report(&checks[i], replay, err, list));
                if (err && !*ret_verdict)
                        *ret_verdict = err_wrap(steal_ptr(&err), "%s", checks[i].name);
        }
        return NULL;
}

static Err *add_verdicts(const Replay *replay, Json *json) {
        Json *verdicts;
        TRY(json_new_object(&verdicts));
        TRY(json_add(json, "verdicts", verdicts));
        for (unsigned i = 0; i < PCR_COUNT; i++) {
                char number[sizeof("23")];
                snprintf(number, sizeof(number), "%u", i);
                if (replay->verdicts[i] != PCR_NOT_QUOTED)
                        TRY(json_add_string(verdicts, number, pcr_verdict_to_string(replay->verdicts[i])));
        }
        return NULL;
}

static Err *finish(Replay *replay, Json *json, bool is_valid) {
        verdict_for_pcrs(&replay->bundle->pcrs, replay->has_boot ? &replay->boot : NULL, replay->has_ima ? &replay->ima : NULL, replay->verdicts);
        TRY(json_add_boolean(json, "valid", is_valid));
        TRY(json_add_integer(json, "created", (int64_t) replay->bundle->created_sec));
        TRY(add_verdicts(replay, json));
        if (cli_is_json())
                return cli_print_json(json);
        _cleanup_free_ char *text = NULL;
        TRY(format_verdicts(json_get(json, "verdicts"), &text));
        printf("%-8s %-16s %s\n", "", "pcrs", text);
        return NULL;
}

Err *evidence_read_anchors(const char *path, STACK_OF(X509) **ret) {
        _cleanup_bytes_ Bytes pem = {};
        if (!path)
                return NULL;
        TRY(file_read(path, TRUST_ANCHORS_SIZE_MAX, &pem));
        return token_trust_anchors_parse(bytes_span(&pem), path, ret);
}

Err *evidence_read_bundle(const char *path, Bundle **ret) {
        _cleanup_bytes_ Bytes text = {};
        TRY(string_equal(path, "-") ? fd_read_all(STDIN_FILENO, "standard input", BUNDLE_SIZE_MAX, &text) : file_read(path, BUNDLE_SIZE_MAX, &text));
        return err_wrap(bundle_parse(bytes_span(&text), ret), "%s", path);
}

Err *evidence_replay(const BundleCommand *command, const char *path, Err **ret_verdict) {
        _cleanup_(bundle_freep) Bundle *bundle = NULL;
        _cleanup_json_ Json *json = NULL;
        _cleanup_(replay_done) Replay replay = { .command = command, .now_sec = (uint64_t) time(NULL) };
        _cleanup_(err_freep) Err *verdict = NULL;
        Json *list;
        TRY(evidence_read_anchors(command->trust_anchors, &replay.anchors));
        TRY(evidence_read_bundle(path, &bundle));
        replay.bundle = bundle;
        TRY(json_new_object(&json));
        TRY(json_new_array(&list));
        TRY(json_add(json, "checks", list));
        TRY(run_checks(&replay, list, &verdict));
        TRY(finish(&replay, json, verdict == NULL));
        *ret_verdict = steal_ptr(&verdict);
        return NULL;
}
