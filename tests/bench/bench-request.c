/* How fast an attestation request with a large log is built and read to its end, compared with the least that must be done with such a log, in the
 * same run: OpenSSL's base64 over memory, three times, one layer over the other, and one SHA-256 of what the JWS signs.
 *
 * bench-request [MEGABYTES]   prints both times and their ratio; fails where the ratio is beyond RATIO_MAX, which no noise explains. */
#include "tests/support/synthetic.h"

#include <time.h>

#include "maa/attest_tpm.h"

#define RATIO_MAX 4.0
#define ROUNDS 3

static double now_sec(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double) now.tv_sec + (double) now.tv_nsec * 1e-9;
}

static void read_to_end(Source *source) {
        static uint8_t chunk[65536];   /* what curl reads at a time */
        uint64_t total = 0;
        size_t n;
        do {
                assert_ok(source_read(source, chunk, sizeof(chunk), &n));
                total += n;
        } while (n > 0);
        assert_int_equal(total, source_size(source));
}

static double measure_request(EVP_PKEY *aik, EVP_PKEY *request_key, uint64_t log_size) {
        _cleanup_(evidence_freep) Evidence *evidence = synthetic_evidence(aik, log_size, 0, false);
        _cleanup_attest_tpm_challenge_ AttestTpmChallenge challenge = {};
        _cleanup_free_ char *jwk = NULL;
        synthetic_bytes(MAA_CHALLENGE_SIZE, 1, &challenge.challenge);
        assert_ok(string_copy("abcd", &challenge.service_context));
        assert_ok(jwk_public_text(request_key, &jwk));
        const AttestTpmRequest parts = { .challenge = &challenge, .evidence = evidence, .jwk_text = jwk, .request_key = request_key };
        double best = 1e9;
        for (unsigned i = 0; i < ROUNDS; i++) {
                _cleanup_http_request_ HttpRequest request = {};
                double begin = now_sec();
                assert_ok(attest_tpm_request("https://h", "2020-10-01", &parts, &request));
                read_to_end(request.body);
                best = MIN_OF(best, now_sec() - begin);
        }
        return best;
}

static Bytes encode(const Bytes *input) {
        Bytes output = {};
        assert_ok(bytes_alloc((input->size + 2) / 3 * 4, &output));
        assert_int_equal(EVP_EncodeBlock(output.data, input->data, (int) input->size), output.size);
        return output;
}

static double measure_plain(uint64_t log_size) {
        _cleanup_bytes_ Bytes log = {};
        double best = 1e9;
        synthetic_bytes((size_t) log_size, 0, &log);
        for (unsigned i = 0; i < ROUNDS; i++) {
                uint8_t digest[32];
                double begin = now_sec();
                _cleanup_bytes_ Bytes first = encode(&log), second = encode(&first), third = encode(&second);
                assert_true(third.size > second.size);
                assert_int_equal(EVP_Digest(second.data, second.size, digest, NULL, EVP_sha256(), NULL), 1);
                best = MIN_OF(best, now_sec() - begin);
        }
        return best;
}

int main(int argc, char **argv) {
        unsigned long megabytes = argc > 1 ? strtoul(argv[1], NULL, 10) : 20;
        EVP_PKEY *aik = EVP_RSA_gen(2048), *request_key = EVP_RSA_gen(2048);
        if (megabytes == 0 || megabytes > 256 || !aik || !request_key) {
                fputs("bench-request [MEGABYTES, 1 to 256]\n", stderr);
                return 2;
        }
        double request = measure_request(aik, request_key, megabytes << 20), plain = measure_plain(megabytes << 20), ratio = request / plain;
        EVP_PKEY_free(aik);
        EVP_PKEY_free(request_key);
        printf("a log of %lu MiB: request built, signed and read in %.3f s (%.0f MiB/s); plain base64 three times and SHA-256 %.3f s; ratio %.2f\n",
               megabytes, request, (double) megabytes / request, plain, ratio);
        return ratio > RATIO_MAX;
}
