/* An evidence bundle: what one collection yielded, in one JSON file that can be verified anywhere and at any time. docs/evidence-bundle.md has the format.
 *
 * The members that a verifier needs are read into Bundle; the others (the TPM's description, the states, the configuration) are for people. */
#pragma once

#include "base/json.h"
#include "tcg/evidence.h"

#define BUNDLE_FORMAT "attestd-evidence"
#define BUNDLE_VERSION 1
#define BUNDLE_SIZE_MAX (UINT64_C(768) << 20)   /* an IMA list of IMA_SIZE_MAX in base64url, and then some */

typedef struct BundleLog {
        EvidenceLogType type;
        Bytes bytes;
} BundleLog;

typedef struct Bundle {
        uint64_t created_sec;
        Bytes qualifying_data;
        Bytes quote, signature;             /* TPMS_ATTEST, TPMT_SIGNATURE */
        Bytes aik_public, aik_name;         /* TPMT_PUBLIC, name */
        Bytes aik_certificate;              /* DER; empty if there is none */
        PcrValues pcrs;
        BundleLog logs[EVIDENCE_LOGS_MAX];
        size_t n_logs;
        struct Bundle *boot;                /* from before a hibernation: quote, signature, aik_public, aik_certificate, pcrs, logs; NULL if there is none */
} Bundle;
Bundle *bundle_free(Bundle *bundle);
DEFINE_CLEANUP(Bundle, bundle_free)

/* What goes into a bundle; all of it is borrowed. */
typedef struct BundleParts {
        uint64_t created_sec;               /* realtime */
        const char *program_version;
        Span qualifying_data;
        const Evidence *evidence;
        const Json *tpm;                    /* object; what the collector says of the TPM */
        const Json *configuration;          /* object of sections; secrets are the caller's to leave out */
} BundleParts;
/* The text of the file. Errors: IO for the logs, LIMIT_EXCEEDED. */
Err *bundle_write(const BundleParts *parts, Bytes *ret) _must_check_;

/* Nothing in it is believed yet but that each log is whole: it has the SHA-256 that stands beside it. Errors: JSON_*, BASE64_INVALID, EVIDENCE_MALFORMED naming
 * the member, NOT_SUPPORTED for another version. */
Err *bundle_parse(Span text, Bundle **ret) _must_check_;
/* The log of a type; NULL if there is none. */
const Bytes *bundle_log(const Bundle *bundle, EvidenceLogType type);
