/* See eventlog-digest.h. What is hashed, by type (PFP 1.06 §10.4.1, table of events; for texts of boot loaders their source):
 *
 *     variables, GPT, tags of Windows, S-CRTM version, actions, separators   the event data
 *     EV_EFI_VARIABLE_BOOT                  the data of the variable alone, in newer firmware the whole event data
 *     EV_SEPARATOR after an error           u32 1
 *     EV_IPL of GRUB "PREFIX: TEXT\0"       TEXT without its NUL, by some with it; bytes may follow the NUL
 *     EV_IPL of systemd-stub, UTF-16        the text with its NUL, without it, or the event data
 *     EV_EVENT_TAG u32 tag | u32 size | …   the event data, or what follows size
 *
 * TPM 1.2 firmware that hashes the data of every variable alone, and old versions of shim in EV_EFI_VARIABLE_AUTHORITY, measured something else than
 * they logged: such a digest does not vouch for the name, or for anything in the log, and so it differs.
 *
 * A text is hashed by some with and by others without the NUL that ends it. */
#include "tcg/eventlog-digest.h"

#include "base/reader.h"

#define CANDIDATES_MAX 6

typedef struct Candidates {
        size_t n;
        Span spans[CANDIDATES_MAX];
        bool must;              /* none of them fits: the digest differs */
} Candidates;

static void add(Candidates *candidates, Span span) {
        if (candidates->n < CANDIDATES_MAX)
                candidates->spans[candidates->n++] = span;
}

/* Without the NULs at the end; unit is the size of a character. */
static Span without_nul(Span text, size_t unit) {
        while (text.size >= unit && span_is_zero(span_make(text.data + text.size - unit, unit)))
                text.size -= unit;
        return text;
}

static void add_text(Candidates *candidates, Span text) {
        add(candidates, text);
        add(candidates, without_nul(text, 1));
}

static void add_variable_data(Candidates *candidates, Span data) {
        Reader reader = reader_make(data);
        reader_span(&reader, 16, "GUID");
        uint64_t length = reader_u64le(&reader, "name length"), size = reader_u64le(&reader, "data size");
        if (length > data.size)
                return;
        reader_span(&reader, length * 2, "name");
        Span value = reader_span(&reader, size, "data");
        if (!reader_failed(&reader))
                add(candidates, value);
}

/* GRUB's prefixes; an event that has one is GRUB's, so its digest must fit. */
static void add_ipl(Candidates *candidates, Span data) {
        static const char *const prefixes[] = { "grub_cmd: ", "kernel_cmdline: ", "module_cmdline: ", "grub_cmd ", "grub_kernel_cmdline " };
        add_text(candidates, data);
        const uint8_t *nul = data.size > 0 ? memchr(data.data, 0, data.size) : NULL;
        size_t text_size = nul ? (size_t) (nul - data.data) : data.size;
        for (size_t i = 0; i < N_ELEMENTS(prefixes); i++) {
                size_t size = strlen(prefixes[i]);
                if (text_size < size || memcmp(data.data, prefixes[i], size) != 0)
                        continue;
                add(candidates, span_make(data.data + size, text_size - size));
                if (nul)
                        add(candidates, span_make(data.data + size, text_size - size + 1));
                candidates->must = true;
                return;
        }
        if (data.size >= 2 && data.size % 2 == 0 && data.data[0] && !data.data[1])
                add(candidates, without_nul(data, 2));
}

static void add_tagged(Candidates *candidates, Span data) {
        Reader reader = reader_make(data);
        reader_u32le(&reader, "tag");
        Span inner = reader_span(&reader, reader_u32le(&reader, "size"), "tagged data");
        add(candidates, data);
        if (!reader_failed(&reader))
                add(candidates, inner);
}

static Candidates candidates_of(const EventLogEvent *event) {
        static const uint8_t error_value[] = { 1, 0, 0, 0 };
        Candidates candidates = {};
        switch (event->type) {
        case 0x00000004: /* EV_SEPARATOR */
                add(&candidates, event->data);
                add(&candidates, SPAN_OF(error_value));
                candidates.must = true;
                break;
        case 0x80000002: /* EV_EFI_VARIABLE_BOOT */
                add_variable_data(&candidates, event->data);
                add(&candidates, event->data);
                candidates.must = true;
                break;
        case 0x00000005: /* EV_ACTION */
        case 0x00000012: /* EV_OMIT_BOOT_DEVICE_EVENTS */
        case 0x80000007: /* EV_EFI_ACTION */
                add_text(&candidates, event->data);
                candidates.must = true;
                break;
        case 0x00000008: /* EV_S_CRTM_VERSION */
        case 0x80000001: /* EV_EFI_VARIABLE_DRIVER_CONFIG */
        case 0x80000006: /* EV_EFI_GPT_EVENT */
        case 0x8000000c: /* EV_EFI_VARIABLE_BOOT2 */
        case 0x8000000d: /* EV_EFI_GPT_EVENT2 */
        case 0x800000e0: /* EV_EFI_VARIABLE_AUTHORITY */
                add(&candidates, event->data);
                candidates.must = true;
                break;
        case 0x0000000d: /* EV_IPL */
                add_ipl(&candidates, event->data);
                break;
        case 0x00000006: /* EV_EVENT_TAG */
                add_tagged(&candidates, event->data);
                break;
        case 0x00000001: /* EV_POST_CODE */
        case 0x00000007: /* EV_S_CRTM_CONTENTS */
        case 0x00000009: /* EV_CPU_MICROCODE */
        case 0x0000000a: /* EV_PLATFORM_CONFIG_FLAGS */
        case 0x0000000b: /* EV_TABLE_OF_DEVICES */
        case 0x0000000c: /* EV_COMPACT_HASH */
        case 0x00000010: /* EV_NONHOST_CONFIG */
        case 0x00000011: /* EV_NONHOST_INFO */
        case 0x80000010: /* EV_EFI_HCRTM_EVENT */
                add_text(&candidates, event->data);
                break;
        default: /* lint: types of the wire, not an enum of ours */
                break;
        }
        return candidates;
}

/* *ret_n: digests that could be computed; *ret_equal: all of these are of data. */
static Err *compare(const EventLogEvent *event, Span data, size_t *ret_n, bool *ret_equal) {
        size_t n = 0;
        bool equal = true;
        for (size_t i = 0; i < event->n_digests; i++) {
                Digest digest;
                if (hash_size(event->digests[i].alg) == 0)
                        continue;
                _cleanup_(err_freep) Err *err = hash_digest(event->digests[i].alg, data, &digest);
                if (err_code(err) == ERR_NOT_SUPPORTED)
                        continue;
                if (err)
                        return steal_ptr(&err);
                n++;
                equal = equal && digest_equal(&digest, &event->digests[i]);
        }
        *ret_n = n;
        *ret_equal = equal && n > 0;
        return NULL;
}

Err *eventlog_digest_check(const EventLogEvent *event, EventLogDigestCheck *ret) {
        Candidates candidates = candidates_of(event);
        size_t n = 0;
        for (size_t i = 0; i < candidates.n; i++) {
                bool equal;
                TRY(compare(event, candidates.spans[i], &n, &equal));
                if (equal) {
                        *ret = EVENTLOG_DIGEST_OK;
                        return NULL;
                }
        }
        *ret = candidates.must && n > 0 ? EVENTLOG_DIGEST_DIFFERS : EVENTLOG_DIGEST_NOT_CHECKABLE;
        return NULL;
}

Err *eventlog_digest_is_error_separator(const EventLogEvent *event, bool *ret) {
        static const uint8_t error_value[] = { 1, 0, 0, 0 };
        size_t n;
        return compare(event, SPAN_OF(error_value), &n, ret);
}
