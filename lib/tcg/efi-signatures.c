/* See efi-signatures.h. A database is a row of lists:
 *
 *     16 bytes type GUID | u32 list size, all of it | u32 header size | u32 signature size | header | n * { 16 bytes owner GUID | signature } */
#include "tcg/efi-signatures.h"

#include <openssl/err.h>
#include <openssl/x509.h>

#include "tcg/efi-guid.h"
#include "tcg/efi-text.h"

#define LIST_HEADER_SIZE 28

static void bio_freep(BIO **bio) {
        BIO_free(*bio);
}

static void certificate_freep(X509 **certificate) {
        X509_free(*certificate);
}

Err *efi_certificate_subject(Span der, char **ret) {
        const unsigned char *position = der.data;
        char *text = NULL;
        _cleanup_(certificate_freep) X509 *certificate = der.size > 0 && der.size <= INT32_MAX ? d2i_X509(NULL, &position, (long) der.size) : NULL;
        _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
        if (!bio)
                return err_oom();
        if (!certificate || X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) < 0) {
                ERR_clear_error();
                return string_copy("", ret);
        }
        long size = BIO_get_mem_data(bio, &text);
        return efi_text_from_8bit(span_make(text, size > 0 ? (size_t) size : 0), ret);
}

static Err *add_subjects(Json *list, Reader *signatures, uint32_t size, Writer *lines) {
        Json *subjects;
        size_t n = 0;
        TRY(json_new_array(&subjects));
        TRY(json_add(list, "subjects", subjects));
        for (; n < EFI_SUBJECTS_MAX && reader_left(signatures) >= size; n++) {
                _cleanup_free_ char *subject = NULL;
                efi_guid_read(signatures, "owner");
                TRY(efi_certificate_subject(reader_span(signatures, size - EFI_GUID_SIZE, "signature"), &subject));
                TRY(json_append(subjects, json_object_new_string(subject)));
                writer_format(lines, "%s%s", n > 0 ? "; " : " (", *subject ? subject : "not a certificate");
        }
        writer_string(lines, n > 0 ? ")" : "");
        return NULL;
}

static Err *decode_list(Reader *reader, Json *lists, Writer *lines) {
        Json *list;
        EfiGuid type = efi_guid_read(reader, "signature type");
        uint32_t list_size = reader_u32le(reader, "list size"), header_size = reader_u32le(reader, "header size");
        uint32_t size = reader_u32le(reader, "signature size");
        if (!reader_failed(reader) && (list_size < LIST_HEADER_SIZE || size < EFI_GUID_SIZE))
                reader_fail(reader, "list size");
        Span body = reader_span(reader, (uint64_t) list_size - LIST_HEADER_SIZE, "signature list");
        TRY(reader_check(reader, ERR_EVENTLOG_MALFORMED, "signature database"));
        Reader signatures = reader_make(body);
        reader_span(&signatures, header_size, "signature header");
        TRY(reader_check(&signatures, ERR_EVENTLOG_MALFORMED, "signature list"));
        size_t count = reader_left(&signatures) / size;
        TRY(json_new_object(&list));
        TRY(json_append(lists, list));
        TRY(json_add_string(list, "type", type.text));
        TRY(json_add_string(list, "type_name", type.name));
        TRY(json_add_integer(list, "count", (int64_t) count));
        writer_format(lines, "%s: %zu", efi_guid_label(&type), count);
        if (type.name && strcmp(type.name, "X.509") == 0)
                TRY(add_subjects(list, &signatures, size, lines));
        writer_u8(lines, '\n');
        return NULL;
}

Err *efi_signatures_decode(Span database, Json **ret, Writer *lines) {
        _cleanup_json_ Json *lists = NULL;
        Reader reader = reader_make(database);
        TRY(json_new_array(&lists));
        while (reader_left(&reader) > 0)
                TRY(decode_list(&reader, lists, lines));
        *ret = steal_ptr(&lists);
        return NULL;
}
