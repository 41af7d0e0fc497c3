/* See ima-match.h.
 *
 * Order of the search: the value of PCR 10 that was read is met at some entry; the quote came at or after it, so candidates are hashed from there on and
 * the first one mostly fits. If none fits or that value is never met, a second pass hashes the candidate at every entry. A third and fourth pass do
 * the same with the digests of kernels before 5.8 (SHA-1 filled with zeros in the other banks). Each pass is linear in the list. */
#include "tcg/ima-match.h"

typedef struct Search {
        Span list;
        size_t digest_size;
        const TpmAttest *attest;
        uint16_t hash_alg;
        const PcrValues *read;
        ImaMatch match;          /* candidate at hand */
        ImaReplay begin;         /* where each pass begins */
        bool try_all;
        bool met_read_value;
        bool found;
        Err *ended;              /* how the list ended, if not at the end of an entry */
} Search;

static void search_done(Search *search) {
        search->ended = err_free(search->ended);
}

static bool selects_pcr10(const PcrBankSelection *bank) {
        return bank->mask >> PCR_IMA & 1;
}

static size_t quoted_ima_banks(const PcrSelection *selection, uint16_t algs[PCR_BANKS_MAX]) {
        size_t n = 0;
        for (size_t i = 0; i < selection->n_banks; i++)
                if (selects_pcr10(&selection->banks[i]))
                        algs[n++] = selection->banks[i].alg;
        return n;
}

static bool replay_has_banks(const ImaReplay *replay, const uint16_t *algs, size_t n) {
        bool same = replay->n_banks == n;
        for (size_t i = 0; same && i < n; i++)
                same = replay->values[i].alg == algs[i];
        return same;
}

static bool is_read_value(const Search *search) {
        const ImaReplay *replay = &search->match.replay;
        for (size_t i = 0; i < replay->n_banks; i++) {
                const PcrBank *bank = pcr_values_bank_const(search->read, replay->values[i].alg);
                if (!bank || !digest_equal(&bank->values[PCR_IMA], &replay->values[i]))
                        return false;
        }
        return true;
}

static Err *test_candidate(Search *search) {
        ImaMatch *match = &search->match;
        Digest digest;
        search->met_read_value = search->met_read_value || is_read_value(search);
        if (!search->met_read_value && !search->try_all)
                return NULL;
        for (size_t i = 0; i < match->replay.n_banks; i++) {
                PcrBank *bank = pcr_values_bank(&match->values, match->replay.values[i].alg);
                if (bank)
                        bank->values[PCR_IMA] = match->replay.values[i];
        }
        match->n_tried++;
        TRY(pcr_values_digest(&match->values, &search->attest->selection, search->hash_alg, &digest));
        search->found = span_equal(digest_span(&digest), search->attest->pcr_digest);
        return NULL;
}

/* How the list ends is remembered; it matters only if nothing fits. */
static Err *next_entry(Search *search, ImaList *list, ImaEntry *entry, bool *ret_more) {
        Err *err = ima_list_next(list, entry, ret_more);
        if (err_code(err) != ERR_LOG_TRUNCATED && err_code(err) != ERR_IMA_MALFORMED)
                return err;
        err_free(search->ended);
        search->ended = err;
        *ret_more = false;
        return NULL;
}

static Err *search_pass(Search *search, bool try_all) {
        search->match.replay = search->begin;
        search->try_all = try_all;
        search->met_read_value = false;
        ImaList list = ima_list_resume(search->list, search->begin.size, search->begin.n_entries, search->digest_size);
        TRY(test_candidate(search));
        while (!search->found) {
                ImaEntry entry;
                bool more;
                TRY(next_entry(search, &list, &entry, &more));
                if (!more)
                        break;
                TRY(ima_replay_entry(&search->match.replay, &entry));
                if (entry.pcr == PCR_IMA)
                        TRY(test_candidate(search));
        }
        return NULL;
}

static Err *search_both(Search *search) {
        TRY(search_pass(search, /* try_all= */ false));
        if (!search->found)
                TRY(search_pass(search, /* try_all= */ true));
        return NULL;
}

/* Could kernels have extended these banks with padded SHA-1? */
static bool may_be_padded(const ImaReplay *replay) {
        for (size_t i = 0; i < replay->n_banks; i++)
                if (replay->values[i].alg != HASH_SHA1)
                        return true;
        return false;
}

static bool begins_with_boot_aggregate(const Search *search) {
        ImaList list = ima_list_resume(search->list, 0, 0, search->digest_size);
        ImaEntry entry;
        bool more = false;
        _cleanup_(err_freep) Err *err = ima_list_next(&list, &entry, &more);
        return !err && more && span_equal_string(entry.file_name, "boot_aggregate");
}

/* The first entry whose data is not what its template digest is of; *ret_found false where there is none, or the list ends before. */
static Err *find_changed_entry(Search *search, uint64_t *ret_number, bool *ret_found) {
        ImaList list = ima_list_resume(search->list, 0, 0, search->digest_size);
        *ret_found = false;
        for (;;) {
                ImaEntry entry;
                bool more, matches;
                TRY(next_entry(search, &list, &entry, &more));
                if (!more)
                        return NULL;
                TRY(ima_entry_verify(&entry, &matches));
                *ret_number = entry.number;
                *ret_found = !matches;
                if (!matches)
                        return NULL;
        }
}

static Err *mismatch(Search *search) {
        const ImaReplay *replay = &search->match.replay;
        uint64_t number;
        bool found;
        TRY(find_changed_entry(search, &number, &found));
        if (found)
                return err_new(ERR_IMA_MISMATCH, "none of the %llu entries (%llu bytes) of the IMA list yields the quoted PCR 10; the data of entry %llu was changed: "
                               "its template digest is of something else", (unsigned long long) replay->n_entries, (unsigned long long) replay->size,
                               (unsigned long long) number);
        return err_new(ERR_IMA_MISMATCH, "none of the %llu entries (%llu bytes) of the IMA list yields the quoted PCR 10",
                       (unsigned long long) replay->n_entries, (unsigned long long) replay->size);
}

static Err *no_match(Search *search) {
        const ImaReplay *replay = &search->match.replay;
        if (!begins_with_boot_aggregate(search))
                return err_new(ERR_IMA_TRIMMED, "none of the %llu entries of the IMA list yields the quoted PCR 10, and the list does not begin with the boot aggregate",
                               (unsigned long long) replay->n_entries);
        if (search->ended)
                return err_wrap(steal_ptr(&search->ended), "none of the %llu whole entries of the IMA list yields the quoted PCR 10",
                                (unsigned long long) replay->n_entries);
        return mismatch(search);
}

static Err *match_all_entries(Search *search) {
        ImaList list = ima_list_resume(search->list, search->begin.size, search->begin.n_entries, search->digest_size);
        Digest digest;
        TRY(pcr_values_digest(search->read, &search->attest->selection, search->hash_alg, &digest));
        if (!span_equal(digest_span(&digest), search->attest->pcr_digest))
                return err_new(ERR_QUOTE_PCR_MISMATCH, "the PCR values, without PCR 10, do not give the quote's pcrDigest");
        search->match.replay = search->begin;
        for (;;) {
                ImaEntry entry;
                bool more;
                TRY(next_entry(search, &list, &entry, &more));
                if (!more)
                        return NULL;
                TRY(ima_replay_entry(&search->match.replay, &entry));
        }
}

Err *ima_match_prefix(Span list, const ImaReplay *start, const PcrValues *read_values, const TpmAttest *attest, uint16_t hash_alg, ImaMatch *ret) {
        _cleanup_(search_done) Search search = {
                .list = list, .attest = attest, .hash_alg = hash_alg, .read = read_values, .match.values = *read_values,
        };
        uint16_t algs[PCR_BANKS_MAX];
        size_t n_algs = quoted_ima_banks(&attest->selection, algs);
        ImaList opened;
        TRY(ima_list_open(list, 0, &opened));
        search.digest_size = opened.digest_size;
        bool resume = start && start->n_entries > 0 && start->size <= list.size && replay_has_banks(start, algs, n_algs);
        search.begin = resume ? *start : ima_replay_start(algs, n_algs);
        if (n_algs == 0) {
                TRY(match_all_entries(&search));
                *ret = search.match;
                return NULL;
        }
        TRY(search_both(&search));
        if (!search.found && !resume && may_be_padded(&search.begin)) {
                search.begin.padded_sha1 = true;
                TRY(search_both(&search));
        }
        if (!search.found)
                return no_match(&search);
        *ret = search.match;
        return NULL;
}
