/* Asks an instance that wants to know who asks: the client gets an access token for a client secret from the token authority when it first needs one, and uses it
 * again for the second question.
 *
 *     cc credential.c $(pkg-config --cflags --libs libattest) -o credential
 *     credential URL CA-FILE AUTHORITY TENANT CLIENT-ID SECRET-FILE */
#include <attest/attest.h>
#include <stdio.h>

static AttestError *ask(AttestClient *client, AttestPolicyType type) {
        AttestPolicy *policy = NULL;
        AttestError *error = attest_client_get_policy(client, type, &policy);
        attest_policy_free(policy);
        return error;
}

static AttestError *run(AttestClient *client, char **argv, AttestCredential **credential) {
        AttestError *error = attest_credential_new_client_secret(argv[4], argv[5], argv[6], credential);
        if (!error)
                error = attest_credential_set_authority(*credential, argv[3]);
        if (!error)
                error = attest_client_set_credential(client, *credential);
        if (!error)
                error = ask(client, ATTEST_POLICY_TPM);
        return error ? error : ask(client, ATTEST_POLICY_SGX_ENCLAVE);
}

int main(int argc, char **argv) {
        AttestClient *client = NULL;
        AttestCredential *credential = NULL;
        if (argc != 7) {
                fprintf(stderr, "usage: %s URL CA-FILE AUTHORITY TENANT CLIENT-ID SECRET-FILE\n", argv[0]);
                return 2;
        }
        AttestError *error = attest_client_new(argv[1], &client);
        if (!error)
                error = attest_client_set_ca_file(client, argv[2]);
        if (!error)
                error = run(client, argv, &credential);
        if (error)
                fprintf(stderr, "%s: %s (%s)\n", argv[0], attest_error_describe(error), attest_error_get_name(error));
        else
                puts("authorized");
        int status = error ? 1 : 0;
        attest_error_free(error);
        attest_client_free(client);
        attest_credential_free(credential); /* outlives the client that asks with it */
        return status;
}
