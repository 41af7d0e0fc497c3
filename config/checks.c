/* Checks of strings that are kept as they are; see values.h. */
#include <ctype.h>
#include <strings.h>

#include "config/values.h"

static Err *not_allowed(bool ok, const char *what) {
        return ok ? NULL : err_new(ERR_INVALID_ARGUMENT, "%s is needed", what);
}

static const char *after_prefix(const char *text, const char *prefix) {
        size_t size = strlen(prefix);
        return strncmp(text, prefix, size) == 0 ? text + size : NULL;
}

static bool is_word(const char *text) {
        return *text && !text[strcspn(text, " \t")];
}

static bool is_path(const char *text) {
        return *text == '/' && text[1] && text[strlen(text) - 1] != '/';
}

/* 0xXXXXXXXX with the first byte given (TPM 2.0 Part 2 §7.2: 0x01 NV index, 0x81 persistent object). */
static bool is_handle(const char *text, const char *first_byte) {
        return strncasecmp(text, "0x", 2) == 0 && strncmp(text + 2, first_byte, 2) == 0 && strlen(text) == 10 &&
               strspn(text + 2, "0123456789abcdefABCDEF") == 8;
}

static bool is_nv(const char *text) {
        const char *handle = after_prefix(text, "nv:");
        return handle && is_handle(handle, "01");
}

Err *value_check_text(const char *text) {
        return NULL;
}

Err *value_check_word(const char *text) {
        return not_allowed(is_word(text), "text without blanks");
}

Err *value_check_path(const char *text) {
        return not_allowed(is_path(text), "an absolute path");
}

Err *value_check_tcti(const char *text) {
        size_t name = strcspn(text, ":");
        bool ok = name > 0;
        for (size_t i = 0; i < name; i++)
                ok = ok && (isalnum((unsigned char) text[i]) || strchr("._-/", text[i]));
        return not_allowed(ok, "a TCTI such as device:/dev/tpmrm0 or swtpm:host=127.0.0.1,port=2321");
}

Err *value_check_aik_handle(const char *text) {
        const char *file = after_prefix(text, "file:");
        bool ok = string_equal(text, "auto") || string_equal(text, "own") || is_handle(text, "81") || (file && is_path(file));
        return not_allowed(ok, "auto, own, a persistent handle 0x81000000 to 0x81ffffff, or file:/PATH");
}

static bool is_other_key(Span word) {
        static const char plain[] = ":plain";
        char handle[sizeof("0x81000000")];
        size_t n = sizeof(handle) - 1;
        if (word.size != n && !(word.size == n + strlen(plain) && span_equal(span_make(word.data + n, strlen(plain)), span_from_string(plain))))
                return false;
        for (size_t i = 0; i < n; i++)
                handle[i] = (char) word.data[i];
        handle[n] = 0;
        return is_handle(handle, "81");
}

Err *value_check_other_keys(const char *text) {
        static const char separators[] = " \t";
        unsigned n_keys = 0;
        bool ok = true;
        for (const char *p = text + strspn(text, separators); ok && *p; p += strspn(p, separators)) {
                Span word = span_make(p, strcspn(p, separators));
                ok = is_other_key(word) && ++n_keys <= 2;
                p += word.size;
        }
        return not_allowed(ok, "at most two persistent handles 0x81000000 to 0x81ffffff, with :plain behind those that are not to be certified,");
}

Err *value_check_aik_certificate(const char *text) {
        bool ok = string_equal(text, "auto") || string_equal(text, "none") || is_nv(text) || is_path(text);
        return not_allowed(ok, "auto, none, nv:0x01XXXXXX or an absolute path");
}

static bool is_bank(Span word, size_t *ret_index) {
        static const char *const banks[] = { "sha1", "sha256", "sha384", "sha512", "sm3_256", "sha3_256", "sha3_384", "sha3_512" };
        for (size_t i = 0; i < N_ELEMENTS(banks); i++)
                if (span_equal_string(word, banks[i])) {
                        *ret_index = i;
                        return true;
                }
        return false;
}

Err *value_check_pcr_bank(const char *text) {
        static const char separators[] = " \t";
        uint32_t seen = 0;
        bool ok = true;
        for (const char *p = text + strspn(text, separators); ok && *p; p += strspn(p, separators)) {
                Span word = span_make(p, strcspn(p, separators));
                size_t index;
                ok = is_bank(word, &index) && !(seen & UINT32_C(1) << index);
                if (ok)
                        seen |= UINT32_C(1) << index;
                p += word.size;
        }
        ok = string_equal(text, "auto") || (ok && seen != 0);
        return not_allowed(ok, "auto, or one or more of sha1, sha256, sha384, sha512, sm3_256, sha3_256, sha3_384 and sha3_512 with blanks in between, none twice,");
}

Err *value_check_vbs_report(const char *text) {
        const char *command = after_prefix(text, "command:"), *file = after_prefix(text, "file:");
        bool ok = string_equal(text, "none") || is_nv(text) || (command && *command == '/') || (file && is_path(file));
        return not_allowed(ok, "none, nv:0x01XXXXXX, command:/PATH or file:/PATH");
}

Err *value_check_api_version(const char *text) {
        static const char form[] = "dddd-dd-dd";
        bool ok = strlen(text) >= strlen(form);
        for (size_t i = 0; ok && i < strlen(form); i++)
                ok = form[i] == 'd' ? isdigit((unsigned char) text[i]) != 0 : text[i] == form[i];
        ok = ok && (!text[strlen(form)] || string_equal(text + strlen(form), "-preview"));
        return not_allowed(ok, "a version such as 2020-10-01 or 2022-09-01-preview");
}

static bool is_http_url(const char *text) {
        const char *rest = after_prefix(text, "http://");
        if (!rest)
                rest = after_prefix(text, "https://");
        return rest && *rest && *rest != '/' && *rest != ':' && is_word(text);
}

Err *value_check_proxy(const char *text) {
        return not_allowed(is_http_url(text), "http://host:port or https://host:port");
}

Err *value_check_http_url(const char *text) {
        return not_allowed(is_http_url(text), "an http:// or https:// URL");
}

Err *value_check_policy_hash(const char *text) {
        _cleanup_bytes_ Bytes hash = {};
        _cleanup_(err_freep) Err *err = base64url_decode(span_from_string(text), "the policy hash", &hash);
        return not_allowed(!err && hash.size == 32, "the base64url of a SHA-256 digest (43 characters)");
}
