/* The kernel's IMA measurement list, binary form (security/integrity/ima/ima_fs.c, ima_measurements_show()):
 *
 *     u32 PCR | digest (20 bytes of SHA-1 template digest; other sizes in binary_runtime_measurements_ALG) |
 *     u32 name size | name | u32 data size | template data          little endian; template "ima" has no data size
 *
 * A bank's PCR is extended with H_bank(template data); a violation (zero digest) extends 0xff bytes. The list grows while it is read: the
 * replay is a running state that survives from round to round and takes new bytes. */
#pragma once

#include "tcg/pcr.h"

#define IMA_SIZE_MAX (UINT64_C(512) << 20)
#define IMA_NAME_MAX 255              /* EVENT_NAME_LEN_MAX of the kernel */
#define IMA_DATA_MAX (UINT32_C(4) << 20)
#define IMA_FILE_NAME_MAX 255         /* IMA_EVENT_NAME_LEN_MAX of the kernel: of template "ima" alone */

typedef struct ImaEntry {
        uint64_t number;
        size_t offset;           /* of its first byte in the input */
        size_t end;              /* offset behind its last byte */
        uint32_t pcr;
        Span template_digest;
        bool is_violation;
        Span template_name;
        Span template_data;      /* as it stands in the list; see ima_entry_hash() for what is hashed */
        bool has_fields;         /* the template's fields were understood */
        uint16_t file_digest_alg;
        Span file_digest;
        Span file_name;          /* without the NUL */
        Span file_signature;
        Span buffer;             /* of template ima-buf: what is no file (a key, a kernel's version) */
} ImaEntry;

typedef struct ImaList {
        Span input;
        size_t offset;
        uint64_t n_entries;
        size_t digest_size;      /* of the template digest: 20, 32, 48 or 64 */
} ImaList;
/* digest_size 0: found out from the first entry. Errors: IMA_MALFORMED, LOG_EMPTY. */
Err *ima_list_open(Span input, size_t digest_size, ImaList *ret) _must_check_;
/* Errors: IMA_MALFORMED; LOG_TRUNCATED if the input ends inside an entry (list->offset stays at its beginning). */
Err *ima_list_next(ImaList *list, ImaEntry *ret, bool *ret_more) _must_check_;
/* The list from start on, n_entries being before it: for a list that was already read so far. */
ImaList ima_list_resume(Span input, size_t offset, uint64_t n_entries, size_t digest_size);

/* The template hash as the kernel computes it (ima_calc_field_array_hash_tfm()): over the template data; for "ima" over digest and name,
 * the name filled with zeros to 256 bytes. */
Err *ima_entry_hash(const ImaEntry *entry, uint16_t alg, Digest *ret) _must_check_;
/* Is the logged template digest the hash of the template data? Always true for violations. */
Err *ima_entry_verify(const ImaEntry *entry, bool *ret_matches) _must_check_;
/* The algorithm of template digests of that size; HASH_NONE if there is none. */
uint16_t ima_digest_alg(size_t digest_size);

/* Running replay of PCR 10 in some banks. */
typedef struct ImaReplay {
        uint64_t n_entries, n_violations;
        uint64_t size;                       /* bytes of whole entries replayed */
        size_t n_banks;
        Digest values[PCR_BANKS_MAX];        /* PCR 10 after n_entries */
        bool padded_sha1;                    /* kernels before 5.8: other banks get the zero-padded SHA-1 digest */
} ImaReplay;
ImaReplay ima_replay_start(const uint16_t *algs, size_t n_algs);
/* Extends value, a PCR in value->alg's bank, as the kernel did for entry. */
Err *ima_entry_extend(const ImaEntry *entry, bool padded_sha1, Digest *value) _must_check_;
/* Extends by one entry. Entries of another PCR than 10 (ima_policy pcr=) are counted, not extended. */
Err *ima_replay_entry(ImaReplay *replay, const ImaEntry *entry) _must_check_;
