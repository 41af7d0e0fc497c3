/* See answer.h. The fields are listed in the comment of collector.h. */
#include "collector/answer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "collector/collector.h"

typedef struct AnswerField {
        const char *key;
        const char *signature;
        size_t offset;                                      /* of the member in the object */
        int (*read)(sd_bus_message *m, void *member);       /* negative errno, as sd-bus has it */
        bool is_required;
} AnswerField;

#define ANSWER_FIELDS_MAX 32

static int read_bytes(sd_bus_message *m, void *member) {
        const void *data;
        size_t size;
        int r = sd_bus_message_read_array(m, 'y', &data, &size);
        if (r < 0)
                return r;
        _cleanup_(err_freep) Err *err = bytes_copy(span_make(data, size), member);
        return err ? -ENOMEM : 0;
}

static int read_string(sd_bus_message *m, void *member) {
        const char *text;
        int r = sd_bus_message_read_basic(m, 's', &text);
        if (r < 0)
                return r;
        char *copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        *(char **) member = copy;
        return 0;
}

/* An empty reason is no reason. */
static int read_reason(sd_bus_message *m, void *member) {
        int r = read_string(m, member);
        if (r >= 0 && (*(char **) member)[0] == 0)
                freep(member);
        return r;
}

static int read_strings(sd_bus_message *m, void *member) {
        return sd_bus_message_read_strv(m, member);
}

static int read_u32(sd_bus_message *m, void *member) {
        return sd_bus_message_read_basic(m, 'u', member);
}

static int read_u64(sd_bus_message *m, void *member) {
        return sd_bus_message_read_basic(m, 't', member);
}

static int read_log_state(sd_bus_message *m, void *member) {
        const char *text;
        int r = sd_bus_message_read_basic(m, 's', &text);
        if (r >= 0)
                *(LogState *) member = log_state_from_string(text);
        return r;
}

static int read_verdicts(sd_bus_message *m, void *member) {
        PcrVerdict *verdicts = member;
        uint32_t pcr;
        const char *text;
        int r = sd_bus_message_enter_container(m, 'a', "{us}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(m, "{us}", &pcr, &text)) > 0) {
                if (pcr >= PCR_COUNT)
                        return -ERANGE;
                verdicts[pcr] = pcr_verdict_from_string(text);
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_pcr(sd_bus_message *m, PcrBank *bank) {
        uint32_t index;
        const void *data;
        size_t size;
        int r = sd_bus_message_enter_container(m, 'r', "uay");
        if (r <= 0)
                return r;
        r = sd_bus_message_read_basic(m, 'u', &index);
        if (r >= 0)
                r = sd_bus_message_read_array(m, 'y', &data, &size);
        if (r < 0)
                return r;
        if (index >= PCR_COUNT || !(bank->mask & UINT32_C(1) << index) || size == 0 || size != hash_size(bank->alg))
                return -ERANGE;
        Digest *value = &bank->values[index];
        if (value->size > 0)
                return -EEXIST;
        *value = (Digest) { .alg = bank->alg, .size = (uint16_t) size };
        for (size_t i = 0; i < size; i++)
                value->bytes[i] = ((const uint8_t *) data)[i];
        r = sd_bus_message_exit_container(m);
        return r < 0 ? r : 1;
}

static int read_bank(sd_bus_message *m, PcrBank *bank) {
        int r = sd_bus_message_enter_container(m, 'r', "qua(uay)");
        if (r <= 0)
                return r;
        *bank = (PcrBank) {};
        r = sd_bus_message_read(m, "qu", &bank->alg, &bank->mask);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "(uay)");
        if (r < 0)
                return r;
        if (bank->mask & ~PCR_MASK_ALL)
                return -ERANGE;
        while ((r = read_pcr(m, bank)) > 0)
                ;
        if (r < 0)
                return r;
        for (size_t i = 0; i < PCR_COUNT; i++)
                if ((bank->mask & UINT32_C(1) << i) && bank->values[i].size == 0)
                        return -ENOENT;
        r = sd_bus_message_exit_container(m);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? r : 1;
}

static int read_pcrs(sd_bus_message *m, void *member) {
        PcrValues *values = member;
        PcrBank bank;
        int r = sd_bus_message_enter_container(m, 'a', "(qua(uay))");
        if (r < 0)
                return r;
        while ((r = read_bank(m, &bank)) > 0) {
                if (values->n_banks >= PCR_BANKS_MAX)
                        return -ERANGE;
                values->banks[values->n_banks++] = bank;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int log_type_from_string(const char *text, EvidenceLogType *ret) {
        for (EvidenceLogType type = 0; type < _EVIDENCE_LOG_TYPE_MAX; type++)
                if (string_equal(text, evidence_log_type_to_string(type))) {
                        *ret = type;
                        return 0;
                }
        return -EINVAL;
}

static int read_log(sd_bus_message *m, EvidenceLog *ret) {
        const char *type;
        int fd;
        uint64_t size;
        struct stat st;
        EvidenceLog log = {};
        int r = sd_bus_message_read(m, "(sht)", &type, &fd, &size);
        if (r <= 0)
                return r;
        r = log_type_from_string(type, &log.type);
        if (r < 0)
                return r;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size < 0 || size > (uint64_t) st.st_size)
                return -ERANGE;
        log.size = size;
        log.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (log.fd < 0)
                return -errno;
        *ret = log;
        return 1;
}

/* Needs logs and their number: the member is the whole object. */
static int read_logs(sd_bus_message *m, void *member) {
        Evidence *evidence = member;
        EvidenceLog log;
        int r = sd_bus_message_enter_container(m, 'a', "(sht)");
        if (r < 0)
                return r;
        while ((r = read_log(m, &log)) > 0) {
                if (evidence->n_logs >= EVIDENCE_LOGS_MAX) {
                        fd_closep(&log.fd);
                        return -ERANGE;
                }
                evidence->logs[evidence->n_logs++] = log;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* 0: there is none. A key without public area is no key; a certification and its signature come together. */
static int read_key(sd_bus_message *m, EvidenceKey *key) {
        int r = sd_bus_message_enter_container(m, 'r', "ayayay");
        if (r <= 0)
                return r;
        r = read_bytes(m, &key->public);
        if (r >= 0)
                r = read_bytes(m, &key->certification);
        if (r >= 0)
                r = read_bytes(m, &key->signature);
        if (r < 0)
                return r;
        if (key->public.size == 0 || (key->certification.size == 0) != (key->signature.size == 0))
                return -EINVAL;
        r = sd_bus_message_exit_container(m);
        return r < 0 ? r : 1;
}

static int read_request_key(sd_bus_message *m, void *member) {
        return read_key(m, member);
}

/* Needs keys and their number: the member is the whole object. */
static int read_other_keys(sd_bus_message *m, void *member) {
        Evidence *evidence = member;
        int r = sd_bus_message_enter_container(m, 'a', "(ayayay)");
        if (r < 0)
                return r;
        for (;;) {
                EvidenceKey key = {};
                r = read_key(m, &key);
                if (r > 0 && evidence->n_other_keys >= EVIDENCE_OTHER_KEYS_MAX)
                        r = -ERANGE;
                if (r <= 0) {
                        evidence_key_done(&key);
                        break;
                }
                evidence->other_keys[evidence->n_other_keys++] = key;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_boot_attestation_state(sd_bus_message *m, void *member) {
        const char *text;
        int r = sd_bus_message_read_basic(m, 's', &text);
        if (r >= 0)
                *(BootAttestationState *) member = boot_attestation_state_from_string(text);
        return r;
}

static int read_boot(sd_bus_message *m, void *member);

#define INFO(member) offsetof(CollectorInfo, member)
static const AnswerField info_fields[] = {
        { "manufacturer", "s", INFO(manufacturer), read_string, true },
        { "vendor", "s", INFO(vendor), read_string, true },
        { "firmware-version", "s", INFO(firmware_version), read_string, true },
        { "banks", "as", INFO(banks), read_strings, true },
        { "pcr-bank", "s", INFO(pcr_bank), read_string, true },
        { "aik-public", "ay", INFO(aik_public), read_bytes, true },
        { "aik-name", "ay", INFO(aik_name), read_bytes, true },
        { "aik-fingerprint", "s", INFO(aik_fingerprint), read_string, true },
        { "aik-certificate", "ay", INFO(aik_certificate), read_bytes, true },
        { "aik-certificate-issuer", "s", INFO(aik_certificate_issuer), read_string, false },
        { "aik-certificate-expires", "t", INFO(aik_certificate_expires_usec), read_u64, false },
        { "aik-origin", "s", INFO(aik_origin), read_string, false },
        { "aik-notice", "s", INFO(aik_notice), read_string, false },
        { "vbs-report", "s", INFO(vbs_report), read_string, false },
        { "reset-count", "u", INFO(reset_count), read_u32, true },
        { "restart-count", "u", INFO(restart_count), read_u32, true },
        { "leftovers-flushed", "u", INFO(leftovers_flushed), read_u32, true },
};

#define ENDORSEMENT(member) offsetof(CollectorEndorsement, member)
static const AnswerField endorsement_fields[] = {
        { "ek-public", "ay", ENDORSEMENT(ek_public), read_bytes, true },
        { "ek-certificate", "ay", ENDORSEMENT(ek_certificate), read_bytes, true },
        { "ek-origin", "s", ENDORSEMENT(ek_origin), read_string, true },
        { "ek-chain", "ay", ENDORSEMENT(ek_chain), read_bytes, false },
        { "ek-notice", "s", ENDORSEMENT(ek_notice), read_reason, false },
};

#define EVIDENCE(member) offsetof(Evidence, member)
static const AnswerField evidence_fields[] = {
        { "quote", "ay", EVIDENCE(quote), read_bytes, true },
        { "signature", "ay", EVIDENCE(signature), read_bytes, true },
        { "aik-public", "ay", EVIDENCE(aik_public), read_bytes, true },
        { "aik-name", "ay", EVIDENCE(aik_name), read_bytes, true },
        { "aik-certificate", "ay", EVIDENCE(aik_certificate), read_bytes, true },
        { "pcrs", "a(qua(uay))", EVIDENCE(pcrs), read_pcrs, true },
        { "verdicts", "a{us}", EVIDENCE(verdicts), read_verdicts, true },
        { "logs", "a(sht)", 0, read_logs, true },
        { "boot-log-state", "s", EVIDENCE(boot_log_state), read_log_state, true },
        { "boot-log-reason", "s", EVIDENCE(boot_log_reason), read_reason, true },
        { "ima-log-state", "s", EVIDENCE(ima_log_state), read_log_state, true },
        { "ima-log-reason", "s", EVIDENCE(ima_log_reason), read_reason, true },
        { "ima-entries", "t", EVIDENCE(n_ima_entries), read_u64, true },
        { "reset-count", "u", EVIDENCE(reset_count), read_u32, true },
        { "restart-count", "u", EVIDENCE(restart_count), read_u32, true },
        { "quote-retries", "u", EVIDENCE(n_quote_retries), read_u32, true },
        { "boot-attestation-state", "s", EVIDENCE(boot_attestation_state), read_boot_attestation_state, false },
        { "boot-attestation-reason", "s", EVIDENCE(boot_attestation_reason), read_reason, false },
        { "boot-attestation", "a{sv}", EVIDENCE(boot), read_boot, false },
        { "request-key", "(ayayay)", EVIDENCE(request_key), read_request_key, false },
        { "other-keys", "a(ayayay)", 0, read_other_keys, false },
};
static const AnswerField boot_fields[] = {
        { "quote", "ay", EVIDENCE(quote), read_bytes, true },
        { "signature", "ay", EVIDENCE(signature), read_bytes, true },
        { "aik-public", "ay", EVIDENCE(aik_public), read_bytes, true },
        { "aik-certificate", "ay", EVIDENCE(aik_certificate), read_bytes, true },
        { "pcrs", "a(qua(uay))", EVIDENCE(pcrs), read_pcrs, true },
        { "logs", "a(sht)", 0, read_logs, true },
        { "reset-count", "u", EVIDENCE(reset_count), read_u32, true },
        { "restart-count", "u", EVIDENCE(restart_count), read_u32, true },
};
_Static_assert(sizeof(unsigned) == sizeof(uint32_t), "n_quote_retries is read as a uint32_t");

static int read_field(sd_bus_message *m, const AnswerField *field, void *object) {
        int r = sd_bus_message_enter_container(m, 'v', field->signature);
        if (r >= 0)
                r = field->read(m, (uint8_t *) object + field->offset);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static const AnswerField *find_field(const AnswerField *fields, size_t n_fields, const char *key) {
        for (size_t i = 0; i < n_fields; i++)
                if (string_equal(fields[i].key, key))
                        return &fields[i];
        return NULL;
}

static Err *read_entry(sd_bus_message *m, const AnswerField *fields, size_t n_fields, void *object, uint32_t *seen) {
        const char *key;
        int r = sd_bus_message_read_basic(m, 's', &key);
        if (r < 0)
                return err_new_errno(ERR_COLLECTOR_ANSWER_INVALID, r, "reading a key of attestd-tpm's answer");
        const AnswerField *field = find_field(fields, n_fields, key);
        if (!field) {
                r = sd_bus_message_skip(m, "v");
                return r < 0 ? err_new_errno(ERR_COLLECTOR_ANSWER_INVALID, r, "skipping \"%s\" of attestd-tpm's answer", key) : NULL;
        }
        uint32_t bit = UINT32_C(1) << (field - fields);
        if (*seen & bit)
                return err_new(ERR_COLLECTOR_ANSWER_INVALID, "attestd-tpm's answer has \"%s\" twice", key);
        *seen |= bit;
        r = read_field(m, field, object);
        return r < 0 ? err_new_errno(ERR_COLLECTOR_ANSWER_INVALID, r, "reading \"%s\" of attestd-tpm's answer", key) : NULL;
}

static Err *read_dictionary(sd_bus_message *m, const AnswerField *fields, size_t n_fields, void *object) {
        uint32_t seen = 0;
        int r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return err_new_errno(ERR_COLLECTOR_ANSWER_INVALID, r, "attestd-tpm's answer is no dictionary");
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                TRY(read_entry(m, fields, n_fields, object, &seen));
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        break;
        }
        if (r < 0)
                return err_new_errno(ERR_COLLECTOR_ANSWER_INVALID, r, "reading attestd-tpm's answer");
        for (size_t i = 0; i < n_fields; i++)
                if (fields[i].is_required && !(seen & UINT32_C(1) << i))
                        return err_new(ERR_COLLECTOR_ANSWER_INVALID, "attestd-tpm's answer lacks \"%s\"", fields[i].key);
        return NULL;
}

/* A dictionary in the dictionary. */
static int read_boot(sd_bus_message *m, void *member) {
        _cleanup_(evidence_freep) Evidence *boot = calloc(1, sizeof(Evidence));
        if (!boot)
                return -ENOMEM;
        _cleanup_(err_freep) Err *err = read_dictionary(m, boot_fields, N_ELEMENTS(boot_fields), boot);
        if (err)
                return err_code(err) == ERR_NO_MEMORY ? -ENOMEM : -EBADMSG;
        int r = sd_bus_message_exit_container(m);
        if (r >= 0)
                *(Evidence **) member = steal_ptr(&boot);
        return r;
}

_Static_assert(N_ELEMENTS(info_fields) <= ANSWER_FIELDS_MAX && N_ELEMENTS(evidence_fields) <= ANSWER_FIELDS_MAX, "one bit each");

Err *answer_read_info(sd_bus_message *reply, CollectorInfo *info) {
        return read_dictionary(reply, info_fields, N_ELEMENTS(info_fields), info);
}

Err *answer_read_endorsement(sd_bus_message *reply, CollectorEndorsement *endorsement) {
        return read_dictionary(reply, endorsement_fields, N_ELEMENTS(endorsement_fields), endorsement);
}

Err *answer_read_evidence(sd_bus_message *reply, Evidence *evidence) {
        return read_dictionary(reply, evidence_fields, N_ELEMENTS(evidence_fields), evidence);
}

Err *answer_read_report(sd_bus_message *reply, VsmReportKind *ret_kind, Bytes *ret_report) {
        const char *text;
        const void *data;
        size_t size;
        VsmReportKind kind;
        int r = sd_bus_message_read_basic(reply, 's', &text);
        if (r >= 0)
                r = sd_bus_message_read_array(reply, 'y', &data, &size);
        if (r < 0)
                return err_new_errno(ERR_COLLECTOR_ANSWER_INVALID, r, "reading the VBS report of attestd-tpm");
        if (!vsm_report_kind_from_string(text, &kind))
                return err_new(ERR_COLLECTOR_ANSWER_INVALID, "attestd-tpm's VBS report is of the kind \"%.16s\", only enclave and vm are known", text);
        if (size == 0 || size > VSM_REPORT_SIZE_MAX)
                return err_new(ERR_COLLECTOR_ANSWER_INVALID, "attestd-tpm's VBS report has %zu bytes, 1 to %u are allowed", size, VSM_REPORT_SIZE_MAX);
        TRY(bytes_copy(span_make(data, size), ret_report));
        *ret_kind = kind;
        return NULL;
}

Err *answer_error(const sd_bus_error *error, bool is_connected) {
        const char *name = error && error->name ? error->name : "", *message = error && error->message ? error->message : "no reason given";
        if (strncmp(name, ERR_DBUS_PREFIX, strlen(ERR_DBUS_PREFIX)) == 0)
                return err_new(err_code_from_name(name), "%s", message);
        /* sd-bus says NoReply both for a call past its time and for a connection that went away. */
        if (!is_connected)
                return err_new(ERR_COLLECTOR_UNAVAILABLE, "attestd-tpm closed the connection before it answered");
        switch (sd_bus_error_get_errno(error)) {
        case ETIMEDOUT:
                return err_new(ERR_TPM_STUCK, "attestd-tpm did not answer in time");
        case ECONNRESET:
        case EPIPE:
        case ENOTCONN:
        case ESHUTDOWN:
                return err_new(ERR_COLLECTOR_UNAVAILABLE, "attestd-tpm closed the connection before it answered");
        }
        return err_new(ERR_COLLECTOR_ANSWER_INVALID, "attestd-tpm answered %s: %s", *name ? name : "nothing", message);
}
