/* See guest-key.h. TPM 2.0 Part 3 §24.1 (TPM2_CreatePrimary), §23.7 (TPM2_PolicyPCR), §14.3 (TPM2_RSA_Decrypt). */
#include "tpm/guest-key.h"

#include "base/writer.h"
#include "tcg/aik.h"
#include "tcg/verdict.h"
#include "tpm/pcr.h"
#include "tpm/quote.h"

#define KEY_BITS 2048
#define UNIQUE_SIZE 256
#define GUEST_DECRYPTIONS_MAX 5

static const PcrSelection selection = { .n_banks = 1, .banks = { { .alg = HASH_SHA256, .mask = GUEST_PCRS } } };

/* ---- policy ---- */

/* policyDigest = H(zeros || TPM_CC_PolicyPCR || TPML_PCR_SELECTION || H(values)) (Part 3 §23.7). */
static Err *policy_digest(const PcrValues *values, Digest *ret) {
        _cleanup_writer_ Writer writer = {};
        _cleanup_bytes_ Bytes text = {};
        Digest pcrs, zero = digest_zero(HASH_SHA256);
        TRY(pcr_values_digest(values, &selection, HASH_SHA256, &pcrs));
        writer_span(&writer, digest_span(&zero));
        writer_u32be(&writer, TPM2_CC_PolicyPCR);
        writer_u32be(&writer, 1);
        writer_u16be(&writer, HASH_SHA256);
        writer_u8(&writer, 3);
        for (unsigned i = 0; i < 3; i++)
                writer_u8(&writer, (uint8_t) (GUEST_PCRS >> 8 * i));
        writer_span(&writer, digest_span(&pcrs));
        TRY(writer_finish(&writer, &text));
        return hash_digest(HASH_SHA256, bytes_span(&text), ret);
}

/* Flushed on every path: it stays after its use. */
static Err *begin_policy(TpmContext *context, TpmObject *ret) {
        const TPMT_SYM_DEF none = { .algorithm = TPM2_ALG_NULL };
        const TPML_PCR_SELECTION pcrs = tpm_pcr_selection_to_tss(&selection);
        TRY(TPM_CALL(context, "TPM2_StartAuthSession",
                     Esys_StartAuthSession(context->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &none,
                                           TPM2_ALG_SHA256, &ret->handle)));
        TRY(tpm_error(context, Esys_TRSess_SetAttributes(context->esys, ret->handle, TPMA_SESSION_CONTINUESESSION, 0xff), "setting up a session"));
        return TPM_CALL(context, "TPM2_PolicyPCR", Esys_PolicyPCR(context->esys, ret->handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL, &pcrs));
}

/* ---- key ---- */

/* The key that belongs to these values. */
static Err *make_key(TpmContext *context, const PcrValues *values, TpmObject *ret) {
        const TPM2B_SENSITIVE_CREATE sensitive = {};
        const TPM2B_DATA outside = {};
        const TPML_PCR_SELECTION creation = {};
        Digest policy;
        TPM2B_PUBLIC template = {
                .publicArea = {
                        .type = TPM2_ALG_RSA,
                        .nameAlg = TPM2_ALG_SHA256,
                        .objectAttributes = TPMA_OBJECT_DECRYPT | TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_NODA,
                        .parameters.rsaDetail = { .symmetric.algorithm = TPM2_ALG_NULL, .scheme.scheme = TPM2_ALG_NULL, .keyBits = KEY_BITS, .exponent = 0 },
                        .unique.rsa.size = UNIQUE_SIZE,
                },
        };
        TRY(policy_digest(values, &policy));
        template.publicArea.authPolicy.size = policy.size;
        for (size_t i = 0; i < policy.size; i++)
                template.publicArea.authPolicy.buffer[i] = policy.bytes[i];
        ret->context = context;
        return TPM_CALL(context, "TPM2_CreatePrimary",
                        Esys_CreatePrimary(context->esys, ESYS_TR_RH_NULL, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &template, &outside, &creation,
                                           &ret->handle, NULL, NULL, NULL, NULL));
}

static Err *certify_key(TpmContext *context, const Aik *aik, const PcrValues *values, EvidenceKey *ret) {
        _cleanup_tpm_object_ TpmObject object = TPM_OBJECT_NONE;
        _cleanup_bytes_ Bytes public = {};
        TRY(make_key(context, values, &object));
        TRY(key_read_public(context, object.handle, &public));
        return key_certify(context, aik->object.handle, bytes_span(&aik->public), object.handle, bytes_span(&public), (Span) {}, ret);
}

/* ---- evidence ---- */

/* Values and a quote that agree. A PCR that moved in between means once more. */
static Err *quote_values(TpmContext *context, const Aik *aik, Evidence *evidence) {
        for (unsigned n = 0; n < EVIDENCE_QUOTES_MAX; n++) {
                _cleanup_bytes_ Bytes attest = {}, signature = {};
                TpmAttest parsed;
                TRY(tpm_pcr_read(context, &selection, &evidence->pcrs));
                TRY(quote_pcrs(context, aik->object.handle, (Span) {}, &selection, &attest, &signature));
                Err *err = aik_verify_quote(bytes_span(&aik->public), bytes_span(&attest), bytes_span(&signature), (Span) {}, &evidence->pcrs, &parsed);
                evidence->n_quote_retries = n;
                if (err_code(err) == ERR_QUOTE_PCR_MISMATCH) {
                        err_free(err);
                        continue;
                }
                TRY(err_wrap(err, "checking the quote that the TPM has made"));
                evidence->reset_count = parsed.reset_count;
                evidence->restart_count = parsed.restart_count;
                evidence->quote = bytes_steal(&attest);
                evidence->signature = bytes_steal(&signature);
                return NULL;
        }
        return err_new(ERR_TPM_PCR_UNSTABLE, "PCRs 0-7 moved around each of %d quotes", EVIDENCE_QUOTES_MAX);
}

static Err *take_log(EvidenceMaker *maker, Evidence *evidence) {
        _cleanup_log_copy_ LogCopy copy = LOG_COPY_NONE;
        EventLogReplay replay;
        TRY(log_copy_take(&maker->boot_log, &copy));
        evidence->boot_log_state = copy.state;
        evidence->boot_log_reason = steal_ptr(&copy.reason);
        _cleanup_(err_freep) Err *err = copy.content.size > 0 ? eventlog_replay(copy.content, &replay) : NULL;
        verdict_for_pcrs(&evidence->pcrs, copy.content.size > 0 && !err ? &replay : NULL, NULL, evidence->verdicts);
        if (copy.content.size == 0)
                return NULL;
        evidence->logs[evidence->n_logs++] = (EvidenceLog) { .type = EVIDENCE_LOG_TCG, .fd = steal_fd(&copy.fd), .size = copy.content.size };
        return NULL;
}

static Err *check_bank(TpmContext *context) {
        PcrSelection banks;
        TRY(tpm_pcr_get_banks(context, &banks));
        for (size_t i = 0; i < banks.n_banks; i++)
                if (banks.banks[i].alg == HASH_SHA256 && (banks.banks[i].mask & GUEST_PCRS) == GUEST_PCRS)
                        return NULL;
        return err_new(ERR_TPM_BANK_MISSING, "attestation of an Azure VM needs PCRs 0-7 of the bank sha256");
}

static Err *collect(EvidenceMaker *maker, void *userdata) {
        Evidence **ret = userdata;
        const AikOptions options = { .handle = maker->config->aik_handle, .certificate = maker->config->aik_certificate };
        TpmContext *context = maker->context;
        _cleanup_(evidence_freep) Evidence *evidence = calloc(1, sizeof(Evidence));
        _cleanup_aik_ Aik aik = AIK_NONE;
        if (!evidence)
                return err_oom();
        TRY(check_bank(context));
        TRY(aik_load(context, &options, &maker->own, &aik));
        TRY(quote_values(context, &aik, evidence));
        TRY(err_wrap(certify_key(context, &aik, &evidence->pcrs, &evidence->request_key), "certifying the encryption key"));
        TRY(take_log(maker, evidence));
        evidence->aik_public = bytes_steal(&aik.public);
        evidence->aik_name = bytes_steal(&aik.name);
        evidence->aik_certificate = bytes_steal(&aik.certificate);
        *ret = steal_ptr(&evidence);
        return NULL;
}

Err *guest_collect(EvidenceMaker *maker, Evidence **ret) {
        return evidence_maker_run(maker, collect, ret);
}

/* ---- answer ---- */

typedef struct DecryptWork {
        Span ciphertext;
        Bytes *ret;
} DecryptWork;

static TSS2_RC rc_of(const Err *err) {
        int64_t rc = 0;
        return err_native(err, &rc) == ERR_DOMAIN_TSS ? (TSS2_RC) rc : TSS2_RC_SUCCESS;
}

/* Padding, size or number are wrong (Part 3 §14.3). libtpms names no parameter for the latter two, and says FAILURE of padding, and goes on working. */
static bool is_about_ciphertext(TSS2_RC rc) {
        const TSS2_RC base = tpm_rc_base(rc);
        return tpm_rc_is_parameter(rc) || base == TPM2_RC_FAILURE || base == TPM2_RC_SIZE || base == TPM2_RC_VALUE;
}

static Err *decrypt_once(TpmContext *context, ESYS_TR key, Span ciphertext, Bytes *ret) {
        const TPMT_RSA_DECRYPT scheme = { .scheme = TPM2_ALG_RSAES };
        const TPM2B_DATA label = {};
        TPM2B_PUBLIC_KEY_RSA input = { .size = (UINT16) ciphertext.size };
        _cleanup_tpm_object_ TpmObject session = { .context = context, .handle = ESYS_TR_NONE };
        _cleanup_free_ TPM2B_PUBLIC_KEY_RSA *output = NULL;
        for (size_t i = 0; i < ciphertext.size; i++)
                input.buffer[i] = ciphertext.data[i];
        TRY(begin_policy(context, &session));
        Err *err = TPM_CALL(context, "TPM2_RSA_Decrypt",
                            Esys_RSA_Decrypt(context->esys, key, session.handle, ESYS_TR_NONE, ESYS_TR_NONE, &input, &scheme, &label, &output));
        if (err && is_about_ciphertext(rc_of(err)))
                return err_wrap_code(ERR_INVALID_ARGUMENT, err, "this is not encrypted to the key that the TPM has now: PCRs 0-7 have moved, or it is for another TPM");
        TRY(err);
        err = bytes_copy(span_make(output->buffer, output->size), ret);
        explicit_bzero(output, sizeof(*output));
        return err;
}

/* A session that was told of PCRs ends when any PCR moves, PCR 10 of a busy machine among them (Part 3 §23.7, pcrUpdateCounter): the next one may hold. */
static Err *decrypt_with(TpmContext *context, ESYS_TR key, Span ciphertext, Bytes *ret) {
        for (unsigned n = 1;; n++) {
                Err *err = decrypt_once(context, key, ciphertext, ret);
                if (!err || tpm_rc_base(rc_of(err)) != TPM2_RC_PCR_CHANGED)
                        return err;
                if (n == GUEST_DECRYPTIONS_MAX)
                        return err_wrap_code(ERR_TPM_PCR_UNSTABLE, err, "PCRs moved during each of %d decryptions", GUEST_DECRYPTIONS_MAX);
                err_free(err);
        }
}

static Err *decrypt(EvidenceMaker *maker, void *userdata) {
        const DecryptWork *work = userdata;
        TpmContext *context = maker->context;
        _cleanup_tpm_object_ TpmObject key = TPM_OBJECT_NONE;
        PcrValues values;
        TRY(check_bank(context));
        TRY(tpm_pcr_read(context, &selection, &values));
        TRY(make_key(context, &values, &key));
        return decrypt_with(context, key.handle, work->ciphertext, work->ret);
}

Err *guest_decrypt(EvidenceMaker *maker, Span ciphertext, Bytes *ret_plaintext) {
        DecryptWork work = { ciphertext, ret_plaintext };
        if (ciphertext.size == 0 || ciphertext.size > GUEST_CIPHERTEXT_MAX)
                return err_new(ERR_INVALID_ARGUMENT, "the ciphertext has %zu bytes; 1 to %u can be decrypted", ciphertext.size, GUEST_CIPHERTEXT_MAX);
        return err_wrap(evidence_maker_run(maker, decrypt, &work), "decrypting with the encryption key");
}
