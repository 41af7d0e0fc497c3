/* Attests an Azure VM to an instance that need not know it, from files that tpm2-tools have made, and prints the token. The answer is opened by tpm2_rsadecrypt.
 *
 *     cc azure-guest.c $(pkg-config --cflags --libs libattest) -o azure-guest
 *     azure-guest URL CA-FILE DIRECTORY PAYLOAD
 *
 * DIRECTORY has: aik.pub (TPMT_PUBLIC), aik.der, quote, quote.sig (TPMT_SIGNATURE), key.pub, certify, certify.sig, boot.log, pcrs (8 times 32 bytes: PCRs 0-7), and a
 * program "decrypt" that reads the ciphertext from the file it is given and writes the plaintext to the other. */
#include <attest/attest.h>
#include <stdio.h>
#include <stdlib.h>

static const char *directory;

typedef struct File {
        unsigned char data[65536];
        size_t size;
} File;

static const char *path_of(const char *name) {
        static char path[4096];
        snprintf(path, sizeof(path), "%s/%s", directory, name);
        return path;
}

static File *read_file(const char *name, File *ret) {
        FILE *file = fopen(path_of(name), "rb");
        ret->size = file ? fread(ret->data, 1, sizeof(ret->data), file) : 0;
        if (file)
                fclose(file);
        return ret;
}

/* A program of one's own would call its TPM library here. */
static AttestError *decrypt(void *userdata, const void *ciphertext, size_t size, void *plaintext, size_t *plaintext_size) {
        char command[16384];
        static File answer;
        FILE *file = fopen(path_of("encrypted"), "wb");
        (void) userdata;
        if (!file)
                return attest_error_new("TpmCommandFailed", "the ciphertext cannot be written");
        fwrite(ciphertext, 1, size, file);
        fclose(file);
        snprintf(command, sizeof(command), "%s/decrypt %s/encrypted %s/plaintext", directory, directory, directory);
        if (system(command) != 0) /* lint: a caller of the library, not the library */
                return attest_error_new("TpmCommandFailed", "the TPM does not decrypt it");
        read_file("plaintext", &answer);
        if (answer.size > *plaintext_size)
                return attest_error_new("TpmCommandFailed", "the plaintext is too large");
        for (size_t i = 0; i < answer.size; i++)
                ((unsigned char *) plaintext)[i] = answer.data[i];
        *plaintext_size = answer.size;
        return NULL;
}

static AttestError *fill(AttestAzureGuest *guest, const char *payload) {
        static File a, b, c;
        read_file("aik.pub", &a);
        read_file("aik.der", &b);
        AttestError *error = attest_azure_guest_set_aik(guest, a.data, a.size, b.data, b.size);
        read_file("quote", &a);
        read_file("quote.sig", &b);
        if (!error)
                error = attest_azure_guest_set_quote(guest, a.data, a.size, b.data, b.size);
        read_file("pcrs", &a);
        for (unsigned i = 0; i < 8 && !error; i++)
                error = attest_azure_guest_set_pcr(guest, i, a.data + 32 * i);
        read_file("key.pub", &a);
        read_file("certify", &b);
        read_file("certify.sig", &c);
        if (!error)
                error = attest_azure_guest_set_encryption_key(guest, a.data, a.size, b.data, b.size, c.data, c.size);
        read_file("boot.log", &a);
        if (!error)
                error = attest_azure_guest_set_boot_log(guest, a.data, a.size);
        if (!error)
                error = attest_azure_guest_set_system(guest, "debian", "6.1", 12, 0);
        return error ? error : attest_azure_guest_add_payload(guest, "nonce", payload);
}

static AttestError *run(AttestClient *client, const char *payload) {
        AttestAzureGuest *guest = NULL;
        AttestAzureGuestResult *result = NULL;
        bool secure_boot = false;
        AttestError *error = attest_azure_guest_new(&guest);
        if (!error)
                error = fill(guest, payload);
        if (!error)
                error = attest_client_attest_azure_guest(client, guest, decrypt, /* userdata= */ NULL, &result);
        if (!error && attest_azure_guest_result_get_secure_boot(result, &secure_boot))
                fprintf(stderr, "Secure Boot: %s\n", secure_boot ? "on" : "off");
        if (!error)
                printf("%s\n", attest_token_get_text(attest_azure_guest_result_get_token(result)));
        attest_azure_guest_result_free(result);
        attest_azure_guest_free(guest);
        return error;
}

int main(int argc, char **argv) {
        AttestClient *client = NULL;
        if (argc != 5) {
                fprintf(stderr, "usage: %s URL CA-FILE DIRECTORY PAYLOAD\n", argv[0]);
                return 2;
        }
        directory = argv[3];
        AttestError *error = attest_client_new(argv[1], &client);
        if (!error)
                error = attest_client_set_ca_file(client, argv[2]);
        if (!error)
                error = run(client, argv[4]);
        if (error)
                fprintf(stderr, "%s: %s (%s)\n", argv[0], attest_error_describe(error), attest_error_get_name(error));
        int status = error ? 1 : 0;
        attest_error_free(error);
        attest_client_free(client);
        return status;
}
