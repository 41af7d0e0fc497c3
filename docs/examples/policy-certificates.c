/* On an isolated instance: sets a policy in the name of somebody who may, lets somebody else do so too, and takes that back.
 *
 *     cc policy-certificates.c $(pkg-config --cflags --libs libattest) -o policy-certificates
 *     policy-certificates URL CA-FILE POLICY-TEXT KEY-FILE CERTIFICATE-FILE OTHER-CERTIFICATE-FILE */
#include <attest/attest.h>
#include <stdio.h>

static char key[16384], certificate[16384], other[16384];

static void read_text(char text[16384], const char *path) {
        FILE *file = fopen(path, "rb");
        size_t size = file ? fread(text, 1, 16383, file) : 0;
        if (file)
                fclose(file);
        text[size] = 0;
}

static AttestError *show(AttestClient *client) {
        AttestSigners *signers = NULL;
        AttestError *error = attest_client_get_policy_certificates(client, &signers);
        if (error)
                return error;
        printf("certificates %zu\n", attest_signers_count(signers));
        for (size_t i = 0; i < attest_signers_count(signers); i++)
                printf("%s", attest_signers_get_certificates(signers, i));
        attest_signers_free(signers);
        return NULL;
}

static AttestError *set_policy(AttestClient *client, const char *text, const AttestPolicySigner *signer) {
        AttestPolicyChange *change = NULL;
        AttestPolicy *policy = NULL;
        AttestError *error = attest_client_set_policy(client, ATTEST_POLICY_TPM, text, signer, &change);
        if (!error)
                error = attest_client_get_policy(client, ATTEST_POLICY_TPM, &policy);
        if (!error)
                printf("%s, signed by\n%sverified %s\n", attest_policy_change_get_result(change), attest_policy_change_get_signer(change),
                       attest_policy_is_verified(policy) ? "yes" : "no");
        attest_policy_free(policy);
        attest_policy_change_free(change);
        return error;
}

static AttestError *change(AttestClient *client, const AttestPolicySigner *signer,
                           AttestError *(*call)(AttestClient *, const char *, const AttestPolicySigner *, AttestCertificateChange **)) {
        AttestCertificateChange *done = NULL;
        AttestError *error = call(client, other, signer, &done);
        if (error)
                return error;
        printf("%s %s\n", attest_certificate_change_get_thumbprint(done), attest_certificate_change_get_result(done));
        attest_certificate_change_free(done);
        return show(client);
}

static AttestError *run(AttestClient *client, const char *text) {
        AttestPolicySigner *signer = NULL;
        AttestError *error = attest_policy_signer_new(key, certificate, &signer);
        if (!error)
                error = set_policy(client, text, signer);
        if (!error)
                error = change(client, signer, attest_client_add_policy_certificate);
        if (!error)
                error = change(client, signer, attest_client_remove_policy_certificate);
        if (!error)
                error = attest_client_reset_policy(client, ATTEST_POLICY_TPM, signer, /* ret= */ NULL);
        attest_policy_signer_free(signer);
        return error;
}

int main(int argc, char **argv) {
        AttestClient *client = NULL;
        if (argc != 7) {
                fprintf(stderr, "usage: %s URL CA-FILE POLICY-TEXT KEY-FILE CERTIFICATE-FILE OTHER-CERTIFICATE-FILE\n", argv[0]);
                return 2;
        }
        read_text(key, argv[4]);
        read_text(certificate, argv[5]);
        read_text(other, argv[6]);
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
