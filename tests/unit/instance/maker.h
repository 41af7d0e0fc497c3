/* Makes attestation requests as a client with a TPM would, with soft keys: TPMS_ATTEST, TPMT_SIGNATURE, logs, PCR values and JWS are put
 * together here from the specifications, with OpenSSL for digests and signatures, so that the verifier is judged by something that is not itself.
 * One Maker is a good request; a test changes what it wants to be wrong before maker_request(). */
#pragma once

#include "tests/support/unit.h"

#include "base/json.h"
#include "base/writer.h"
#include "instance/message.h"

typedef struct Maker Maker;
struct Maker {
        EVP_PKEY *aik, *request_key;
        Bytes challenge;             /* that goes into att_data */
        Bytes quoted_challenge;      /* that goes into the quote */
        const char *service_context;

        uint32_t magic;
        uint16_t attest_type, signature_hash;
        const char *quote_digest;    /* OpenSSL's name of signature_hash */
        uint32_t quoted_mask;
        uint8_t quoted[24][32];      /* what the TPM quoted */
        uint8_t sent[24][32];        /* what the client says */
        Bytes boot_log, ima_list;    /* empty: not sent */
        Bytes aik_certificate;       /* empty: not sent */
        uint32_t reset_count, restart_count;
        const Maker *boot;           /* what of it is an attestation is boot_attestation; NULL: there is none */

        const char *jwk_format;      /* printf format with the moduli: the text that is hashed and sent */
        bool hash_other_jwk_text;    /* the quote is over the text without white space, whatever is sent */
        EVP_PKEY *quote_key, *signing_key;   /* NULL: aik, request_key */
        const char *header;          /* of the JWS */
        const char *att_type, *key_info, *extra_members;
        bool descending;
        bool quotes_challenge;       /* as with tpm_certify: the quote is over quoted_challenge alone */
        /* A VBS report for the text of report_signed; NULL: a basic request. vsm_member is "enclave" or "vm", vsm_text stands in place of vsm_report's value. */
        Bytes (*make_vsm_report)(const Maker *maker, Span signed_text);
        const char *vsm_member, *vsm_text;
};

/* Keys are made once for all tests. */
void maker_init(Maker *maker, Span challenge, const char *service_context);
void maker_done(Maker *maker);
/* The JWS of message 3. */
char *maker_request(const Maker *maker);

/* What TPM2_Certify would say about a key; every piece may be wrong. */
typedef struct MakerCertify {
        EVP_PKEY *key;               /* in the public area */
        EVP_PKEY *named_key;         /* NULL: key; whose name is certified */
        EVP_PKEY *aik;               /* signs */
        Span challenge;
        uint32_t magic;              /* 0: TPM_GENERATED_VALUE */
        uint16_t type;               /* 0: TPM_ST_ATTEST_CERTIFY */
        Span policy;                 /* authPolicy */
} MakerCertify;
/* {"tpm_certify":{…}} */
char *maker_certify_info(const MakerCertify *certify);
/* {"kty":…} of a key. */
char *maker_jwk(EVP_PKEY *key);

/* A list of n ima-ng entries, and PCR 10 of SHA-256 after them. */
Bytes maker_ima_list(unsigned n, uint8_t ret_pcr[static 32]);
/* A crypto-agile log that measures SecureBoot as value into PCR 7, and PCR 7 of SHA-256 after it. */
Bytes maker_boot_log(uint8_t value, uint8_t ret_pcr[static 32]);
