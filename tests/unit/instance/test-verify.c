/* The instance's verifier on evidence that is right, and on evidence of which one piece is wrong: each has its own words. */
#include "tests/unit/instance/maker.h"
#include "tests/support/vectors.h"

#include <time.h>

#include "instance/ca.h"
#include "instance/report.h"
#include "instance/verify.h"
#include "tcg/secure-boot.h"

static const uint8_t challenge_bytes[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
static EVP_PKEY *other_key;

static Err *open_and_verify_with(const Maker *maker, const VerifyRules *rules, Verdict *ret) {
        _cleanup_free_ char *jws = maker_request(maker);
        _cleanup_(attest_request_freep) AttestRequest *request = NULL;
        TRY(attest_request_open(jws, &request));
        return verify_request(request, SPAN_OF(challenge_bytes), rules, ret);
}

static Err *open_and_verify(const Maker *maker, Verdict *ret) {
        return open_and_verify_with(maker, &(VerifyRules) { .required_pcrs = PCR_MASK_ALL, .now_sec = time(NULL) }, ret);
}

static void test_verify_good_evidence_gives_verdicts(void **state) {
        Maker maker;
        maker_init(&maker, SPAN_OF(challenge_bytes), "context");
        _cleanup_verdict_ Verdict verdict = {};
        assert_ok(open_and_verify(&maker, &verdict));
        assert_int_equal(verdict.bank, HASH_SHA256);
        assert_int_equal(verdict.pcrs[7], PCR_REPLAYED);
        assert_int_equal(verdict.pcrs[10], PCR_REPLAYED);
        assert_int_equal(verdict.pcrs[4], PCR_UNEXPLAINED);
        assert_int_equal(verdict.pcrs[0], PCR_UNUSED);
        assert_int_equal(verdict.pcrs[17], PCR_UNUSED);
        assert_true(verdict.secure_boot);
        assert_int_equal(verdict.n_ima_entries, 3);
        assert_int_equal(verdict.reset_count, 5);
        assert_int_equal(verdict.restart_count, 6);
        assert_false(verdict.aik_validated);
        maker_done(&maker);
}

static void test_verify_secure_boot_needs_pcr7(void **state) {
        Maker maker;
        maker_init(&maker, SPAN_OF(challenge_bytes), "context");
        uint8_t pcr[32];
        bytes_done(&maker.boot_log);
        maker.boot_log = maker_boot_log(0, pcr); /* PCR 7 still says that it was on */
        _cleanup_verdict_ Verdict verdict = {}, off = {};
        assert_ok(open_and_verify(&maker, &verdict));
        assert_int_equal(verdict.pcrs[7], PCR_UNEXPLAINED);
        assert_false(verdict.secure_boot);
        for (size_t i = 0; i < 32; i++)
                maker.quoted[7][i] = maker.sent[7][i] = pcr[i];
        assert_ok(open_and_verify(&maker, &off));
        assert_int_equal(off.pcrs[7], PCR_REPLAYED);
        assert_false(off.secure_boot);
        maker_done(&maker);
}

static void test_verify_without_logs_explains_nothing(void **state) {
        Maker maker;
        maker_init(&maker, SPAN_OF(challenge_bytes), "context");
        bytes_done(&maker.boot_log);
        bytes_done(&maker.ima_list);
        _cleanup_verdict_ Verdict verdict = {};
        assert_ok(open_and_verify(&maker, &verdict));
        assert_int_equal(verdict.pcrs[7], PCR_UNEXPLAINED);
        assert_int_equal(verdict.pcrs[10], PCR_UNEXPLAINED);
        assert_false(verdict.has_ima_log);
        maker_done(&maker);
}

static void spoil_magic(Maker *m) { m->magic = 0xff544348; }
static void spoil_type(Maker *m) { m->attest_type = 0x8017; }
static void spoil_quote_key(Maker *m) { m->quote_key = other_key; }
static void spoil_quoted_challenge(Maker *m) { m->quoted_challenge.data[0] ^= 1; }
static void spoil_challenge(Maker *m) { m->challenge.data[15] ^= 1; m->quoted_challenge.data[15] ^= 1; }
static void spoil_short_challenge(Maker *m) { m->challenge.size--; }
static void spoil_jwk_text(Maker *m) { m->hash_other_jwk_text = true; }
static void spoil_pcr(Maker *m) { m->sent[3][31] ^= 1; }
static void spoil_selection(Maker *m) { m->quoted_mask = 0x7fffff; }
static void spoil_order(Maker *m) { m->descending = true; }
static void spoil_hash(Maker *m) { m->signature_hash = HASH_SHA1; m->quote_digest = "SHA1"; }
static void spoil_ima_entry(Maker *m) { uint8_t pcr[32]; bytes_done(&m->ima_list); m->ima_list = maker_ima_list(2, pcr); }
static void spoil_ima_extra(Maker *m) { uint8_t pcr[32]; bytes_done(&m->ima_list); m->ima_list = maker_ima_list(4, pcr); }
static void spoil_ima_cut(Maker *m) { m->ima_list.size--; }
static void spoil_ima_text(Maker *m) { m->ima_list.data[24] = 0xff; m->ima_list.data[27] = 0xff; }
static void spoil_boot_log(Maker *m) { m->boot_log.size -= 3; }
static void spoil_boot_text(Maker *m) { for (size_t i = 0; i < m->boot_log.size; i++) m->boot_log.data[i] = 'x'; }
static void spoil_typ(Maker *m) { m->header = "{\"alg\":\"PS256\",\"typ\":\"attReq\"}"; }
static void spoil_no_typ(Maker *m) { m->header = "{\"alg\":\"PS256\"}"; }
static void spoil_kid(Maker *m) { m->header = "{\"alg\":\"PS256\",\"typ\":\"attReqV2\",\"kid\":\"k\"}"; }
static void spoil_alg(Maker *m) { m->header = "{\"alg\":\"RS256\",\"typ\":\"attReqV2\"}"; }
static void spoil_crit(Maker *m) { m->header = "{\"alg\":\"PS256\",\"typ\":\"attReqV2\",\"crit\":[\"x\"],\"x\":1}"; }
static void spoil_proof(Maker *m) { m->signing_key = other_key; }
static void spoil_twice(Maker *m) { m->extra_members = "\"rp_id\":\"https://other.example\","; }
static void spoil_att_type(Maker *m) { m->att_type = "vbs"; }
static void spoil_att_type_unknown(Maker *m) { m->att_type = "advanced"; }
static void spoil_hash_name(Maker *m) { m->key_info = "{\"tpm_quote\":{\"hash_alg\":\"sha-512\"}}"; }
static void spoil_certify(Maker *m) { m->key_info = "{\"tpm_certify\":{}}"; }
static void spoil_both(Maker *m) { m->key_info = "{\"tpm_certify\":{},\"tpm_quote\":{\"hash_alg\":\"sha-256\"}}"; }
static void spoil_many_other_keys(Maker *m) { m->extra_members = "\"other_keys\":[{},{},{}],"; }
static void spoil_unbound(Maker *m) { m->key_info = "{}"; }
static void spoil_other_keys(Maker *m) { m->extra_members = "\"other_keys\":[{}],"; }
static void spoil_claim_type(Maker *m) { m->extra_members = "\"custom_claims\":[{\"name\":\"a\",\"value\":\"b\",\"value_type\":\"date\"}],"; }
static void spoil_claim_value(Maker *m) { m->extra_members = "\"custom_claims\":[{\"name\":\"a\",\"value\":\"b\",\"value_type\":\"integer\"}],"; }
static void spoil_jwk(Maker *m) { m->jwk_format = "{\"kty\":\"RSA\",\"n\":\"%s\"}"; }

static void spoil_certificate_text(Maker *m) {
        assert_ok(bytes_copy(span_from_string("no certificate"), &m->aik_certificate));
}

static void spoil_certificate_key(Maker *m) {
        _cleanup_(x509_freep) X509 *certificate = NULL;
        assert_ok(ca_certificate_issue(&(CaCertificate) { .common_name = "AIK", .not_after = time(NULL) + 3600 }, other_key, &certificate));
        assert_ok(ca_certificate_to_der(certificate, &m->aik_certificate));
}

static const struct {
        void (*spoil)(Maker *maker);
        ErrCode code;
        const char *words;   /* that the description must have: who reads it must know which piece was wrong */
} wrongs[] = {
        { spoil_magic, ERR_QUOTE_MALFORMED, "magic" },
        { spoil_type, ERR_QUOTE_MALFORMED, "no quote" },
        { spoil_quote_key, ERR_QUOTE_SIGNATURE_INVALID, "signature" },
        { spoil_quoted_challenge, ERR_QUOTE_NONCE_MISMATCH, "extraData" },
        { spoil_challenge, ERR_CHALLENGE_INVALID, "att_data.challenge" },
        { spoil_short_challenge, ERR_CHALLENGE_INVALID, "att_data.challenge" },
        { spoil_jwk_text, ERR_QUOTE_NONCE_MISMATCH, "extraData" },
        { spoil_pcr, ERR_QUOTE_PCR_MISMATCH, "pcrDigest" },
        { spoil_selection, ERR_QUOTE_PCR_MISMATCH, "must have all of the PCRs 0-23" },
        { spoil_order, ERR_EVIDENCE_MALFORMED, "ascending" },
        { spoil_hash, ERR_QUOTE_SIGNATURE_INVALID, "SHA-1" },
        { spoil_ima_entry, ERR_IMA_MISMATCH, "2 entries" },
        { spoil_ima_extra, ERR_IMA_MISMATCH, "4 entries" },
        { spoil_ima_cut, ERR_LOG_TRUNCATED, "IMA" },
        { spoil_ima_text, ERR_IMA_MALFORMED, "IMA" },
        { spoil_boot_log, ERR_LOG_TRUNCATED, "TCG" },
        { spoil_boot_text, ERR_EVENTLOG_MALFORMED, "TCG" },
        { spoil_typ, ERR_EVIDENCE_MALFORMED, "typ" },
        { spoil_no_typ, ERR_JSON_MEMBER_MISSING, "typ" },
        { spoil_kid, ERR_EVIDENCE_MALFORMED, "kid" },
        { spoil_alg, ERR_TOKEN_ALG_NOT_ALLOWED, "RS256" },
        { spoil_crit, ERR_TOKEN_CRIT_UNKNOWN, "crit" },
        { spoil_proof, ERR_TOKEN_SIGNATURE_INVALID, "request_key" },
        { spoil_twice, ERR_JSON_DUPLICATE_MEMBER, "rp_id" },
        { spoil_att_type, ERR_JSON_MEMBER_MISSING, "report_signed" },
        { spoil_att_type_unknown, ERR_EVIDENCE_MALFORMED, "att_type" },
        { spoil_hash_name, ERR_NOT_SUPPORTED, "sha-512" },
        { spoil_certify, ERR_JSON_MEMBER_MISSING, "request_key: info.tpm_certify" },
        { spoil_both, ERR_EVIDENCE_MALFORMED, "both" },
        { spoil_unbound, ERR_JSON_MEMBER_MISSING, "tpm_quote" },
        { spoil_other_keys, ERR_JSON_MEMBER_MISSING, "other_keys[0]" },
        { spoil_many_other_keys, ERR_EVIDENCE_MALFORMED, "more than 2" },
        { spoil_claim_type, ERR_EVIDENCE_MALFORMED, "custom_claims[0]" },
        { spoil_claim_value, ERR_EVIDENCE_MALFORMED, "custom_claims[0]" },
        { spoil_jwk, ERR_KEY_INVALID, "request_key: jwk" },
        { spoil_certificate_text, ERR_AIK_CERTIFICATE_INVALID, "aik_cert" },
        { spoil_certificate_key, ERR_AIK_CERTIFICATE_INVALID, "another key" },
};

static void test_verify_one_wrong_piece_is_named(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(wrongs); i++) {
                Maker maker;
                maker_init(&maker, SPAN_OF(challenge_bytes), "context");
                wrongs[i].spoil(&maker);
                Verdict verdict = {};
                Err *error = open_and_verify(&maker, &verdict);
                if (err_code(error) != wrongs[i].code || !strstr(err_describe(error), wrongs[i].words))
                        fail_msg("case %zu: got %s (%s), wanted %s with \"%s\"", i, err_code_info(err_code(error))->symbol,
                                 err_describe(error), err_code_info(wrongs[i].code)->symbol, wrongs[i].words);
                err_free(error);
                maker_done(&maker);
        }
}

/* ---- the attestation from before a hibernation ---- */

/* The machine came back: its PCRs are those of a start, but for what the firmware measured into PCR 7 again. */
static void make_hibernated(Maker *now, Maker *boot) {
        maker_init(now, SPAN_OF(challenge_bytes), "context");
        maker_init(boot, SPAN_OF(challenge_bytes), "context");
        boot->quotes_challenge = true;
        bytes_done(&boot->quoted_challenge);   /* it answers none */
        boot->restart_count = 5;
        bytes_done(&now->ima_list);
        for (size_t i = 0; i < 32; i++)
                now->quoted[10][i] = now->sent[10][i] = 0;
        now->boot = boot;
}

static void test_verify_boot_attestation_tells_what_was(void **state) {
        Maker now, boot;
        _cleanup_verdict_ Verdict verdict = {};
        _cleanup_free_ char *claims = NULL;
        make_hibernated(&now, &boot);
        assert_ok(open_and_verify(&now, &verdict));
        assert_true(verdict.has_boot_attestation);
        assert_int_equal(verdict.restart_count, 6);
        assert_int_equal(verdict.boot_restart_count, 5);
        assert_int_equal(verdict.boot_pcrs[10], PCR_REPLAYED);
        assert_int_equal(verdict.pcrs[10], PCR_UNUSED);
        assert_int_equal(verdict.boot_pcrs[4], PCR_UNEXPLAINED);
        assert_true(verdict.boot_secure_boot);
        assert_ok(report_policy_claims(&verdict, NULL, &claims));
        assert_non_null(strstr(claims, "\"bootAttestationPresent\":true,\"bootAttestationRestartCount\":5,\"bootAttestationSecureBootEnabled\":true,"
                                       "\"bootAttestationPcrs-replayed\":[7,10],\"bootAttestationPcrs-unexplained\":[4]"));
        maker_done(&now);
        maker_done(&boot);
}

static void spoil_boot_reset(Maker *m) { m->reset_count = 4; }
static void spoil_boot_later(Maker *m) { m->restart_count = 7; }
static void spoil_boot_same(Maker *m) { m->restart_count = 6; }
static void spoil_boot_aik(Maker *m) { m->aik = other_key; }

static void test_verify_wrong_boot_attestation_is_refused(void **state) {
        static const struct {
                void (*spoil)(Maker *boot);
                ErrCode code;
                const char *words;
        } cases[] = {
                { spoil_boot_reset, ERR_EVIDENCE_MALFORMED, "another boot" },
                { spoil_boot_later, ERR_EVIDENCE_MALFORMED, "before a hibernation" },
                { spoil_boot_same, ERR_EVIDENCE_MALFORMED, "before a hibernation" },
                { spoil_boot_aik, ERR_KEY_INVALID, "another key" },
                { spoil_quote_key, ERR_QUOTE_SIGNATURE_INVALID, "signature" },
                { spoil_hash, ERR_QUOTE_SIGNATURE_INVALID, "SHA-1" },
                { spoil_type, ERR_QUOTE_MALFORMED, "no quote" },
                { spoil_magic, ERR_QUOTE_MALFORMED, "magic" },
                { spoil_pcr, ERR_QUOTE_PCR_MISMATCH, "pcrDigest" },
                { spoil_selection, ERR_QUOTE_PCR_MISMATCH, "must have all of the PCRs 0-23" },
                { spoil_ima_entry, ERR_IMA_MISMATCH, "2 entries" },
                { spoil_ima_cut, ERR_LOG_TRUNCATED, "IMA" },
                { spoil_boot_log, ERR_LOG_TRUNCATED, "TCG" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Maker now, boot;
                Verdict verdict = {};
                make_hibernated(&now, &boot);
                cases[i].spoil(&boot);
                Err *err = open_and_verify(&now, &verdict);
                if (err_code(err) != cases[i].code || !strstr(err_describe(err), cases[i].words) || !strstr(err_describe(err), "boot_attestation"))
                        fail_msg("case %zu: %s", i, err ? err_describe(err) : "no error");
                err_free(err);
                maker_done(&now);
                maker_done(&boot);
        }
}

/* The counts may have a constant added, and wrap around. */
static void test_verify_boot_attestation_counts_wrap(void **state) {
        Maker now, boot;
        _cleanup_verdict_ Verdict verdict = {};
        make_hibernated(&now, &boot);
        boot.restart_count = UINT32_MAX;
        now.restart_count = 0;
        assert_ok(open_and_verify(&now, &verdict));
        assert_true(verdict.has_boot_attestation);
        maker_done(&now);
        maker_done(&boot);
}

/* ---- keys that the AIK certifies ---- */

static const uint8_t other_challenge[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17 };

/* Verifies a request whose request key is certified so; the quote is over the challenge as it has to be, unless quotes_jwk. */
static Err *verify_certified(const MakerCertify *certify, const char *other_keys, bool quotes_jwk) {
        Maker maker;
        maker_init(&maker, SPAN_OF(challenge_bytes), "context");
        _cleanup_free_ char *info = NULL;
        _cleanup_verdict_ Verdict verdict = {};
        MakerCertify whole = *certify;
        whole.key = whole.key ? whole.key : maker.request_key;
        whole.aik = whole.aik ? whole.aik : maker.aik;
        whole.challenge = whole.challenge.size > 0 ? whole.challenge : SPAN_OF(challenge_bytes);
        info = maker_certify_info(&whole);
        maker.key_info = info;
        maker.quotes_challenge = !quotes_jwk;
        maker.extra_members = other_keys;
        Err *err = open_and_verify(&maker, &verdict);
        maker_done(&maker);
        return err;
}

static void assert_refused(Err *steal_err, ErrCode code, const char *words, const char *what) {
        _cleanup_(err_freep) Err *err = steal_err;
        if (err_code(err) != code || !strstr(err_describe(err), words))
                fail_msg("%s: got %s (%s), wanted %s with \"%s\"", what, err_code_info(err_code(err))->symbol, err_describe(err),
                         err_code_info(code)->symbol, words);
}

static void test_verify_certified_request_key_situations(void **state) {
        const struct {
                const char *what;
                MakerCertify certify;
                bool quotes_jwk;
                ErrCode code;
                const char *words;
        } cases[] = {
                { "wrong challenge", { .challenge = SPAN_OF(other_challenge) }, false, ERR_QUOTE_NONCE_MISMATCH, "request_key.info.tpm_certify: the certification's extraData" },
                { "wrong name", { .named_key = other_key }, false, ERR_KEY_INVALID, "another name" },
                { "another key's jwk", { .key = other_key }, false, ERR_KEY_INVALID, "the jwk is another key" },
                { "another AIK", { .aik = other_key }, false, ERR_QUOTE_SIGNATURE_INVALID, "request_key.info.tpm_certify" },
                { "a quote's type", { .type = 0x8018 }, false, ERR_QUOTE_MALFORMED, "request_key.info.tpm_certify" },
                { "no TPM's magic", { .magic = 0xff544348 }, false, ERR_QUOTE_MALFORMED, "magic" },
                { "the quote is over the jwk", {}, true, ERR_QUOTE_NONCE_MISMATCH, "the quote's extraData" },
        };
        assert_ok(verify_certified(&(MakerCertify) {}, "", false));
        for (size_t i = 0; i < N_ELEMENTS(cases); i++)
                assert_refused(verify_certified(&cases[i].certify, "", cases[i].quotes_jwk), cases[i].code, cases[i].words, cases[i].what);
}

/* A quote over the challenge alone, without a certification, binds no key. */
static void test_verify_quote_over_the_challenge_alone_binds_no_key(void **state) {
        Maker maker;
        maker_init(&maker, SPAN_OF(challenge_bytes), "context");
        _cleanup_verdict_ Verdict verdict = {};
        maker.quotes_challenge = true;
        assert_refused(open_and_verify(&maker, &verdict), ERR_QUOTE_NONCE_MISMATCH, "the quote's extraData", "tpm_quote");
        maker_done(&maker);
}

static void test_verify_other_keys_situations(void **state) {
        Maker maker;
        maker_init(&maker, SPAN_OF(challenge_bytes), "context");
        const struct {
                const char *what;
                MakerCertify certify;
                const char *info;    /* in place of what certify says */
                ErrCode code;
                const char *words;
        } cases[] = {
                { "certified", { .key = other_key, .aik = maker.aik, .challenge = SPAN_OF(challenge_bytes) }, NULL, ERR_NONE, "" },
                { "wrong challenge", { .key = other_key, .aik = maker.aik, .challenge = SPAN_OF(other_challenge) }, NULL, ERR_QUOTE_NONCE_MISMATCH, "other_keys[1]" },
                { "wrong name", { .key = other_key, .named_key = maker.aik, .aik = maker.aik, .challenge = SPAN_OF(challenge_bytes) }, NULL, ERR_KEY_INVALID, "other_keys[1]" },
                { "another jwk", { .key = maker.request_key, .aik = maker.aik, .challenge = SPAN_OF(challenge_bytes) }, NULL, ERR_KEY_INVALID, "other_keys[1]" },
                { "another AIK", { .key = other_key, .aik = other_key, .challenge = SPAN_OF(challenge_bytes) }, NULL, ERR_QUOTE_SIGNATURE_INVALID, "other_keys[1]" },
                { "bound by the quote", {}, "{\"tpm_quote\":{\"hash_alg\":\"sha-256\"}}", ERR_EVIDENCE_MALFORMED, "for the request key alone" },
                { "info without content", {}, "{}", ERR_JSON_MEMBER_MISSING, "other_keys[1]" },
        };
        _cleanup_free_ char *jwk = maker_jwk(other_key);
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *info = cases[i].info ? NULL : maker_certify_info(&cases[i].certify), *members = NULL;
                _cleanup_verdict_ Verdict verdict = {};
                assert_ok(string_format(&members, "\"other_keys\":[{\"jwk\":%s},{\"jwk\":%s,\"info\":%s}],", jwk, jwk, info ? info : cases[i].info));
                maker.extra_members = members;
                Err *err = open_and_verify(&maker, &verdict);
                if (cases[i].code == ERR_NONE)
                        assert_ok(err);
                else
                        assert_refused(err, cases[i].code, cases[i].words, cases[i].what);
                assert_ok(verify_certified(&(MakerCertify) {}, "\"other_keys\":[],", false));
        }
        maker_done(&maker);
}

/* The bits of TPMA_OBJECT in the maker's public area are 1, 4, 5, 6, 10, 17, 18. */
static void test_report_keys_show_the_policy_object(void **state) {
        Maker maker;
        maker_init(&maker, SPAN_OF(challenge_bytes), "context");
        static const uint8_t policy[32] = { 0xab, 0xcd };
        const MakerCertify plain = { .key = maker.request_key, .aik = maker.aik, .challenge = SPAN_OF(challenge_bytes) };
        const MakerCertify with_policy = { .key = other_key, .aik = maker.aik, .challenge = SPAN_OF(challenge_bytes), .policy = SPAN_OF(policy) };
        _cleanup_free_ char *info = maker_certify_info(&plain), *other_info = maker_certify_info(&with_policy), *jwk = maker_jwk(other_key), *members = NULL,
                            *request_jwk = maker_jwk(maker.request_key), *expected = NULL, *expected_others = NULL, *key_text = NULL, *others_text = NULL;
        assert_ok(string_format(&members, "\"other_keys\":[{\"jwk\":%s,\"info\":%s},{\"jwk\":%s}],", jwk, other_info, jwk));
        maker.key_info = info;
        maker.quotes_challenge = true;
        maker.extra_members = members;
        _cleanup_free_ char *jws = maker_request(&maker);
        _cleanup_(attest_request_freep) AttestRequest *request = NULL;
        assert_ok(attest_request_open(jws, &request));
        assert_ok(report_request_key(request, &key_text));
        assert_ok(report_other_keys(request, &others_text));
        assert_ok(string_format(&expected, "{\"jwk\":%s,\"info\":{\"tpm_certify\":{\"name_alg\":11,\"obj_attr\":394354}}}", request_jwk));
        assert_ok(string_format(&expected_others, "[{\"jwk\":%s,\"info\":{\"tpm_certify\":{\"name_alg\":11,\"obj_attr\":394354,"
                                                  "\"auth_policy\":\"q80AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}}},{\"jwk\":%s}]", jwk, jwk));
        Json *got = json_tokener_parse(key_text), *wanted = json_tokener_parse(expected);
        assert_true(json_object_equal(got, wanted));
        json_object_put(got);
        json_object_put(wanted);
        got = json_tokener_parse(others_text);
        wanted = json_tokener_parse(expected_others);
        assert_true(json_object_equal(got, wanted));
        json_object_put(got);
        json_object_put(wanted);
        maker_done(&maker);
}

static void test_verify_required_mask_is_an_option(void **state) {
        Maker maker;
        maker_init(&maker, SPAN_OF(challenge_bytes), "context");
        spoil_selection(&maker);
        _cleanup_verdict_ Verdict verdict = {};
        assert_ok(open_and_verify_with(&maker, &(VerifyRules) { .required_pcrs = 0x7fffff }, &verdict));
        assert_int_equal(verdict.pcrs[23], PCR_NOT_QUOTED);
        maker_done(&maker);
}

static void test_verify_aik_certificate_situations(void **state) {
        int64_t now = time(NULL);
        CaIdentity root = {}, stranger = {};
        CaCertificate ca = { .common_name = "AIK CA", .is_ca = true, .not_before = now - 10, .not_after = now + 86400 };
        assert_ok(ca_key_generate(2048, &root.key));
        assert_ok(ca_certificate_issue(&ca, root.key, &root.certificate));
        assert_ok(ca_key_generate(2048, &stranger.key));
        assert_ok(ca_certificate_issue(&ca, stranger.key, &stranger.certificate));
        STACK_OF(X509) *roots = sk_X509_new_null();
        sk_X509_push(roots, root.certificate);
        const struct {
                const CaIdentity *issuer;
                int64_t not_after;
                bool validated;
        } cases[] = { { &root, now + 3600, true }, { &root, now - 1, false }, { &stranger, now + 3600, false } };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Maker maker;
                maker_init(&maker, SPAN_OF(challenge_bytes), "context");
                _cleanup_(x509_freep) X509 *certificate = NULL;
                CaCertificate wanted = {
                        .common_name = "AIK", .not_before = now - 10, .not_after = cases[i].not_after, .issuer = cases[i].issuer,
                };
                assert_ok(ca_certificate_issue(&wanted, maker.aik, &certificate));
                assert_ok(ca_certificate_to_der(certificate, &maker.aik_certificate));
                _cleanup_verdict_ Verdict verdict = {};
                assert_ok(open_and_verify_with(&maker, &(VerifyRules) { .required_pcrs = PCR_MASK_ALL, .aik_roots = roots, .now_sec = now }, &verdict));
                assert_int_equal(verdict.aik_validated, cases[i].validated);
                assert_int_equal(verdict.aik_reason == NULL, cases[i].validated);
                maker_done(&maker);
        }
        sk_X509_free(roots);
        ca_identity_done(&root);
        ca_identity_done(&stranger);
}

/* What the variable holds was read out of the files by a search for its GUID and name. Where the event's digest is not that of its data,
 * the data does not count. */
static void test_secure_boot_measured_on_real_logs(void **state) {
        static const struct {
                const char *file;
                uint16_t alg;
                bool on;
        } logs[] = {
                { "goatt-sb_cert_eventlog.bin", HASH_SHA256, true },
                { "goel-cos-85-amd-sev.bin", HASH_SHA256, true },
                { "goel-rhel8-uefi.bin", HASH_SHA384, true },
                { "guard-windows_event_log.bin", HASH_SHA1, true },
                { "goel-ubuntu-1804-amd-sev.bin", HASH_SHA256, false },
                { "goatt-coreos_36_shielded_vm_no_secure_boot_eventlog.bin", HASH_SHA256, false },
                { "tpm2tools-event-arch-linux.bin", HASH_SHA256, false },
                { "goatt-incode-specid_sha1.bin", HASH_SHA1, false },
        };
        vectors_need();
        for (size_t i = 0; i < N_ELEMENTS(logs); i++) {
                _cleanup_free_ char *name = NULL;
                bool on;
                assert_ok(string_format(&name, "eventlog/%s", logs[i].file));
                _cleanup_bytes_ Bytes log = vector_read(name);
                assert_ok(secure_boot_measured(bytes_span(&log), logs[i].alg, &on));
                if (on != logs[i].on)
                        fail_msg("%s", logs[i].file);
        }
}

static int make_keys(void **state) {
        other_key = EVP_RSA_gen(2048);
        return other_key ? 0 : -1;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_verify_good_evidence_gives_verdicts),
                cmocka_unit_test(test_verify_secure_boot_needs_pcr7),
                cmocka_unit_test(test_verify_without_logs_explains_nothing),
                cmocka_unit_test(test_verify_one_wrong_piece_is_named),
                cmocka_unit_test(test_verify_certified_request_key_situations),
                cmocka_unit_test(test_verify_quote_over_the_challenge_alone_binds_no_key),
                cmocka_unit_test(test_verify_boot_attestation_tells_what_was),
                cmocka_unit_test(test_verify_wrong_boot_attestation_is_refused),
                cmocka_unit_test(test_verify_boot_attestation_counts_wrap),
                cmocka_unit_test(test_verify_other_keys_situations),
                cmocka_unit_test(test_report_keys_show_the_policy_object),
                cmocka_unit_test(test_verify_required_mask_is_an_option),
                cmocka_unit_test(test_verify_aik_certificate_situations),
                cmocka_unit_test(test_secure_boot_measured_on_real_logs),
        };
        return cmocka_run_group_tests(tests, make_keys, NULL);
}
