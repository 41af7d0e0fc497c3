/* Sends one message of AttestTpm, and prints the service's: for who holds the conversation by himself. Without a message of his own it asks for a challenge.
 *
 *     cc tpm-message.c $(pkg-config --cflags --libs libattest) -o tpm-message
 *     tpm-message URL CA-FILE [MESSAGE] */
#include <attest/attest.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static AttestError *run(AttestClient *client, const char *message) {
        void *answer = NULL;
        size_t size = 0;
        attest_client_set_retry(client, 1, 0);       /* a challenge is good for one answer */
        AttestError *error = attest_client_attest_tpm(client, message, strlen(message), &answer, &size);
        if (!error)
                printf("%.*s\n", (int) size, (const char *) answer);
        free(answer);
        return error;
}

int main(int argc, char **argv) {
        AttestClient *client = NULL;
        if (argc < 3) {
                fprintf(stderr, "usage: %s URL CA-FILE [MESSAGE]\n", argv[0]);
                return 2;
        }
        AttestError *error = attest_client_new(argv[1], &client);
        if (!error)
                error = attest_client_set_ca_file(client, argv[2]);
        if (!error)
                error = run(client, argc > 3 ? argv[3] : "{\"payload\":{\"type\":\"aikcert\"}}");
        if (error)
                fprintf(stderr, "%s: %s (%s)\n", argv[0], attest_error_describe(error), attest_error_get_name(error));
        int status = error ? 1 : 0;
        attest_error_free(error);
        attest_client_free(client);
        return status;
}
