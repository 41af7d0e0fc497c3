/* Judges a token of an instance by rules of one's own, and prints who issued it until when, who signed, and its claims.
 *
 *     cc validate-token.c $(pkg-config --cflags --libs libattest) -o validate-token
 *     validate-token URL CA-FILE [CLAIM=VALUE...] < TOKEN */
#include <attest/attest.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The last word: called with a token that every other rule lets pass. */
static AttestError *look(void *userdata, const AttestToken *token) {
        (void) userdata;
        char *logs = NULL;
        AttestError *error = attest_token_get_claim(token, "bootLogPresent", &logs);
        if (!error && (!logs || strcmp(logs, "true") != 0))
                error = attest_error_new("TokenClaimRequired", "this program takes tokens about machines with a boot log alone");
        free(logs);
        return error;
}

static AttestError *set_up(AttestClient *client, const char *ca_file, int n_claims, char **claims) {
        AttestRules *rules = attest_client_get_rules(client);
        AttestError *error = attest_client_set_ca_file(client, ca_file);
        attest_rules_set_callback(rules, look, NULL);
        for (int i = 0; !error && i < n_claims; i++) {
                char *value = strchr(claims[i], '=');
                if (!value)
                        return attest_error_new("InvalidArgument", "a claim is NAME=VALUE");
                *value = 0;
                error = attest_rules_require_claim(rules, claims[i], value + 1);
        }
        return error;
}

int main(int argc, char **argv) {
        static char text[1 << 20];
        AttestClient *client = NULL;
        AttestToken *token = NULL;
        if (argc < 3) {
                fprintf(stderr, "usage: %s URL CA-FILE [CLAIM=VALUE...] < TOKEN\n", argv[0]);
                return 2;
        }
        text[fread(text, 1, sizeof(text) - 1, stdin)] = 0;
        AttestError *error = attest_client_new(argv[1], &client);
        if (!error)
                error = set_up(client, argv[2], argc - 3, argv + 3);
        if (!error)
                error = attest_client_validate_token(client, text, &token);
        if (error)
                fprintf(stderr, "%s: %s (%s)\n", argv[0], attest_error_describe(error), attest_error_get_name(error));
        else
                printf("issuer  %s\nexpires %llu\n%s%s\n", attest_token_get_issuer(token), (unsigned long long) attest_token_get_expires_sec(token),
                       attest_token_get_signer(token), attest_token_get_claims(token));
        int status = error ? 1 : 0;
        attest_error_free(error);
        attest_token_free(token);
        attest_client_free(client);
        return status;
}
