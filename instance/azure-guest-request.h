/* The body of POST /attest/AzureGuest, taken apart; nothing in it is believed yet. lib/maa/azure-guest.h draws it. */
#pragma once

#include "jose/jwk.h"
#include "maa/azure-guest.h"

typedef struct GuestBody {
        Json *json;                          /* what was in AttestationInfo */
        Bytes aik_certificate, aik_public;   /* DER; TPMT_PUBLIC */
        Bytes quote, quote_signature;        /* TPMS_ATTEST; TPMT_SIGNATURE, made of the RSA value that was sent */
        Bytes key_public;                    /* TPMT_PUBLIC */
        Bytes key_certification, key_signature;
        PcrValues pcrs;                      /* of the SHA-256 bank */
        Bytes boot_log;
        char *os_type, *os_distro, *os_build;
        int64_t os_major, os_minor;
        const Json *payload;                 /* object; NULL: none; borrowed from json */
        MaaIsolation isolation;
        Bytes proof, runtime_data;           /* empty with trusted launch */
} GuestBody;
void guest_body_done(GuestBody *body);
#define _cleanup_guest_body_ _cleanup_(guest_body_done)
/* Errors: JSON_*, EVIDENCE_MALFORMED with the member. */
Err *guest_body_parse(Span text, GuestBody *ret) _must_check_;
