/* Attests an SGX enclave by its quote, and by the data that the quote vouches for, and prints who it is.
 *
 *     cc enclave.c $(pkg-config --cflags --libs libattest) -o enclave
 *     enclave URL CA-FILE QUOTE-FILE [RUNTIME-DATA-FILE] */
#include <attest/attest.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned char buffer[65536];

static size_t read_file(const char *path) {
        FILE *file = fopen(path, "rb");
        size_t size = file ? fread(buffer, 1, sizeof(buffer), file) : 0;
        if (file)
                fclose(file);
        return size;
}

static void print(const AttestEnclaveResult *result) {
        const char *held = attest_enclave_result_get_held_data(result);
        bool debuggable = false;
        int64_t svn = 0;
        printf("MRENCLAVE %s\nMRSIGNER  %s\n", attest_enclave_result_get_mrenclave(result), attest_enclave_result_get_mrsigner(result));
        if (attest_enclave_result_get_svn(result, &svn))
                printf("SVN       %lld\n", (long long) svn);
        if (attest_enclave_result_get_debuggable(result, &debuggable))
                printf("debug     %s\n", debuggable ? "yes" : "no");
        printf("held      %s\n", held ? held : "-");
        printf("%s\n", attest_token_get_text(attest_enclave_result_get_token(result)));
}

static AttestError *run(AttestClient *client, const char *quote, const char *runtime_data) {
        AttestEnclave *enclave = NULL;
        AttestEnclaveResult *result = NULL;
        AttestError *error = attest_enclave_new_sgx(buffer, read_file(quote), &enclave);
        if (!error)
                error = attest_enclave_set_nonce(enclave, "a nonce of the relying party");
        if (!error && runtime_data)
                error = attest_enclave_set_runtime_data(enclave, buffer, read_file(runtime_data), /* is_json= */ false);
        if (!error)
                error = attest_client_attest_enclave(client, enclave, &result);
        if (!error)
                print(result);
        attest_enclave_result_free(result);
        attest_enclave_free(enclave);
        return error;
}

int main(int argc, char **argv) {
        AttestClient *client = NULL;
        if (argc < 4) {
                fprintf(stderr, "usage: %s URL CA-FILE QUOTE-FILE [RUNTIME-DATA-FILE]\n", argv[0]);
                return 2;
        }
        AttestError *error = attest_client_new(argv[1], &client);
        if (!error)
                error = attest_client_set_ca_file(client, argv[2]);
        if (!error)
                error = run(client, argv[3], argc > 4 ? argv[4] : NULL);
        if (error)
                fprintf(stderr, "%s: %s (%s)\n", argv[0], attest_error_describe(error), attest_error_get_name(error));
        int status = error ? 1 : 0;
        attest_error_free(error);
        attest_client_free(client);
        return status;
}
