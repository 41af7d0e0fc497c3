/* Finds the prefix of the IMA list that a quote is about.
 *
 * PCR 10 and the list grow while a machine runs: between the PCR read, the quote and the read of the list entries come in. What was quoted is
 * nevertheless the value after some entry. The search replays the list and tries, entry by entry, whether the values that were read, with PCR 10 taken
 * from the replay in every quoted bank, give the quote's pcrDigest. */
#pragma once

#include "tcg/ima.h"
#include "tcg/quote.h"

typedef struct ImaMatch {
        ImaReplay replay;    /* at the end of the prefix: n_entries, size in bytes, PCR 10 by bank; the start of the next round */
        PcrValues values;    /* the values that were read, with the quoted PCR 10: they give pcrDigest */
        uint64_t n_tried;    /* candidates whose digest was computed */
} ImaMatch;

/* list: the whole list from its first byte, whole entries as far as they are needed.
 * start: a replay of list's first start->size bytes, from an earlier round; NULL or a replay without entries means from the beginning. Its banks
 *   and padded_sha1 are used if they are the quoted ones; otherwise the search begins at the first byte.
 * read_values: as read around the quote, in its order; PCR 10 in it may be older or newer than the quoted one.
 * hash_alg: of the quote's signature.
 * If the quote does not cover PCR 10, the prefix is all whole entries, provided that read_values give pcrDigest.
 *
 * Errors: IMA_MISMATCH if no prefix fits (with how far the list went), IMA_TRIMMED if none fits and the list does not begin with the boot aggregate,
 * IMA_MALFORMED or LOG_TRUNCATED if none fits and the list ends in that way, LOG_EMPTY, QUOTE_PCR_MISMATCH if read_values lack a quoted PCR. */
Err *ima_match_prefix(Span list, const ImaReplay *start, const PcrValues *read_values, const TpmAttest *attest, uint16_t hash_alg, ImaMatch *ret) _must_check_;
