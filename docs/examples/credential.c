/* Asks the token authority for an access token with a client secret, and again, which the token at hand answers.
 *
 *     cc credential.c $(pkg-config --cflags --libs libattest) -o credential
 *     credential URL CA-FILE AUTHORITY TENANT CLIENT-ID SECRET-FILE */
#include <attest/attest.h>
#include <stdio.h>

static AttestError *authorize(AttestClient *client, char **argv) {
        AttestCredential *credential = NULL;
        AttestError *error = attest_credential_new_client_secret(argv[4], argv[5], argv[6], &credential);
        if (!error)
                error = attest_credential_set_authority(credential, argv[3]);
        for (int i = 0; !error && i < 2; i++)
                error = attest_credential_authorize(credential, client);        /* before each call that needs it */
        attest_credential_free(credential);
        return error;
}

int main(int argc, char **argv) {
        AttestClient *client = NULL;
        if (argc != 7) {
                fprintf(stderr, "usage: %s URL CA-FILE AUTHORITY TENANT CLIENT-ID SECRET-FILE\n", argv[0]);
                return 2;
        }
        AttestError *error = attest_client_new(argv[1], &client);
        if (!error)
                error = attest_client_set_ca_file(client, argv[2]);
        if (!error)
                error = authorize(client, argv);
        if (error)
                fprintf(stderr, "%s: %s (%s)\n", argv[0], attest_error_describe(error), attest_error_get_name(error));
        else
                puts("authorized");
        int status = error ? 1 : 0;
        attest_error_free(error);
        attest_client_free(client);
        return status;
}
