/* See reply.h. */
#include "tpm/reply.h"

static int open_value(sd_bus_message *m, const char *key, const char *signature) {
        int r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', key);
        return r < 0 ? r : sd_bus_message_open_container(m, 'v', signature);
}

static int close_value(sd_bus_message *m) {
        int r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_bytes(sd_bus_message *m, const char *key, const Bytes *value) {
        int r = open_value(m, key, "ay");
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'y', value->data, value->size);
        return r < 0 ? r : close_value(m);
}

static int append_string(sd_bus_message *m, const char *key, const char *value) {
        return sd_bus_message_append(m, "{sv}", key, "s", value ? value : "");
}

static int append_u32(sd_bus_message *m, const char *key, uint32_t value) {
        return sd_bus_message_append(m, "{sv}", key, "u", value);
}

static int append_strings(sd_bus_message *m, const char *key, char **value) {
        int r = open_value(m, key, "as");
        if (r >= 0)
                r = sd_bus_message_append_strv(m, value);
        return r < 0 ? r : close_value(m);
}

static int append_pcr(sd_bus_message *m, uint32_t index, const Digest *value) {
        int r = sd_bus_message_open_container(m, 'r', "uay");
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 'u', &index);
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'y', value->bytes, value->size);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_bank(sd_bus_message *m, const PcrBank *bank) {
        int r = sd_bus_message_open_container(m, 'r', "qua(uay)");
        if (r >= 0)
                r = sd_bus_message_append(m, "qu", bank->alg, bank->mask);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(uay)");
        for (uint32_t i = 0; r >= 0 && i < PCR_COUNT; i++)
                if (bank->mask >> i & 1)
                        r = append_pcr(m, i, &bank->values[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_pcrs(sd_bus_message *m, const char *key, const PcrValues *values) {
        int r = open_value(m, key, "a(qua(uay))");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(qua(uay))");
        for (size_t i = 0; r >= 0 && i < values->n_banks; i++)
                r = append_bank(m, &values->banks[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : close_value(m);
}

static int append_verdicts(sd_bus_message *m, const char *key, const PcrVerdict verdicts[PCR_COUNT]) {
        int r = open_value(m, key, "a{us}");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{us}");
        for (uint32_t i = 0; r >= 0 && i < PCR_COUNT; i++)
                r = sd_bus_message_append(m, "{us}", i, pcr_verdict_to_string(verdicts[i]));
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : close_value(m);
}

static int append_logs(sd_bus_message *m, const char *key, const Evidence *evidence) {
        int r = open_value(m, key, "a(sht)");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sht)");
        for (size_t i = 0; r >= 0 && i < evidence->n_logs; i++) {
                const EvidenceLog *log = &evidence->logs[i];
                r = sd_bus_message_append(m, "(sht)", evidence_log_type_to_string(log->type), log->fd, log->size);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : close_value(m);
}

static int append_key(sd_bus_message *m, const EvidenceKey *key) {
        const Bytes *const parts[] = { &key->public, &key->certification, &key->signature };
        int r = sd_bus_message_open_container(m, 'r', "ayayay");
        for (size_t i = 0; r >= 0 && i < N_ELEMENTS(parts); i++)
                r = sd_bus_message_append_array(m, 'y', parts[i]->data, parts[i]->size);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_request_key(sd_bus_message *m, const EvidenceKey *key) {
        if (key->public.size == 0)
                return 0;
        int r = open_value(m, "request-key", "(ayayay)");
        if (r >= 0)
                r = append_key(m, key);
        return r < 0 ? r : close_value(m);
}

static int append_other_keys(sd_bus_message *m, const Evidence *evidence) {
        int r = open_value(m, "other-keys", "a(ayayay)");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(ayayay)");
        for (size_t i = 0; r >= 0 && i < evidence->n_other_keys; i++)
                r = append_key(m, &evidence->other_keys[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : close_value(m);
}

#define APPEND(r, expression) ((r) >= 0 ? (expression) : (r))

static int append_info(sd_bus_message *m, const CollectorInfo *info) {
        int r = append_string(m, "manufacturer", info->manufacturer);
        r = APPEND(r, append_string(m, "vendor", info->vendor));
        r = APPEND(r, append_string(m, "firmware-version", info->firmware_version));
        r = APPEND(r, append_strings(m, "banks", info->banks));
        r = APPEND(r, append_string(m, "pcr-bank", info->pcr_bank));
        r = APPEND(r, append_bytes(m, "aik-public", &info->aik_public));
        r = APPEND(r, append_bytes(m, "aik-name", &info->aik_name));
        r = APPEND(r, append_string(m, "aik-fingerprint", info->aik_fingerprint));
        r = APPEND(r, append_bytes(m, "aik-certificate", &info->aik_certificate));
        r = APPEND(r, append_string(m, "aik-certificate-issuer", info->aik_certificate_issuer));
        r = APPEND(r, sd_bus_message_append(m, "{sv}", "aik-certificate-expires", "t", info->aik_certificate_expires_usec));
        r = APPEND(r, append_string(m, "aik-origin", info->aik_origin));
        r = APPEND(r, append_string(m, "aik-notice", info->aik_notice));
        r = APPEND(r, append_string(m, "vbs-report", info->vbs_report));
        r = APPEND(r, append_u32(m, "reset-count", info->reset_count));
        r = APPEND(r, append_u32(m, "restart-count", info->restart_count));
        return APPEND(r, append_u32(m, "leftovers-flushed", info->leftovers_flushed));
}

/* The same members as the evidence has, in a dictionary of their own. */
static int append_boot(sd_bus_message *m, const Evidence *boot) {
        if (!boot)
                return 0;
        int r = open_value(m, "boot-attestation", "a{sv}");
        r = APPEND(r, sd_bus_message_open_container(m, 'a', "{sv}"));
        r = APPEND(r, append_bytes(m, "quote", &boot->quote));
        r = APPEND(r, append_bytes(m, "signature", &boot->signature));
        r = APPEND(r, append_bytes(m, "aik-public", &boot->aik_public));
        r = APPEND(r, append_bytes(m, "aik-certificate", &boot->aik_certificate));
        r = APPEND(r, append_pcrs(m, "pcrs", &boot->pcrs));
        r = APPEND(r, append_logs(m, "logs", boot));
        r = APPEND(r, append_u32(m, "reset-count", boot->reset_count));
        r = APPEND(r, append_u32(m, "restart-count", boot->restart_count));
        r = APPEND(r, sd_bus_message_close_container(m));
        return APPEND(r, close_value(m));
}

static int append_evidence(sd_bus_message *m, const Evidence *evidence) {
        int r = append_bytes(m, "quote", &evidence->quote);
        r = APPEND(r, append_bytes(m, "signature", &evidence->signature));
        r = APPEND(r, append_bytes(m, "aik-public", &evidence->aik_public));
        r = APPEND(r, append_bytes(m, "aik-name", &evidence->aik_name));
        r = APPEND(r, append_bytes(m, "aik-certificate", &evidence->aik_certificate));
        r = APPEND(r, append_pcrs(m, "pcrs", &evidence->pcrs));
        r = APPEND(r, append_verdicts(m, "verdicts", evidence->verdicts));
        r = APPEND(r, append_logs(m, "logs", evidence));
        r = APPEND(r, append_string(m, "boot-log-state", log_state_to_string(evidence->boot_log_state)));
        r = APPEND(r, append_string(m, "boot-log-reason", evidence->boot_log_reason));
        r = APPEND(r, append_string(m, "ima-log-state", log_state_to_string(evidence->ima_log_state)));
        r = APPEND(r, append_string(m, "ima-log-reason", evidence->ima_log_reason));
        r = APPEND(r, sd_bus_message_append(m, "{sv}", "ima-entries", "t", evidence->n_ima_entries));
        r = APPEND(r, append_u32(m, "reset-count", evidence->reset_count));
        r = APPEND(r, append_u32(m, "restart-count", evidence->restart_count));
        r = APPEND(r, append_u32(m, "quote-retries", evidence->n_quote_retries));
        r = APPEND(r, append_string(m, "boot-attestation-state", boot_attestation_state_to_string(evidence->boot_attestation_state)));
        r = APPEND(r, append_string(m, "boot-attestation-reason", evidence->boot_attestation_reason));
        r = APPEND(r, append_boot(m, evidence->boot));
        r = APPEND(r, append_request_key(m, &evidence->request_key));
        return APPEND(r, append_other_keys(m, evidence));
}

int reply_append_info(sd_bus_message *reply, const CollectorInfo *info) {
        int r = sd_bus_message_open_container(reply, 'a', "{sv}");
        r = APPEND(r, append_info(reply, info));
        return APPEND(r, sd_bus_message_close_container(reply));
}

int reply_append_endorsement(sd_bus_message *reply, const CollectorEndorsement *endorsement) {
        int r = sd_bus_message_open_container(reply, 'a', "{sv}");
        r = APPEND(r, append_bytes(reply, "ek-public", &endorsement->ek_public));
        r = APPEND(r, append_bytes(reply, "ek-certificate", &endorsement->ek_certificate));
        r = APPEND(r, append_bytes(reply, "ek-chain", &endorsement->ek_chain));
        r = APPEND(r, append_string(reply, "ek-notice", endorsement->ek_notice));
        r = APPEND(r, append_string(reply, "ek-origin", endorsement->ek_origin));
        return APPEND(r, sd_bus_message_close_container(reply));
}

int reply_append_evidence(sd_bus_message *reply, const Evidence *evidence) {
        int r = sd_bus_message_open_container(reply, 'a', "{sv}");
        r = APPEND(r, append_evidence(reply, evidence));
        return APPEND(r, sd_bus_message_close_container(reply));
}
