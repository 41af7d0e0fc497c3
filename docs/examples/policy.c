/* Sets the TPM policy of an instance, unsigned, shows what the instance has then, and brings the default back.
 *
 *     cc policy.c $(pkg-config --cflags --libs libattest) -o policy
 *     policy URL CA-FILE POLICY-TEXT */
#include <attest/attest.h>
#include <stdio.h>
#include <stdlib.h>

static AttestError *show(AttestClient *client) {
        AttestPolicy *policy = NULL;
        char *hash = NULL;
        AttestError *error = attest_client_get_policy(client, ATTEST_POLICY_TPM, &policy);
        if (error)
                return error;
        error = attest_policy_token_hash(attest_policy_get_token(policy), &hash);
        if (!error) {
                const char *text = attest_policy_get_text(policy);
                printf("%s\nsigned %s\nhash %s\n", text ? text : "(none)", attest_policy_is_signed(policy) ? "yes" : "no", hash);
        }
        free(hash);
        attest_policy_free(policy);
        return error;
}

static AttestError *run(AttestClient *client, const char *text) {
        AttestPolicyChange *change = NULL;
        char *hash = NULL;
        AttestError *error = attest_policy_hash(text, &hash);
        if (!error)
                error = attest_client_set_policy(client, ATTEST_POLICY_TPM, text, /* signer= */ NULL, &change);
        if (!error)
                printf("%s\n%s %s\ntokens will say %s\n", attest_token_get_claims(attest_policy_change_get_answer(change)), attest_policy_change_get_result(change),
                       attest_policy_change_get_token_hash(change), hash);
        free(hash);
        attest_policy_change_free(change);
        if (!error)
                error = show(client);
        if (error)
                return error;
        error = attest_client_reset_policy(client, ATTEST_POLICY_TPM, /* signer= */ NULL, /* ret= */ NULL);
        return error ? error : show(client);
}

int main(int argc, char **argv) {
        AttestClient *client = NULL;
        if (argc != 4) {
                fprintf(stderr, "usage: %s URL CA-FILE POLICY-TEXT\n", argv[0]);
                return 2;
        }
        AttestError *error = attest_client_new(argv[1], &client);
        if (!error)
                error = attest_client_set_ca_file(client, argv[2]);
        if (!error)
                error = run(client, argv[3]);
        if (error)
                fprintf(stderr, "%s: %s (%s)\n", argv[0], attest_error_describe(error), attest_error_get_name(error));
        int status = error ? 1 : 0;
        attest_error_free(error);
        attest_client_free(client);
        return status;
}
