/* IMA lists, binary and ASCII: reading, verifying, replaying, and the search for a quoted prefix. Seeds: ima/ of the vectors. */
#include "tcg/ima-ascii.h"
#include "tcg/ima-match.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Err *walk(Span input, ImaReplay *replay) {
        ImaList list;
        TRY(ima_list_open(input, 0, &list));
        for (;;) {
                ImaEntry entry;
                bool more, matches;
                TRY(ima_list_next(&list, &entry, &more));
                if (!more)
                        return NULL;
                if (entry.end <= entry.offset || entry.end > input.size || entry.end != list.offset)
                        abort();
                TRY(ima_entry_verify(&entry, &matches));
                TRY(ima_replay_entry(replay, &entry));
                if (replay->size != entry.end)
                        abort();
        }
}

/* A quote of PCR 10 as it is after the list must be found at its end, or at an earlier entry that leaves PCR 10 the same. */
static Err *find_again(Span input, const ImaReplay *replay) {
        PcrValues values = { .n_banks = 1, .banks[0] = { .alg = HASH_SHA256, .mask = UINT32_C(1) << PCR_IMA } };
        TpmAttest attest = { .selection = pcr_values_selection(&values) };
        Digest digest;
        ImaMatch match;
        values.banks[0].values[PCR_IMA] = replay->values[0];
        TRY(pcr_values_digest(&values, &attest.selection, HASH_SHA256, &digest));
        attest.pcr_digest = digest_span(&digest);
        values.banks[0].values[PCR_IMA] = digest_zero(HASH_SHA256);
        TRY(ima_match_prefix(input, NULL, &values, &attest, HASH_SHA256, &match));
        if (match.replay.size > replay->size || !digest_equal(&match.replay.values[0], &replay->values[0]))
                abort();
        return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Span input = span_make(data, size);
        ImaReplay replay = ima_replay_start((uint16_t[]) { HASH_SHA256 }, 1);
        _cleanup_bytes_ Bytes list = {};
        if (ima_ascii_detect(input)) {
                Err *err = ima_ascii_to_binary(input, &list);
                if (err_code(err) != ERR_NONE && err_code(err) != ERR_IMA_MALFORMED && err_code(err) != ERR_LOG_EMPTY)
                        abort();
                err_free(err);
                input = bytes_span(&list);
        }
        err_free(walk(input, &replay));
        if (replay.n_entries == 0)
                return 0;
        Err *err = find_again(input, &replay);
        if (err)
                abort();
        return 0;
}
