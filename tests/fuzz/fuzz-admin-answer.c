/* Answers of attestation and administration, and claims of tokens that were believed. The first byte of the input selects the parser:
 *
 *     t  answer with a token     d  answer of AttestTpm in one message     e  claims about an enclave     p  about a policy     u  about its change
 *     c  about certificates */
#include <string.h>

#include "maa/enclave.h"
#include "maa/policy-certs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds) {
        if (!holds)
                abort();
}

/* Every refusal is one of these two. */
static void consume(Err *err) {
        demand(!err || err_code(err) == ERR_SERVICE_ANSWER_INVALID || err_code(err) == ERR_TOKEN_CLAIM_INVALID);
        (void) err_describe(err);
        err_free(err);
}

static void fuzz_policy(const Json *claims) {
        _cleanup_maa_policy_ MaaPolicy policy = {};
        Err *err = maa_policy_from_claims(claims, &policy);
        demand(err || (policy.token && (!policy.is_verified || (policy.is_signed && policy.certificates))));
        consume(err);
}

static void fuzz_claims(uint8_t kind, const Json *claims) {
        _cleanup_(jwk_set_freep) JwkSet *set = NULL;
        _cleanup_free_ char *signer = NULL;
        MaaEnclaveClaims enclave;
        switch (kind) {
        case 'e':
                consume(maa_enclave_claims(claims, &enclave));
                break;
        case 'p':
                fuzz_policy(claims);
                break;
        case 'u':
                consume(maa_policy_check_change(claims, MAA_POLICY_UPDATED, "eyJhbGciOiJub25lIn0..", &signer));
                break;
        case 'c':
                consume(maa_policy_certs_from_claims(claims, &set));
                break;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *token = NULL;
        _cleanup_bytes_ Bytes message = {};
        _cleanup_json_ Json *claims = NULL;
        if (size < 1)
                return 0;
        Span input = span_make(data + 1, size - 1);
        if (data[0] == 't') {
                consume(maa_token_answer_parse(input, &token));
                return 0;
        }
        if (data[0] == 'd') {
                consume(maa_tpm_message_parse(input, &message));
                return 0;
        }
        Err *err = json_parse(input, "claims", &claims);
        if (err)
                err_free(err);
        else
                fuzz_claims(data[0], claims);
        return 0;
}
