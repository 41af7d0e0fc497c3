/* See verdict.h. */
#include "tcg/verdict.h"

#define PCR_DYNAMIC_FIRST 17 /* reset to all ones at start, TCG PTP §4.6 */
#define PCR_DYNAMIC_LAST 22

const PcrBank *pcr_values_strongest(const PcrValues *values) {
        const PcrBank *best = NULL;
        for (size_t i = 0; i < values->n_banks; i++)
                if (!best || hash_size(values->banks[i].alg) > hash_size(best->alg))
                        best = &values->banks[i];
        return best;
}

static bool is_filled_with(const Digest *value, uint8_t byte) {
        for (size_t i = 0; i < value->size; i++)
                if (value->bytes[i] != byte)
                        return false;
        return true;
}

static bool is_start_value(unsigned pcr, const Digest *value) {
        bool dynamic = pcr >= PCR_DYNAMIC_FIRST && pcr <= PCR_DYNAMIC_LAST;
        return is_filled_with(value, 0x00) || (dynamic && is_filled_with(value, 0xff));
}

static bool boot_log_mentions(const EventLogReplay *boot, unsigned pcr) {
        for (size_t i = 0; boot && i < boot->pcrs.n_banks; i++)
                if (boot->pcrs.banks[i].mask >> pcr & 1)
                        return true;
        return false;
}

static bool boot_log_yields(const EventLogReplay *boot, unsigned pcr, const Digest *value) {
        const PcrBank *bank = boot ? pcr_values_bank_const(&boot->pcrs, value->alg) : NULL;
        return bank && (bank->mask >> pcr & 1) && digest_equal(&bank->values[pcr], value);
}

static bool ima_mentions(const ImaReplay *ima, unsigned pcr) {
        return ima && pcr == PCR_IMA && ima->n_entries > 0;
}

static bool ima_yields(const ImaReplay *ima, unsigned pcr, const Digest *value) {
        for (size_t i = 0; ima_mentions(ima, pcr) && i < ima->n_banks; i++)
                if (digest_equal(&ima->values[i], value))
                        return true;
        return false;
}

static PcrVerdict judge(unsigned pcr, const Digest *value, const EventLogReplay *boot, const ImaReplay *ima) {
        if (boot_log_yields(boot, pcr, value) || ima_yields(ima, pcr, value))
                return PCR_REPLAYED;
        bool mentioned = boot_log_mentions(boot, pcr) || ima_mentions(ima, pcr);
        return !mentioned && is_start_value(pcr, value) ? PCR_UNUSED : PCR_UNEXPLAINED;
}

void verdict_for_pcrs(const PcrValues *quoted, const EventLogReplay *boot, const ImaReplay *ima, PcrVerdict ret_verdicts[PCR_COUNT]) {
        const PcrBank *bank = pcr_values_strongest(quoted);
        for (unsigned i = 0; i < PCR_COUNT; i++) {
                bool is_quoted = bank && (bank->mask >> i & 1) && bank->values[i].size > 0;
                ret_verdicts[i] = is_quoted ? judge(i, &bank->values[i], boot, ima) : PCR_NOT_QUOTED;
        }
}
