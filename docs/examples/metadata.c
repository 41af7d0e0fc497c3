/* Prints what an instance publishes of itself: its OpenID metadata, and the keys that it signs tokens with.
 *
 *     cc metadata.c $(pkg-config --cflags --libs libattest) -o metadata
 *     metadata URL CA-FILE */
#include <attest/attest.h>
#include <stdio.h>

static void print_list(const char *what, const char *const *list) {
        printf("%s", what);
        for (; *list; list++)
                printf(" %s", *list);
        printf("\n");
}

static AttestError *print_metadata(AttestClient *client) {
        AttestMetadata *metadata = NULL;
        AttestError *error = attest_client_get_openid_metadata(client, &metadata);
        if (error)
                return error;
        printf("%s\nissuer %s\nkeys %s\n", attest_metadata_get_json(metadata), attest_metadata_get_issuer(metadata), attest_metadata_get_keys_url(metadata));
        print_list("algorithms", attest_metadata_get_algorithms(metadata));
        print_list("claims", attest_metadata_get_claims(metadata));
        attest_metadata_free(metadata);
        return NULL;
}

static AttestError *print_signers(AttestClient *client) {
        AttestSigners *signers = NULL;
        AttestError *error = attest_client_get_signing_certificates(client, &signers);
        if (error)
                return error;
        for (size_t i = 0; i < attest_signers_count(signers); i++) {
                const char *id = attest_signers_get_key_id(signers, i), *certificates = attest_signers_get_certificates(signers, i);
                printf("kid %s\n%s\n%s", id ? id : "-", attest_signers_get_key(signers, i), certificates ? certificates : "");
        }
        attest_signers_free(signers);
        return NULL;
}

int main(int argc, char **argv) {
        AttestClient *client = NULL;
        if (argc != 3) {
                fprintf(stderr, "usage: %s URL CA-FILE\n", argv[0]);
                return 2;
        }
        AttestError *error = attest_client_new(argv[1], &client);
        if (!error)
                error = attest_client_set_ca_file(client, argv[2]);
        if (!error)
                error = print_metadata(client);
        if (!error)
                error = print_signers(client);
        if (error)
                fprintf(stderr, "%s: %s (%s)\n", argv[0], attest_error_describe(error), attest_error_get_name(error));
        int status = error ? 1 : 0;
        attest_error_free(error);
        attest_client_free(client);
        return status;
}
