/* What clients send to the local instance. The first byte of the input selects the parser:
 *
 *     b  the body of attest/Tpm        m  the JWS of message 3        p  the payload of that JWS, whose signature nobody can fuzz
 *     c  a service context             f  a list of faults                e  the context of an enrolment
 *     j  a policy, a reset or a change of the policy signers, as a JWS
 *     q  the body of attest/SgxEnclave                                r  of attest/OpenEnclave
 *     k  an endorsement key and its certificate: u16 size, TPMT_PUBLIC, certificate */
#include "base/reader.h"
#include "instance/context.h"
#include "instance/enclave-request.h"
#include "instance/fault.h"
#include "instance/message.h"
#include "instance/policy-jws.h"
#include "instance/policy-store.h"
#include "instance/verify.h"
#include "tcg/credential.h"
#include "tcg/ek-certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_body(Span input) {
        _cleanup_message_ Message message = {};
        err_free(message_open(input, &message));
}

static void fuzz_jws(Span input) {
        _cleanup_free_ char *text = NULL;
        _cleanup_(attest_request_freep) AttestRequest *request = NULL;
        Err *error = string_copy_span(input, &text);
        err_free(error ? error : attest_request_open(text, &request));
}

/* What parses goes through the verifier too. */
static void fuzz_payload(Span input) {
        _cleanup_bytes_ Bytes payload = {};
        _cleanup_(attest_request_freep) AttestRequest *request = NULL;
        _cleanup_verdict_ Verdict verdict = {};
        VerifyRules rules = { .required_pcrs = PCR_MASK_ALL, .now_sec = 1700000000 };
        Err *error = bytes_copy(input, &payload);
        if (!error)
                error = attest_request_parse(&payload, &request);
        if (!error)
                error = verify_request(request, bytes_span(&request->challenge), &rules, &verdict);
        err_free(error);
}

/* A key that is good gets a credential. */
static void fuzz_endorsement(Span input) {
        static const uint8_t name[34], secret[32];
        _cleanup_ek_certificate_ EkCertificate certificate = {};
        _cleanup_bytes_ Bytes object = {}, encrypted = {};
        Reader reader = reader_make(input);
        Span key = reader_tpm2b(&reader, "key");
        err_free(credential_make(key, SPAN_OF(name), SPAN_OF(secret), &object, &encrypted));
        Err *error = ek_certificate_parse(reader_rest(&reader), &certificate);
        if (!error) {
                err_free(ek_certificate_match(&certificate, key));
                err_free(ek_certificate_check_usage(&certificate));
                err_free(ek_certificate_check_dates(&certificate, 1700000000));
                error = ek_certificate_check_issuer(&certificate, certificate.chain, 1700000000);
        }
        err_free(error);
}

static void fuzz_context(Span input, bool of_enrolment) {
        static const uint8_t key[CONTEXT_KEY_SIZE];
        static ContextKeeper *keeper;
        _cleanup_free_ char *text = NULL;
        _cleanup_bytes_ Bytes challenge = {};
        Err *error = keeper ? NULL : context_keeper_new(SPAN_OF(key), &keeper);
        if (!error)
                error = string_copy_span(input, &text);
        if (!error)
                error = of_enrolment ? context_unseal(keeper, text, 0, &challenge) : context_redeem(keeper, text, 0, &challenge);
        err_free(error);
}

static void fuzz_policy_jws(Span input) {
        _cleanup_policy_jws_ PolicyJws jws = {};
        _cleanup_stored_policy_ StoredPolicy policy = {};
        _cleanup_(x509_freep) X509 *certificate = NULL;
        Err *error = policy_jws_open(input, &jws);
        if (!error) {
                err_free(policy_jws_get_certificate(&jws, &certificate));
                error = stored_policy_from_jws(&jws, &policy);
        }
        err_free(error);
}

static void fuzz_enclave_request(Span input, bool is_open_enclave) {
        _cleanup_enclave_request_ EnclaveRequest request = {};
        err_free(enclave_request_parse(input, is_open_enclave, &request));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size == 0)
                return 0;
        Span input = span_make(data + 1, size - 1);
        Faults faults = {};
        switch (data[0]) {
        case 'b':
                fuzz_body(input);
                break;
        case 'm':
                fuzz_jws(input);
                break;
        case 'p':
                fuzz_payload(input);
                break;
        case 'c':
                fuzz_context(input, false);
                break;
        case 'e':
                fuzz_context(input, true);
                break;
        case 'j':
                fuzz_policy_jws(input);
                break;
        case 'q':
        case 'r':
                fuzz_enclave_request(input, data[0] == 'r');
                break;
        case 'k':
                fuzz_endorsement(input);
                break;
        case 'f':
                err_free(faults_replace(&faults, input));
                break;
        }
        return 0;
}
