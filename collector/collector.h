/* The caller's side of the evidence collector: finding or starting it, and its answers as values.
 *
 * The collector is attestd-tpm, reached over private sd-bus (peer to peer over a unix socket):
 *   object /org/attestd1/tpm, interface org.attestd1.Tpm
 *     Ping()
 *     GetInfo() → a{sv}: manufacturer s ("IBM "→"IBM", "MSFT"), vendor s, firmware-version s, banks as (allocated, strongest first), pcr-bank s (in use, several with blanks in between),
 *         aik-public ay (TPMT_PUBLIC), aik-name ay, aik-fingerprint s (hex SHA-256 of the SubjectPublicKeyInfo), aik-certificate ay, reset-count u,
 *         restart-count u, leftovers-flushed u, aik-origin s ("0x81000003", "own", "file:/path"), aik-notice s (a sentence where something about the key or its
 *         certificate deserves attention; empty otherwise), aik-certificate-issuer s (RFC 2253; empty without a certificate), aik-certificate-expires t (microseconds
 *         since 1970; 0 without a certificate), vbs-report s (what VbsReport= says: "none", "command:/…", "file:/…", "nv:0x01…")
 *     Quote(ay qualifying_data, a{sv} options) → a{sv}: quote ay, signature ay, aik-public ay, aik-name ay, aik-certificate ay,
 *         pcrs a(qua(uay)) (bank TPM_ALG_ID, mask, [(index, digest)]) in the quote's order, verdicts a{us},
 *         logs a(sht) (protocol type "TCG"/"IMA", sealed memfd, size), boot-log-state s, boot-log-reason s, ima-log-state s, ima-log-reason s,
 *         ima-entries t, reset-count u, restart-count u, quote-retries u, and with the option certify ay (what keys are certified over, a challenge):
 *         request-key (ayayay) where RequestKey=tpm, other-keys a(ayayay) where OtherKeys= names some: TPMT_PUBLIC, TPMS_ATTEST, TPMT_SIGNATURE of the AIK,
 *         the last two empty of a key that nobody vouches for
 *         After a hibernation: boot-attestation-state s ("none", "kept", "attached", "dropped", "unusable"), boot-attestation-reason s, and where it is
 *         "attached" boot-attestation a{sv}: quote, signature, aik-public, aik-certificate, pcrs, logs, reset-count, restart-count of before, as above
 *     KeepBootAttestation(a{sv} options) → s state: to be called before hibernation. "kept": a quote without challenge is on disk now; "attached": one from
 *         before an earlier hibernation of this boot stays
 *     Sign(ay digest (SHA-256), a{sv} options) → ay signature: RSASSA-PSS with a salt of 32 bytes, by the request key of RequestKey=tpm and no other
 *     CollectGuest(a{sv} options) → a{sv}: as Quote, for guest attestation: a quote without qualifying data over PCRs 0-7 of the SHA-256 bank, whatever is
 *         configured; in logs the firmware's at most; request-key: the ephemeral key of tpm/guest-key.h, certified without qualifying data
 *     GuestDecrypt(ay ciphertext (RSAES-PKCS1-v1_5, at most 512 bytes), a{sv} options) → ay plaintext (at most 245 bytes): by that key and no other, while PCRs
 *         0-7 are as they were when it was certified, and the TPM was not reset
 *     GetVbsReport(ay user_data (64 bytes), a{sv} options) → s kind ("enclave", "vm"), ay report: from whoever VbsReport= names
 *     GetEndorsementKey(a{sv} options) → a{sv}: ek-public ay (TPMT_PUBLIC), ek-certificate ay (DER, empty if there is none), ek-origin s,
 *         ek-chain ay (DER of intermediate authorities from NV, one behind the other), ek-notice s (why NV's are left out; else empty). Option: algorithm s
 *         ("auto", "rsa", "ecc")
 *     ActivateCredential(ay TPM2B_ID_OBJECT, ay TPM2B_ENCRYPTED_SECRET, a{sv} options) → ay secret, if they are for this TPM's endorsement key and its AIK
 *     StoreAikCertificate(ay DER): checks that it is for the AIK, and keeps it for AikCertificate=auto
 *   errors: org.attestd1.Error.NAME with the described chain as message.
 * The network-facing process gives qualifying data, and what is to be reported on, signed or decrypted, and nothing else: which TPM, key, PCRs and log files is the collector's own configuration.
 *
 * The collector program: attestd-tpm [--config=FILE] [--bus-fd=N]. With --bus-fd it serves that connected socket and exits when it closes; socket-activated
 * (LISTEN_FDS, name "tpm") it accepts one connection after another. */
#pragma once

#include <systemd/sd-bus.h>

#include "tcg/evidence.h"

#define COLLECTOR_OBJECT "/org/attestd1/tpm"
#define COLLECTOR_INTERFACE "org.attestd1.Tpm"
#define COLLECTOR_PING_USEC (5 * USEC_PER_SEC)
#define COLLECTOR_INFO_USEC (5 * 60 * USEC_PER_SEC)   /* may create the AIK */
#define COLLECTOR_QUOTE_USEC (30 * USEC_PER_SEC)
#define COLLECTOR_SIGN_USEC (30 * USEC_PER_SEC)
#define COLLECTOR_GUEST_USEC (5 * 60 * USEC_PER_SEC)  /* each call makes the guest key */
#define COLLECTOR_REPORT_USEC (30 * USEC_PER_SEC)     /* more than any way to a report may take by itself, see tpm/vbs-report.h */

typedef struct CollectorInfo {
        char *manufacturer, *vendor, *firmware_version, *pcr_bank, *aik_fingerprint;
        char *aik_origin;          /* persistent handle as hex, "own", or "file:" with a path */
        char *aik_notice;          /* one sentence or empty */
        char *vbs_report;          /* NULL if the collector does not say */
        char **banks;
        Bytes aik_public, aik_name, aik_certificate;
        char *aik_certificate_issuer;
        uint64_t aik_certificate_expires_usec;
        uint32_t reset_count, restart_count, leftovers_flushed;
} CollectorInfo;
CollectorInfo *collector_info_free(CollectorInfo *info);
DEFINE_CLEANUP(CollectorInfo, collector_info_free)

typedef struct CollectorEndorsement {
        Bytes ek_public, ek_certificate, ek_chain;
        char *ek_origin, *ek_notice;   /* notice: NULL if there is nothing to say */
} CollectorEndorsement;
void collector_endorsement_done(CollectorEndorsement *endorsement);

typedef struct CollectorOptions {
        const char *program;       /* --collector=PATH; NULL: $ATTESTD_COLLECTOR, beside the own executable, ../libexec, libexec directory */
        const char *config_file;   /* passed on as --config= ; NULL: none */
        const char *socket_path;   /* NULL: config_runtime_directory()/tpm.sock; used if it exists */
        int socket_fd;             /* connected socket that was passed in (becomes the Collector's, also on failure), else -1 */
} CollectorOptions;

typedef struct Collector Collector;
/* Connects to the socket if there is one, else starts the program over a socketpair. Error: COLLECTOR_UNAVAILABLE. */
Err *collector_open(const CollectorOptions *options, Collector **ret) _must_check_;
/* Closes the bus; a collector that we started gets its end of file, and SIGKILL after 2 s. */
Collector *collector_free(Collector *collector);
DEFINE_CLEANUP(Collector, collector_free)
/* Process id of a collector that collector_open() started, 0 if it was reached over a socket. */
pid_t collector_pid(const Collector *collector);
/* The bus, for attaching it to an event loop. */
sd_bus *collector_bus(Collector *collector);

/* Blocking calls. */
Err *collector_get_info(Collector *collector, CollectorInfo **ret) _must_check_;
/* certify: what keys of the TPM are certified over; empty: none are. */
Err *collector_quote(Collector *collector, Span qualifying_data, Span certify, Evidence **ret) _must_check_;
/* *ret_state: "kept", or "attached" where one of this boot from an earlier hibernation stays. */
Err *collector_keep_boot_attestation(Collector *collector, BootAttestationState *ret_state) _must_check_;
/* Evidence of guest attestation; its request_key is what ciphertexts for collector_guest_decrypt() are encrypted to. */
Err *collector_collect_guest(Collector *collector, Evidence **ret) _must_check_;
/* *ret is a secret. Errors: KEY_INVALID where the ciphertext is for another key; TPM_PCR_UNSTABLE where PCRs moved since the collection: begin anew. */
Err *collector_guest_decrypt(Collector *collector, Span ciphertext, Bytes *ret) _must_check_;
Err *collector_sign(Collector *collector, Span digest, Bytes *ret_signature) _must_check_;
Err *collector_report(Collector *collector, Span user_data, VsmReportKind *ret_kind, Bytes *ret_report) _must_check_;
Err *collector_get_endorsement_key(Collector *collector, const char *algorithm, CollectorEndorsement *ret) _must_check_;
Err *collector_activate_credential(Collector *collector, Span id_object, Span encrypted_secret, Bytes *ret_secret) _must_check_;
Err *collector_store_aik_certificate(Collector *collector, Span der) _must_check_;

/* For asynchronous callers: make the call message, parse the reply message (error replies become an Err of the code they name; a disconnected or timed out bus:
 * COLLECTOR_UNAVAILABLE or TPM_STUCK; an answer that is not as above: COLLECTOR_ANSWER_INVALID). */
Err *collector_quote_call(Collector *collector, Span qualifying_data, Span certify, sd_bus_message **ret) _must_check_;
Err *collector_quote_reply(sd_bus_message *reply, Evidence **ret) _must_check_;
Err *collector_sign_call(Collector *collector, Span digest, sd_bus_message **ret) _must_check_;
Err *collector_sign_reply(sd_bus_message *reply, Bytes *ret_signature) _must_check_;
Err *collector_report_call(Collector *collector, Span user_data, sd_bus_message **ret) _must_check_;
Err *collector_report_reply(sd_bus_message *reply, VsmReportKind *ret_kind, Bytes *ret_report) _must_check_;
Err *collector_info_call(Collector *collector, sd_bus_message **ret) _must_check_;
Err *collector_info_reply(sd_bus_message *reply, CollectorInfo **ret) _must_check_;
Err *collector_ping_call(Collector *collector, sd_bus_message **ret) _must_check_;
Err *collector_ping_reply(sd_bus_message *reply) _must_check_;
