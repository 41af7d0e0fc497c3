/* A made-up Evidence for tests of messages: a real RSA key in a TPMT_PUBLIC, and bytes of known pattern everywhere else. Nothing in it would
 * pass a verifier; it is for tests that take a request apart again. */
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/rsa.h>

#include "tests/support/unit.h"

#include "base/writer.h"
#include "tcg/evidence.h"
#include "tcg/quote.h"

/* TPM 2.0 Part 2 §12.2.4: an RSA-2048 signing key, RSASSA with SHA-256. */
static inline void synthetic_tpmt_public(EVP_PKEY *key, Bytes *ret) {
        _cleanup_writer_ Writer out = {};
        uint8_t modulus[256];
        BIGNUM *n = NULL;
        assert_int_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n), 1);
        assert_int_equal(BN_bn2binpad(n, modulus, sizeof(modulus)), sizeof(modulus));
        BN_free(n);
        writer_u16be(&out, TPM_ALG_RSA);
        writer_u16be(&out, HASH_SHA256);
        writer_u32be(&out, TPM_OBJECT_FIXEDTPM | TPM_OBJECT_FIXEDPARENT | TPM_OBJECT_SENSITIVEDATAORIGIN | TPM_OBJECT_USERWITHAUTH |
                                   TPM_OBJECT_RESTRICTED | TPM_OBJECT_SIGN);
        writer_tpm2b(&out, (Span) {});
        writer_u16be(&out, TPM_ALG_NULL);
        writer_u16be(&out, TPM_ALG_RSASSA);
        writer_u16be(&out, HASH_SHA256);
        writer_u16be(&out, 2048);
        writer_u32be(&out, 0);
        writer_tpm2b(&out, SPAN_OF(modulus));
        assert_ok(writer_finish(&out, ret));
}

static inline uint8_t synthetic_byte(uint64_t i) {
        return (uint8_t) (i * 151 + (i >> 8) * 7);
}

/* A file without a name of size bytes synthetic_byte(0..); if sparse, of zeroes that take no room. */
static inline int synthetic_file(uint64_t size, bool sparse) {
        int fd = open(P_tmpdir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, (off_t) size), 0);
        uint8_t chunk[4096];
        for (uint64_t at = 0; !sparse && at < size; at += sizeof(chunk)) {
                size_t n = (size_t) MIN_OF((uint64_t) sizeof(chunk), size - at);
                for (size_t i = 0; i < n; i++)
                        chunk[i] = synthetic_byte(at + i);
                assert_int_equal(pwrite(fd, chunk, n, (off_t) at), n);
        }
        return fd;
}

static inline void synthetic_bytes(size_t size, uint8_t first, Bytes *ret) {
        assert_ok(bytes_alloc(size, ret));
        for (size_t i = 0; i < size; i++)
                ret->data[i] = (uint8_t) (first + i);
}

static inline void synthetic_bank(PcrBank *bank, uint16_t alg, uint32_t mask) {
        *bank = (PcrBank) { .alg = alg, .mask = mask };
        for (unsigned i = 0; i < PCR_COUNT; i++) {
                if (!(mask & UINT32_C(1) << i))
                        continue;
                bank->values[i] = digest_zero(alg);
                memset(bank->values[i].bytes, (int) (alg + i), bank->values[i].size);
        }
}

/* Two banks, sha256 before sha1; a TCG log of tcg_size bytes and, if not 0, an IMA log of ima_size. */
static inline Evidence *synthetic_evidence(EVP_PKEY *aik, uint64_t tcg_size, uint64_t ima_size, bool sparse) {
        Evidence *evidence = calloc(1, sizeof(Evidence));
        assert_non_null(evidence);
        synthetic_bytes(145, 0xff, &evidence->quote);
        synthetic_bytes(262, 0x14, &evidence->signature);
        synthetic_tpmt_public(aik, &evidence->aik_public);
        evidence->pcrs.n_banks = 2;
        synthetic_bank(&evidence->pcrs.banks[0], HASH_SHA256, 0x000481);
        synthetic_bank(&evidence->pcrs.banks[1], HASH_SHA1, 0x800001);
        evidence->logs[evidence->n_logs++] = (EvidenceLog) { EVIDENCE_LOG_TCG, synthetic_file(tcg_size, sparse), tcg_size };
        if (ima_size > 0)
                evidence->logs[evidence->n_logs++] = (EvidenceLog) { EVIDENCE_LOG_IMA, synthetic_file(ima_size, sparse), ima_size };
        return evidence;
}
