/* See ima.h. Little endian; the kernel writes the machine's own order unless ima_canonical_fmt is set, and the machines that
 * attestd runs on are little endian.
 *
 *     entry        u32 PCR | template digest | u32 size | template name | template data
 *     data         u32 size | fields, each u32 size | bytes
 *     data of ima  20 bytes of SHA-1 | u32 size | file name
 *
 * Fields by template (ima_template.c): d-ng is "ALG:" NUL digest, d-ngv2 "TYPE:ALG:" NUL digest, n-ng a name with its NUL.
 * A template may be named by its format ("d-ng|sig"); names that are neither known nor such a format keep the general layout. */
#include "tcg/ima.h"

#include "base/reader.h"

#define TEMPLATE_LEGACY "ima"

static const struct { const char *name, *format; } templates[] = {
        { "ima-ng", "d-ng|n-ng" },
        { "ima-sig", "d-ng|n-ng|sig" },
        { "ima-ngv2", "d-ngv2|n-ng" },
        { "ima-sigv2", "d-ngv2|n-ng|sig" },
        { "ima-buf", "d-ng|n-ng|buf" },
        { "ima-modsig", "d-ng|n-ng|sig|d-modsig|modsig" },
        { "evm-sig", "d-ng|n-ng|evmsig|xattrnames|xattrlengths|xattrvalues|iuid|igid|imode" },
};

static const size_t digest_sizes[] = { 20, 32, 48, 64 };

uint16_t ima_digest_alg(size_t digest_size) {
        static const uint16_t algs[] = { HASH_SHA1, HASH_SHA256, HASH_SHA384, HASH_SHA512 };
        for (size_t i = 0; i < N_ELEMENTS(algs); i++)
                if (digest_sizes[i] == digest_size)
                        return algs[i];
        return HASH_NONE;
}

static Span format_of(Span template_name) {
        for (size_t i = 0; i < N_ELEMENTS(templates); i++)
                if (span_equal_string(template_name, templates[i].name))
                        return span_from_string(templates[i].format);
        return template_name;
}

/* Cuts the text up to the next separator off; false if nothing is left. */
static bool take_word(Span *text, uint8_t separator, Span *ret) {
        if (text->size == 0)
                return false;
        const uint8_t *found = memchr(text->data, separator, text->size);
        size_t size = found ? (size_t) (found - text->data) : text->size;
        size_t skip = found ? size + 1 : size;
        *ret = span_make(text->data, size);
        *text = span_make(text->data + skip, text->size - skip);
        return true;
}

static Span strip_nul(Span text) {
        while (text.size > 0 && text.data[text.size - 1] == 0)
                text.size--;
        return text;
}

/* "sha256:" NUL digest, or "verity:sha256:" NUL digest. */
static void take_digest(ImaEntry *entry, Span field) {
        Span rest = field, prefix, word, name = {};
        if (!take_word(&rest, 0, &prefix) || prefix.size == 0 || prefix.data[prefix.size - 1] != ':')
                return;
        while (take_word(&prefix, ':', &word))
                name = word;
        entry->file_digest_alg = hash_from_text(name);
        entry->file_digest = rest;
}

static void take_field(ImaEntry *entry, Span kind, Span field) {
        if (span_equal_string(kind, "d-ng") || span_equal_string(kind, "d-ngv2"))
                take_digest(entry, field);
        else if (span_equal_string(kind, "d")) {
                entry->file_digest_alg = HASH_SHA1;
                entry->file_digest = field;
        } else if (span_equal_string(kind, "n-ng") || span_equal_string(kind, "n"))
                entry->file_name = strip_nul(field);
        else if (span_equal_string(kind, "sig"))
                entry->file_signature = field;
        else if (span_equal_string(kind, "buf"))
                entry->buffer = field;
        else
                return;
        entry->has_fields = true;
}

/* The fields are what the file's name, digest and signature are told by; all of them must fit. */
static Err *read_fields(ImaEntry *entry) {
        Reader reader = reader_make(entry->template_data);
        Span format = format_of(entry->template_name), kind = {};
        do {
                bool named = take_word(&format, '|', &kind);
                Span field = reader_span(&reader, reader_u32le(&reader, "the size of a field"), "a field");
                if (named && !reader_failed(&reader))
                        take_field(entry, kind, field);
        } while (reader_left(&reader) > 0);
        return reader_check(&reader, ERR_IMA_MALFORMED, "template data");
}

static void read_legacy_data(Reader *reader, ImaEntry *entry) {
        size_t begin = reader->offset;
        entry->file_digest = reader_span(reader, hash_size(HASH_SHA1), "file digest");
        uint32_t size = reader_u32le(reader, "file name size");
        if (size > IMA_FILE_NAME_MAX)
                reader_fail(reader, "file name size");
        entry->file_name = reader_span(reader, size, "file name");
        if (reader_failed(reader))
                return;
        entry->file_digest_alg = HASH_SHA1;
        entry->has_fields = true;
        entry->template_data = span_make(reader->input.data + begin, reader->offset - begin);
}

static bool is_printable(Span text) {
        for (size_t i = 0; i < text.size; i++)
                if (text.data[i] <= 0x20 || text.data[i] >= 0x7f)
                        return false;
        return text.size > 0;
}

static void read_entry(Reader *reader, size_t digest_size, ImaEntry *entry) {
        entry->pcr = reader_u32le(reader, "PCR index");
        if (entry->pcr >= PCR_COUNT)
                reader_fail(reader, "PCR index");
        entry->template_digest = reader_span(reader, digest_size, "template digest");
        uint32_t size = reader_u32le(reader, "template name size");
        if (size == 0 || size > IMA_NAME_MAX)
                reader_fail(reader, "template name size");
        entry->template_name = reader_span(reader, size, "template name");
        if (!is_printable(entry->template_name))
                reader_fail(reader, "template name");
        if (span_equal_string(entry->template_name, TEMPLATE_LEGACY)) {
                read_legacy_data(reader, entry);
                return;
        }
        size = reader_u32le(reader, "template data size");
        if (size > IMA_DATA_MAX)
                reader_fail(reader, "template data size");
        entry->template_data = reader_span(reader, size, "template data");
}

/* How well does the first entry fit template digests of that size? 0: not at all. A digest that is right beats everything. */
static Err *judge_digest_size(Span input, size_t digest_size, unsigned *ret) {
        Reader reader = reader_make(input);
        ImaEntry entry = {};
        bool matches = false;
        read_entry(&reader, digest_size, &entry);
        *ret = 0;
        if (reader_failed(&reader)) {
                /* cut, but only behind a template name that makes sense */
                *ret = reader.failed_wanted > 0 && is_printable(entry.template_name) ? 1 : 0;
                return NULL;
        }
        *ret = 2;
        if (span_is_zero(entry.template_digest))
                return NULL;
        TRY(ima_entry_verify(&entry, &matches));
        *ret = matches ? 3 : 2;
        return NULL;
}

static Err *find_digest_size(Span input, size_t *ret) {
        unsigned best = 0;
        size_t size = digest_sizes[0];
        for (size_t i = 0; i < N_ELEMENTS(digest_sizes); i++) {
                unsigned fit;
                TRY(judge_digest_size(input, digest_sizes[i], &fit));
                if (fit > best) {
                        best = fit;
                        size = digest_sizes[i];
                }
        }
        *ret = size; /* where nothing fits, ima_list_next() says what is wrong with the usual size */
        return NULL;
}

Err *ima_list_open(Span input, size_t digest_size, ImaList *ret) {
        if (input.size == 0)
                return err_new(ERR_LOG_EMPTY, "the IMA list has no bytes");
        if (input.size > IMA_SIZE_MAX)
                return err_new(ERR_LOG_TOO_LARGE, "the IMA list has %zu bytes, the limit is %llu", input.size, (unsigned long long) IMA_SIZE_MAX);
        if (digest_size == 0)
                TRY(find_digest_size(input, &digest_size));
        else if (ima_digest_alg(digest_size) == HASH_NONE)
                return err_new(ERR_INVALID_ARGUMENT, "no template digest of an IMA list has %zu bytes", digest_size);
        *ret = ima_list_resume(input, 0, 0, digest_size);
        return NULL;
}

ImaList ima_list_resume(Span input, size_t offset, uint64_t n_entries, size_t digest_size) {
        return (ImaList) { .input = input, .offset = MIN_OF(offset, input.size), .n_entries = n_entries, .digest_size = digest_size };
}

static Err *parse_entry(ImaList *list, Reader *reader, ImaEntry *entry) {
        read_entry(reader, list->digest_size, entry);
        bool cut = reader->failed_wanted > 0;
        TRY(reader_check(reader, cut ? ERR_LOG_TRUNCATED : ERR_IMA_MALFORMED, "IMA list"));
        if (!entry->has_fields)
                TRY(read_fields(entry));
        entry->is_violation = span_is_zero(entry->template_digest);
        entry->end = reader->offset;
        return NULL;
}

Err *ima_list_next(ImaList *list, ImaEntry *ret, bool *ret_more) {
        if (list->offset >= list->input.size) {
                *ret_more = false;
                return NULL;
        }
        ImaEntry entry = { .number = list->n_entries, .offset = list->offset };
        Reader reader = { .input = list->input, .offset = list->offset };
        TRY(err_wrap(parse_entry(list, &reader, &entry), "entry %llu at offset %zu", (unsigned long long) entry.number, entry.offset));
        list->offset = entry.end;
        list->n_entries++;
        *ret = entry;
        *ret_more = true;
        return NULL;
}

static bool is_legacy(const ImaEntry *entry) {
        return span_equal_string(entry->template_name, TEMPLATE_LEGACY);
}

Err *ima_entry_hash(const ImaEntry *entry, uint16_t alg, Digest *ret) {
        static const uint8_t zeros[IMA_FILE_NAME_MAX + 1];
        if (!is_legacy(entry))
                return hash_digest(alg, entry->template_data, ret);
        _cleanup_(hash_freep) Hash *hash = NULL;
        TRY(hash_new(alg, &hash));
        TRY(hash_update(hash, entry->file_digest));
        TRY(hash_update(hash, entry->file_name));
        TRY(hash_update(hash, span_make(zeros, sizeof(zeros) - MIN_OF(entry->file_name.size, sizeof(zeros)))));
        return hash_finish(hash, ret);
}

Err *ima_entry_verify(const ImaEntry *entry, bool *ret_matches) {
        Digest digest;
        if (span_is_zero(entry->template_digest)) {
                *ret_matches = true;
                return NULL;
        }
        TRY(ima_entry_hash(entry, ima_digest_alg(entry->template_digest.size), &digest));
        *ret_matches = span_equal(digest_span(&digest), entry->template_digest);
        return NULL;
}

ImaReplay ima_replay_start(const uint16_t *algs, size_t n_algs) {
        ImaReplay replay = { .n_banks = MIN_OF(n_algs, (size_t) PCR_BANKS_MAX) };
        for (size_t i = 0; i < replay.n_banks; i++)
                replay.values[i] = digest_zero(algs[i]);
        return replay;
}

/* What the kernel extends bank alg with. */
static Err *extension(const ImaEntry *entry, bool padded_sha1, uint16_t alg, Digest *ret) {
        if (entry->is_violation) {
                *ret = digest_zero(alg);
                memset(ret->bytes, 0xff, ret->size);
                return NULL;
        }
        if (!padded_sha1 || alg == HASH_SHA1)
                return ima_entry_hash(entry, alg, ret);
        TRY(ima_entry_hash(entry, HASH_SHA1, ret));
        ret->alg = alg;
        ret->size = (uint16_t) hash_size(alg); /* the bytes behind the SHA-1 are zero */
        return NULL;
}

Err *ima_entry_extend(const ImaEntry *entry, bool padded_sha1, Digest *value) {
        Digest digest;
        TRY(extension(entry, padded_sha1, value->alg, &digest));
        return digest_extend(value, digest_span(&digest));
}

Err *ima_replay_entry(ImaReplay *replay, const ImaEntry *entry) {
        ImaReplay next = *replay;
        for (size_t i = 0; i < next.n_banks && entry->pcr == PCR_IMA; i++)
                TRY(ima_entry_extend(entry, next.padded_sha1, &next.values[i]));
        next.n_entries++;
        next.n_violations += entry->is_violation;
        next.size += entry->end - entry->offset;
        *replay = next;
        return NULL;
}
