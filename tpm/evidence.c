/* See evidence.h. */
#include "tpm/evidence.h"

#include "tcg/aik.h"
#include "tcg/eventlog-mismatch.h"
#include "tcg/ima-match.h"
#include "tcg/userspace-log.h"
#include "tcg/verdict.h"
#include "tpm/guest-key.h"
#include "tpm/pcr.h"
#include "tpm/quote.h"

#define FIRMWARE_PCRS UINT32_C(0xff) /* 0-7, TCG PFP 1.06 §2.3.4: extended by firmware alone, so its log must explain them */

/* One round's state. */
typedef struct Round {
        EvidenceMaker *maker;
        Span qualifying, certify;
        bool is_guest;             /* guest attestation: no IMA list, a key of its own, and no other */
        Aik aik;
        PcrSelection selection;
        Bytes attest_bytes, signature_bytes;
        TpmAttest attest;          /* borrows from attest_bytes */
        uint16_t hash_alg;         /* of the signature, and of pcrDigest */
        PcrValues before;          /* as read before the quote */
        PcrValues values;          /* those that were quoted */
        uint32_t moved;            /* PCRs that moved around the last quote */
        unsigned n_retries;
        LogCopy ima, boot;
        bool has_prefix;           /* of the IMA list; then ima_replay is at its end */
        ImaReplay ima_replay;
        bool has_boot_replay;
        EventLogReplay boot_replay;
} Round;

static void round_done(Round *round) {
        aik_done(&round->aik);
        bytes_done(&round->attest_bytes);
        bytes_done(&round->signature_bytes);
        log_copy_done(&round->ima);
        log_copy_done(&round->boot);
}

Err *evidence_maker_new(const Config *config, const char *state_directory, EvidenceMaker **ret) {
        _cleanup_(evidence_maker_freep) EvidenceMaker *maker = calloc(1, sizeof(EvidenceMaker));
        if (!maker)
                return err_oom();
        maker->config = config;
        maker->boot_log = maker->ima_log = maker->systemd_log = (LogFile) LOG_FILE_NONE;
        TRY(tpm_context_new(config->tcti, &maker->context));
        TRY(own_key_init(state_directory, config->aik_algorithm, &maker->own));
        TRY(request_key_init(state_directory, &maker->request_key));
        TRY(boot_attestation_init(state_directory, &maker->boot_attestation));
        TRY(log_file_init(EVIDENCE_LOG_TCG, config->boot_log, config->boot_log_policy == LOG_POLICY_OFF, &maker->boot_log));
        TRY(log_file_init(EVIDENCE_LOG_IMA, config->ima_log, config->ima_log_policy == LOG_POLICY_OFF, &maker->ima_log));
        TRY(log_file_init(EVIDENCE_LOG_TCG, config->systemd_log, /* is_off= */ false, &maker->systemd_log));
        *ret = steal_ptr(&maker);
        return NULL;
}

EvidenceMaker *evidence_maker_free(EvidenceMaker *maker) {
        if (!maker)
                return NULL;
        tpm_context_free(maker->context);
        own_key_done(&maker->own);
        request_key_done(&maker->request_key);
        boot_attestation_done(&maker->boot_attestation);
        log_file_done(&maker->boot_log);
        log_file_done(&maker->ima_log);
        log_file_done(&maker->systemd_log);
        free(maker);
        return NULL;
}

Err *evidence_maker_run(EvidenceMaker *maker, EvidenceWork work, void *userdata) {
        for (;;) {
                bool was_open = maker->context->esys != NULL;
                Err *err = tpm_context_acquire(maker->context);
                if (!err)
                        err = work(maker, userdata);
                bool lost = maker->context->is_broken;
                tpm_context_release(maker->context);
                if (!err || !lost || !was_open)
                        return err;
                err_free(err);
        }
}

/* Banks of the firmware log; none where it does not parse so far. */
static Err *boot_log_banks(EvidenceMaker *maker, uint16_t algs[HASH_ALGS_MAX], size_t *ret_n) {
        _cleanup_log_copy_ LogCopy copy = LOG_COPY_NONE;
        _cleanup_(eventlog_freep) EventLog *log = NULL;
        *ret_n = 0;
        TRY(log_copy_take(&maker->boot_log, &copy));
        if (copy.state != LOG_STATE_OK)
                return NULL;
        Err *err = eventlog_open(copy.content, &log);
        if (!err)
                *ret_n = eventlog_banks(log, algs);
        if (err_code(err) == ERR_NO_MEMORY)
                return err;
        err_free(err);
        return NULL;
}

Err *evidence_maker_select(EvidenceMaker *maker, PcrSelection *ret) {
        const Config *config = maker->config;
        PcrSelection allocated;
        uint16_t algs[HASH_ALGS_MAX];
        size_t n_algs;
        TRY(tpm_pcr_get_banks(maker->context, &allocated));
        TRY(boot_log_banks(maker, algs, &n_algs));
        return tpm_pcr_choose_banks(&allocated, config->pcr_bank, config->pcr_mask, algs, n_algs, ret);
}

/* PCRs whose values differ. */
static uint32_t differing(const PcrValues *a, const PcrValues *b) {
        uint32_t mask = 0;
        for (size_t i = 0; i < a->n_banks && i < b->n_banks; i++)
                for (unsigned pcr = 0; pcr < PCR_COUNT; pcr++)
                        if (!digest_equal(&a->banks[i].values[pcr], &b->banks[i].values[pcr]))
                                mask |= UINT32_C(1) << pcr;
        return mask;
}

static Err *check_quoted_selection(const PcrSelection *wanted, const PcrSelection *quoted) {
        if (pcr_selection_equal(quoted, wanted))
                return NULL;
        _cleanup_free_ char *wanted_text = NULL, *quoted_text = NULL;
        TRY(pcr_selection_to_string(wanted, &wanted_text));
        TRY(pcr_selection_to_string(quoted, &quoted_text));
        return err_new(ERR_TPM_PCR_SELECTION, "the TPM was asked to quote PCRs %s, and quoted %s", wanted_text, *quoted_text ? quoted_text : "none");
}

static Err *read_and_quote(Round *round, bool *ret_agrees) {
        TpmContext *context = round->maker->context;
        TpmSignature signature;
        Digest digest;
        bytes_done(&round->attest_bytes);
        bytes_done(&round->signature_bytes);
        TRY(tpm_pcr_read(context, &round->selection, &round->before));
        TRY(quote_pcrs(context, round->aik.object.handle, round->qualifying, &round->selection, &round->attest_bytes, &round->signature_bytes));
        TRY(tpm_attest_parse(bytes_span(&round->attest_bytes), &round->attest));
        TRY(tpm_signature_parse(bytes_span(&round->signature_bytes), &signature));
        TRY(check_quoted_selection(&round->selection, &round->attest.selection));
        round->hash_alg = signature.hash_alg;
        TRY(pcr_values_digest(&round->before, &round->selection, round->hash_alg, &digest));
        *ret_agrees = span_equal(digest_span(&digest), round->attest.pcr_digest);
        return NULL;
}

/* The state of a log is that of the error which reading it gave; other errors are ours. */
static bool state_of(ErrCode code, LogState *ret) {
        static const struct {
                ErrCode code;
                LogState state;
        } states[] = {
                { ERR_LOG_EMPTY, LOG_STATE_EMPTY },           { ERR_LOG_TRUNCATED, LOG_STATE_TRUNCATED },
                { ERR_IMA_TRIMMED, LOG_STATE_TRIMMED },       { ERR_IMA_MISMATCH, LOG_STATE_MISMATCH },
                { ERR_IMA_MALFORMED, LOG_STATE_MALFORMED },   { ERR_EVENTLOG_MALFORMED, LOG_STATE_MALFORMED },
        };
        for (size_t i = 0; i < N_ELEMENTS(states); i++)
                if (states[i].code == code) {
                        *ret = states[i].state;
                        return true;
                }
        return false;
}

static Err *judge_log(LogCopy *copy, Err *err) {
        LogState state;
        return state_of(err_code(err), &state) ? log_copy_judge(copy, state, err) : err;
}

static Err *match_ima(const Round *round, const ImaReplay *start, ImaMatch *ret) {
        return ima_match_prefix(round->ima.content, start, &round->before, &round->attest, round->hash_alg, ret);
}

/* Where earlier rounds of this boot have met PCR 10 at an entry of the list, what nobody knows came behind it. */
static Err *judge_ima(Round *round, Err *err) {
        const EvidenceMaker *maker = round->maker;
        if (err_code(err) == ERR_IMA_MISMATCH && maker->ima_replay.n_entries > 0 && maker->ima_reset_count == round->attest.reset_count)
                err = err_wrap(err, "an earlier quote was explained by the list's first %llu entries, so what is unexplained came after those",
                               (unsigned long long) maker->ima_replay.n_entries);
        return judge_log(&round->ima, err);
}

/* Reads the IMA list on and looks for the quoted prefix, from where the last round ended; where that does not lead anywhere, the list is read anew and
 * searched from its head: it may be another one than it was. */
static Err *find_ima_prefix(Round *round) {
        EvidenceMaker *maker = round->maker;
        ImaMatch match;
        log_copy_done(&round->ima);
        TRY(log_copy_take(&maker->ima_log, &round->ima));
        if (maker->ima_log.was_reopened)
                maker->ima_replay = (ImaReplay) {};
        maker->ima_log.was_reopened = false;
        if (round->ima.state != LOG_STATE_OK)
                return NULL;
        Err *err = match_ima(round, &maker->ima_replay, &match);
        if (err && (maker->ima_replay.n_entries > 0 || round->ima.is_continued)) {
                err_free(err);
                log_file_forget(&maker->ima_log);
                log_copy_done(&round->ima);
                TRY(log_copy_take(&maker->ima_log, &round->ima));
                if (round->ima.state != LOG_STATE_OK)
                        return NULL;
                err = match_ima(round, NULL, &match);
        }
        if (err)
                return judge_ima(round, err);
        maker->ima_reset_count = round->attest.reset_count;
        round->has_prefix = true;
        round->values = match.values;
        round->ima_replay = maker->ima_replay = match.replay;
        return NULL;
}

/* One quote; *ret_settled if its values are known. */
static Err *try_quote(Round *round, bool *ret_settled) {
        bool agrees, quotes_ima = round->selection.banks[0].mask >> PCR_IMA & 1;   /* the same PCRs of each bank */
        *ret_settled = false;
        TRY(read_and_quote(round, &agrees));
        if (!agrees) {
                PcrValues after;
                TRY(tpm_pcr_read(round->maker->context, &round->selection, &after));
                round->moved = differing(&round->before, &after);
                if ((round->moved & ~(UINT32_C(1) << PCR_IMA)) || !quotes_ima)
                        return NULL;
        }
        round->values = round->before;
        if (!round->is_guest)
                TRY(find_ima_prefix(round));
        *ret_settled = agrees || round->has_prefix;
        return NULL;
}

static Err *unstable(const Round *round) {
        if (round->moved == 0)
                return err_new(ERR_QUOTE_PCR_MISMATCH, "%d quotes in a row have another pcrDigest than the PCR values before and after them, which are the same",
                               EVIDENCE_QUOTES_MAX);
        _cleanup_free_ char *moved = NULL;
        TRY(pcr_mask_to_string(round->moved, &moved));
        const char *ima = round->ima.reason ? round->ima.reason : "";
        return err_new(ERR_TPM_PCR_UNSTABLE, "PCRs %s moved around each of %d quotes%s%s", moved, EVIDENCE_QUOTES_MAX, *ima ? "; " : "", ima);
}

static Err *settle_quote(Round *round) {
        bool settled;
        for (unsigned n = 0; n < EVIDENCE_QUOTES_MAX; n++) {
                round->n_retries = n;
                TRY(try_quote(round, &settled));
                if (settled)
                        return NULL;
        }
        return unstable(round);
}

static Err *replay_boot_log(Round *round) {
        TRY(log_copy_take(&round->maker->boot_log, &round->boot));
        if (round->boot.state != LOG_STATE_OK)
                return NULL;
        Err *err = eventlog_replay(round->boot.content, &round->boot_replay);
        round->has_boot_replay = !err;
        return err ? judge_log(&round->boot, err) : NULL;
}

/* What systemd measured after the firmware's log had ended. A log that is not there, or not whole (its writer appends while we read), explains nothing. */
static Err *replay_systemd_log(Round *round, EventLogReplay *replay) {
        _cleanup_log_copy_ LogCopy copy = LOG_COPY_NONE;
        TRY(log_copy_take(&round->maker->systemd_log, &copy));
        if (copy.state != LOG_STATE_OK)
                return NULL;
        Err *err = userspace_log_replay(copy.content, &round->values, replay);
        if (err_code(err) == ERR_NO_MEMORY)
                return err;
        err_free(err);
        return NULL;
}

/* The log says something about PCRs of the firmware, and not what they hold. */
static Err *judge_firmware_pcrs(Round *round, const PcrVerdict verdicts[PCR_COUNT]) {
        uint32_t mask = 0;
        for (unsigned i = 0; i < PCR_COUNT; i++)
                if (verdicts[i] == PCR_UNEXPLAINED && (FIRMWARE_PCRS >> i & 1))
                        mask |= UINT32_C(1) << i;
        if (!round->has_boot_replay || mask == 0)
                return NULL;
        _cleanup_free_ char *text = NULL, *why = NULL;
        const PcrBank *bank = pcr_values_strongest(&round->values);
        TRY(pcr_mask_to_string(mask, &text));
        TRY(eventlog_mismatch_describe(round->boot.content, bank, mask, &why));
        return log_copy_judge(&round->boot, LOG_STATE_MISMATCH,
                              err_new(ERR_EVENTLOG_MISMATCH, "the firmware log does not yield PCRs %s of the %s bank: %s", text, hash_name(bank->alg), why));
}

/* Missing or broken is an error only where the log is required. What the firmware's PCRs hold is a verdict for the service to weigh. */
static Err *apply_policies(const Round *round) {
        const EvidenceMaker *maker = round->maker;
        if (maker->config->boot_log_policy == LOG_POLICY_REQUIRED && round->boot.state != LOG_STATE_MISMATCH)
                TRY(log_state_to_error(round->boot.state, &maker->boot_log, round->boot.reason));
        if (maker->config->ima_log_policy == LOG_POLICY_REQUIRED && !round->is_guest)
                TRY(log_state_to_error(round->ima.state, &maker->ima_log, round->ima.reason));
        return NULL;
}

static void add_log(Evidence *evidence, EvidenceLogType type, LogCopy *copy, uint64_t size) {
        evidence->logs[evidence->n_logs++] = (EvidenceLog) { .type = type, .fd = steal_fd(&copy->fd), .size = size };
}

/* The firmware log goes along whatever we think of it. An IMA list without a prefix that the quote is about is no evidence for it. */
static void move_logs(Round *round, Evidence *evidence) {
        evidence->boot_log_state = round->boot.state;
        evidence->boot_log_reason = steal_ptr(&round->boot.reason);
        evidence->ima_log_state = round->ima.state;
        evidence->ima_log_reason = steal_ptr(&round->ima.reason);
        if (round->boot.content.size > 0)
                add_log(evidence, EVIDENCE_LOG_TCG, &round->boot, round->boot.content.size);
        if (!round->has_prefix || round->ima_replay.size == 0)
                return;
        evidence->n_ima_entries = round->ima_replay.n_entries;
        add_log(evidence, EVIDENCE_LOG_IMA, &round->ima, round->ima_replay.size);
}

/* Keys of the TPM that go along, certified. */
static Err *certify_request_key(Round *round, EvidenceKey *ret) {
        TpmContext *context = round->maker->context;
        _cleanup_tpm_object_ TpmObject object = TPM_OBJECT_NONE;
        _cleanup_bytes_ Bytes public = {};
        TRY(request_key_load(&round->maker->request_key, context, &object, &public));
        return key_certify(context, round->aik.object.handle, bytes_span(&round->aik.public), object.handle, bytes_span(&public), round->certify, ret);
}

static Err *certify_guest_key(Round *round, EvidenceKey *ret) {
        EvidenceMaker *maker = round->maker;
        TRY(guest_key_certify(maker->context, round->aik.object.handle, bytes_span(&round->aik.public), &round->values, ret));
        maker->guest_values = round->values;
        return NULL;
}

static Err *add_keys(Round *round, Evidence *evidence) {
        const Config *config = round->maker->config;
        if (round->is_guest)
                return err_wrap(certify_guest_key(round, &evidence->request_key), "certifying the guest key");
        if (round->certify.size == 0)
                return NULL;
        if (config->request_key == REQUEST_KEY_TPM)
                TRY(err_wrap(certify_request_key(round, &evidence->request_key), "certifying the request key"));
        return other_keys_collect(round->maker->context, config->other_keys, round->aik.object.handle, bytes_span(&round->aik.public), round->certify,
                                  evidence);
}

static Err *make_evidence(Round *round, Evidence **ret) {
        _cleanup_(evidence_freep) Evidence *evidence = calloc(1, sizeof(Evidence));
        if (!evidence)
                return err_oom();
        EventLogReplay replay = round->has_boot_replay ? round->boot_replay : (EventLogReplay) { .startup_locality = -1 };
        TRY(replay_systemd_log(round, &replay));
        verdict_for_pcrs(&round->values, &replay, round->has_prefix ? &round->ima_replay : NULL, evidence->verdicts);
        TRY(judge_firmware_pcrs(round, evidence->verdicts));
        TRY(apply_policies(round));
        TRY(err_wrap(aik_verify_quote(bytes_span(&round->aik.public), bytes_span(&round->attest_bytes), bytes_span(&round->signature_bytes),
                                      round->qualifying, &round->values, NULL),
                     "checking the quote that the TPM has made"));
        TRY(add_keys(round, evidence));
        evidence->pcrs = round->values;
        evidence->reset_count = round->attest.reset_count;
        evidence->restart_count = round->attest.restart_count;
        evidence->n_quote_retries = round->n_retries;
        evidence->quote = bytes_steal(&round->attest_bytes);
        evidence->signature = bytes_steal(&round->signature_bytes);
        evidence->aik_public = bytes_steal(&round->aik.public);
        evidence->aik_name = bytes_steal(&round->aik.name);
        evidence->aik_certificate = bytes_steal(&round->aik.certificate);
        move_logs(round, evidence);
        *ret = steal_ptr(&evidence);
        return NULL;
}

typedef struct QuoteRequest {
        Span qualifying, certify;
        Evidence *evidence;
} QuoteRequest;

static Err *quote_round(EvidenceMaker *maker, void *userdata) {
        QuoteRequest *request = userdata;
        const AikOptions options = { .handle = maker->config->aik_handle, .certificate = maker->config->aik_certificate };
        _cleanup_(round_done) Round round = {
                .maker = maker, .qualifying = request->qualifying, .certify = request->certify, .aik = AIK_NONE, .ima = LOG_COPY_NONE, .boot = LOG_COPY_NONE,
        };
        TRY(evidence_maker_select(maker, &round.selection));
        TRY(aik_load(maker->context, &options, &maker->own, &round.aik));
        TRY(settle_quote(&round));
        TRY(replay_boot_log(&round));
        return make_evidence(&round, &request->evidence);
}

Err *evidence_maker_quote(EvidenceMaker *maker, Span qualifying, Span certify, Evidence **ret) {
        QuoteRequest request = { .qualifying = qualifying, .certify = certify };
        TRY(evidence_maker_run(maker, quote_round, &request));
        _cleanup_(evidence_freep) Evidence *evidence = request.evidence;
        TRY(err_wrap(boot_attestation_attach(&maker->boot_attestation, &maker->boot_log, &maker->ima_log, evidence), "the attestation from before hibernation"));
        *ret = steal_ptr(&evidence);
        return NULL;
}

Err *evidence_maker_keep(EvidenceMaker *maker, BootAttestationState *ret_state) {
        _cleanup_(evidence_freep) Evidence *evidence = NULL;
        TRY(evidence_maker_quote(maker, /* qualifying= */ (Span) {}, /* certify= */ (Span) {}, &evidence));
        TRY(err_wrap(boot_attestation_keep(&maker->boot_attestation, evidence), "keeping the attestation of the boot"));
        *ret_state = evidence->boot_attestation_state;
        return NULL;
}

static Err *select_guest_pcrs(EvidenceMaker *maker, PcrSelection *ret) {
        PcrSelection allocated;
        TRY(tpm_pcr_get_banks(maker->context, &allocated));
        return tpm_pcr_choose_banks(&allocated, GUEST_KEY_BANK, GUEST_KEY_PCRS, NULL, 0, ret);
}

static Err *guest_round(EvidenceMaker *maker, void *userdata) {
        Evidence **ret = userdata;
        const AikOptions options = { .handle = maker->config->aik_handle, .certificate = maker->config->aik_certificate };
        _cleanup_(round_done) Round round = { .maker = maker, .is_guest = true, .aik = AIK_NONE, .ima = LOG_COPY_NONE, .boot = LOG_COPY_NONE };
        TRY(err_wrap(select_guest_pcrs(maker, &round.selection), "guest attestation is over PCRs 0-7 of " GUEST_KEY_BANK));
        TRY(aik_load(maker->context, &options, &maker->own, &round.aik));
        TRY(settle_quote(&round));
        TRY(replay_boot_log(&round));
        return make_evidence(&round, ret);
}

Err *evidence_maker_collect_guest(EvidenceMaker *maker, Evidence **ret) {
        return evidence_maker_run(maker, guest_round, ret);
}

typedef struct DecryptRequest {
        Span ciphertext;
        Bytes *ret_plaintext;
} DecryptRequest;

/* With other PCRs than at the certification the TPM makes another key, and what that one says of the ciphertext is not why. */
static Err *check_guest_values(const EvidenceMaker *maker, const PcrValues *now) {
        uint32_t moved = maker->guest_values.n_banks > 0 ? differing(&maker->guest_values, now) : 0;
        if (moved == 0)
                return NULL;
        _cleanup_free_ char *text = NULL;
        TRY(pcr_mask_to_string(moved, &text));
        return err_new(ERR_TPM_PCR_UNSTABLE, "PCRs %s have moved since the guest key was certified, so it cannot be used any more", text);
}

static Err *guest_decrypt(EvidenceMaker *maker, void *userdata) {
        const DecryptRequest *request = userdata;
        PcrSelection selection;
        PcrValues values;
        TRY(select_guest_pcrs(maker, &selection));
        TRY(tpm_pcr_read(maker->context, &selection, &values));
        TRY(check_guest_values(maker, &values));
        return guest_key_decrypt(maker->context, &values, request->ciphertext, request->ret_plaintext);
}

Err *evidence_maker_guest_decrypt(EvidenceMaker *maker, Span ciphertext, Bytes *ret_plaintext) {
        DecryptRequest request = { ciphertext, ret_plaintext };
        return err_wrap(evidence_maker_run(maker, guest_decrypt, &request), "decrypting with the guest key");
}

typedef struct SignRequest {
        Span digest;
        Bytes *ret_signature;
} SignRequest;

static Err *sign(EvidenceMaker *maker, void *userdata) {
        const SignRequest *request = userdata;
        _cleanup_tpm_object_ TpmObject object = TPM_OBJECT_NONE;
        _cleanup_bytes_ Bytes public = {};
        TRY(request_key_load(&maker->request_key, maker->context, &object, &public));
        return request_key_sign(&maker->request_key, maker->context, object.handle, bytes_span(&public), request->digest, request->ret_signature);
}

Err *evidence_maker_sign(EvidenceMaker *maker, Span digest, Bytes *ret_signature) {
        SignRequest request = { digest, ret_signature };
        if (maker->config->request_key != REQUEST_KEY_TPM)
                return err_new(ERR_NOT_SUPPORTED, "there is no request key in the TPM; RequestKey=tpm makes one");
        return err_wrap(evidence_maker_run(maker, sign, &request), "signing with the request key");
}
