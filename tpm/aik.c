/* See aik.h. */
#include "tpm/aik.h"

#include <ctype.h>
#include <errno.h>
#include <time.h>

#include "tcg/aik.h"
#include "tcg/aik-certificate.h"
#include "tpm/nv.h"
#include "tpm/quote.h"

void aik_done(Aik *aik) {
        tpm_object_done(&aik->object);
        bytes_done(&aik->public);
        bytes_done(&aik->name);
        bytes_done(&aik->certificate);
        freep(&aik->origin);
        freep(&aik->certificate_issuer);
        freep(&aik->notice);
}

Err *aik_parse_handle(const char *text, uint32_t *ret) {
        char *end = NULL;
        errno = 0;
        unsigned long value = strncmp(text, "0x", 2) == 0 && isxdigit((unsigned char) text[2]) ? strtoul(text, &end, 16) : 0;
        if (!end || *end || errno != 0 || value > UINT32_MAX)
                return err_new(ERR_CONFIG_INVALID, "\"%s\" is no TPM handle; one looks like 0x81000003", text);
        *ret = (uint32_t) value;
        return NULL;
}

/* Keeps the first one: later ones follow from it. */
static void add_notice(Aik *aik, char **steal_notice) {
        if (!aik->notice)
                aik->notice = steal_ptr(steal_notice);
}

/* Public area and name of the loaded key, and whether it can attest. */
static Err *describe_key(TpmContext *context, Aik *aik) {
        _cleanup_free_ TPM2B_PUBLIC *public = NULL;
        TRY(TPM_CALL(context, "TPM2_ReadPublic of the attestation key",
                     Esys_ReadPublic(context->esys, aik->object.handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, NULL, NULL)));
        TRY(quote_public_from_tss(&public->publicArea, ERR_TPM_AIK_INVALID, &aik->public));
        Err *err = aik_public_check(bytes_span(&aik->public));
        if (err_code(err) == ERR_QUOTE_MALFORMED)
                return err_wrap_code(ERR_TPM_AIK_INVALID, err, "the key is of a kind that is not known");
        TRY(err);
        return tpm_public_name(bytes_span(&aik->public), &aik->name);
}

static Err *load_persistent(TpmContext *context, TPM2_HANDLE handle, Aik *ret) {
        _cleanup_aik_ Aik aik = { .object = { .context = context, .handle = ESYS_TR_NONE, .is_persistent = true } };
        bool exists;
        TRY(tpm_handle_exists(context, handle, &exists));
        if (!exists)
                return err_new(ERR_TPM_AIK_MISSING, "the TPM has no key at 0x%08x", handle);
        TRY(TPM_CALL(context, "looking up the attestation key",
                     Esys_TR_FromTPMPublic(context->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &aik.object.handle)));
        TRY(err_wrap(describe_key(context, &aik), "0x%08x", handle));
        TRY(string_format(&aik.origin, "0x%08x", handle));
        *ret = aik;
        aik = (Aik) AIK_NONE;
        return NULL;
}

static Err *load_own(TpmContext *context, OwnKey *own, Aik *ret) {
        _cleanup_aik_ Aik aik = AIK_NONE;
        TRY(own_key_load(own, context, &aik.object));
        TRY(describe_key(context, &aik));
        TRY(string_copy("own", &aik.origin));
        if (own->notice)
                TRY(string_copy(own->notice, &aik.notice));
        *ret = aik;
        aik = (Aik) AIK_NONE;
        return NULL;
}

static Err *load_wrapped(TpmContext *context, const char *path, const char *origin, Aik *ret) {
        _cleanup_aik_ Aik aik = AIK_NONE;
        TRY(own_key_load_file(path, context, &aik.object));
        TRY(err_wrap(describe_key(context, &aik), "%s", path));
        TRY(string_copy(origin, &aik.origin));
        *ret = aik;
        aik = (Aik) AIK_NONE;
        return NULL;
}

static bool is_ecc(AikAlgorithm algorithm) {
        return algorithm == AIK_ALGORITHM_ECC_P256 || algorithm == AIK_ALGORITHM_ECC_P384;
}

static Err *load_platform(TpmContext *context, bool allow_ecc, Aik *ret) {
        _cleanup_aik_ Aik aik = AIK_NONE;
        TpmPublic public;
        TRY(load_persistent(context, AIK_PLATFORM_HANDLE, &aik));
        TRY(tpm_public_parse(bytes_span(&aik.public), &public));
        if (public.type == TPM_ALG_ECC && !allow_ecc)
                return err_new(ERR_TPM_AIK_INVALID, "0x%08x: it is an EC key, which the service's protocol does not describe; AikHandle=0x%08x asks for it",
                               AIK_PLATFORM_HANDLE, AIK_PLATFORM_HANDLE);
        *ret = aik;
        aik = (Aik) AIK_NONE;
        return NULL;
}

/* The platform's key, else our own one; a platform's key that cannot attest is passed over, and said. */
static Err *load_automatic(TpmContext *context, OwnKey *own, Aik *ret) {
        _cleanup_(err_freep) Err *err = load_platform(context, is_ecc(own->algorithm), ret);
        if (err_code(err) != ERR_TPM_AIK_MISSING && err_code(err) != ERR_TPM_AIK_INVALID)
                return steal_ptr(&err);
        _cleanup_aik_ Aik aik = AIK_NONE;
        _cleanup_free_ char *notice = NULL;
        TRY(load_own(context, own, &aik));
        if (err_code(err) == ERR_TPM_AIK_INVALID) {
                TRY(string_format(&notice, "a key of our own is used, because the platform's does not do: %s", err_describe(err)));
                add_notice(&aik, &notice);
        }
        *ret = aik;
        aik = (Aik) AIK_NONE;
        return NULL;
}

static Err *load_key(TpmContext *context, const AikOptions *options, OwnKey *own, Aik *ret) {
        static const char file_prefix[] = "file:";
        uint32_t handle;
        if (string_equal(options->handle, "auto"))
                return load_automatic(context, own, ret);
        if (string_equal(options->handle, "own"))
                return load_own(context, own, ret);
        if (strncmp(options->handle, file_prefix, strlen(file_prefix)) == 0)
                return err_wrap(load_wrapped(context, options->handle + strlen(file_prefix), options->handle, ret), "AikHandle=");
        TRY(err_wrap(aik_parse_handle(options->handle, &handle), "AikHandle="));
        return load_persistent(context, handle, ret);
}

static Err *format_date(int64_t seconds, char text[sizeof("2026-01-31T00:00:00Z")]) {
        struct tm tm;
        time_t when = (time_t) seconds;
        if (!gmtime_r(&when, &tm) || strftime(text, sizeof("2026-01-31T00:00:00Z"), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                return err_new(ERR_AIK_CERTIFICATE_INVALID, "the AIK certificate's dates are impossible");
        return NULL;
}

/* Out of date is worth a notice, no more: whoever gets the certificate judges it by his own clock. */
static Err *judge_dates(Aik *aik, const AikCertificate *certificate, int64_t now) {
        char date[sizeof("2026-01-31T00:00:00Z")];
        _cleanup_free_ char *notice = NULL;
        bool is_future = now < certificate->not_before;
        if (!is_future && now <= certificate->not_after)
                return NULL;
        TRY(format_date(is_future ? certificate->not_before : certificate->not_after, date));
        TRY(string_format(&notice, "the AIK certificate, issued by \"%s\", %s %s", certificate->issuer, is_future ? "is not valid before" : "has expired at", date));
        add_notice(aik, &notice);
        return NULL;
}

static Err *describe_certificate(Aik *aik, Span der) {
        _cleanup_(aik_certificate_freep) AikCertificate *certificate = NULL;
        TRY(aik_certificate_read(der, &certificate));
        TRY(judge_dates(aik, certificate, time(NULL)));
        aik->certificate_expires = certificate->not_after > 0 ? (uint64_t) certificate->not_after : 0;
        aik->certificate_issuer = steal_ptr(&certificate->issuer);
        return NULL;
}

/* Sets aik->certificate where it is for the key. */
static Err *take_certificate(Aik *aik, Span input, const char *what) {
        _cleanup_bytes_ Bytes der = {};
        TRY(aik_decode_certificate(input, what, &der));
        TRY(err_wrap(aik_match_certificate(bytes_span(&der), bytes_span(&aik->public)), "reading %s", what));
        TRY(err_wrap(describe_certificate(aik, bytes_span(&der)), "reading %s", what));
        aik->certificate = bytes_steal(&der);
        return NULL;
}

static Err *certificate_from_nv(TpmContext *context, uint32_t index, Aik *aik) {
        _cleanup_bytes_ Bytes content = {};
        char what[sizeof("NV index 0x01234567")];
        NvState nv_state;
        TRY(nv_read(context, index, &nv_state, &content));
        snprintf(what, sizeof(what), "NV index 0x%08x", index);
        switch (nv_state) {
        case NV_ABSENT:
                return err_new(ERR_AIK_CERTIFICATE_INVALID, "the TPM has no %s", what);
        case NV_UNWRITTEN:
                return err_new(ERR_AIK_CERTIFICATE_INVALID, "%s is defined, but nobody has written the certificate there yet", what);
        case NV_OK:
                return take_certificate(aik, bytes_span(&content), what);
        }
        return NULL;
}

static Err *certificate_from_platform(TpmContext *context, Aik *aik) {
        bool exists;
        TRY(tpm_handle_exists(context, AIK_PLATFORM_CERTIFICATE, &exists));
        if (!exists)
                return NULL;
        _cleanup_(err_freep) Err *err = certificate_from_nv(context, AIK_PLATFORM_CERTIFICATE, aik);
        if (err_code(err) != ERR_AIK_CERTIFICATE_INVALID && err_code(err) != ERR_TPM_AUTHORIZATION)
                return steal_ptr(&err);
        _cleanup_free_ char *notice = NULL;
        TRY(string_format(&notice, "the AIK goes without a certificate: %s", err_describe(err)));
        add_notice(aik, &notice);
        return NULL;
}

static Err *certificate_from_file(const char *path, Aik *aik) {
        _cleanup_bytes_ Bytes content = {};
        Err *err = file_read(path, AIK_CERTIFICATE_SIZE_MAX, &content);
        if (err_code(err) == ERR_LIMIT_EXCEEDED)
                return err_wrap_code(ERR_AIK_CERTIFICATE_INVALID, err, "reading the AIK certificate");
        TRY(err_wrap(err, "reading the AIK certificate"));
        return take_certificate(aik, bytes_span(&content), path);
}

/* What an enrolment brought; nothing where there is no such file. */
static Err *certificate_from_enrolment(const OwnKey *own, Aik *aik) {
        int64_t number = 0;
        _cleanup_(err_freep) Err *err = certificate_from_file(own->certificate_path, aik);
        if (err_code(err) == ERR_IO && err_native(err, &number) == ERR_DOMAIN_ERRNO && number == ENOENT)
                return NULL;
        if (err_code(err) != ERR_AIK_CERTIFICATE_INVALID)
                return steal_ptr(&err);
        _cleanup_free_ char *notice = NULL;
        TRY(string_format(&notice, "the certificate of an earlier enrolment is not used: %s", err_describe(err)));
        add_notice(aik, &notice);
        return NULL;
}

static Err *certificate_automatic(TpmContext *context, const OwnKey *own, Aik *aik) {
        bool is_own = string_equal(aik->origin, "own");
        if (is_own)
                TRY(certificate_from_enrolment(own, aik));
        if (aik->certificate.size == 0)
                TRY(certificate_from_platform(context, aik));
        return NULL;
}

static Err *load_certificate(TpmContext *context, const char *where, const OwnKey *own, Aik *aik) {
        static const char nv_prefix[] = "nv:";
        uint32_t index;
        if (string_equal(where, "none"))
                return NULL;
        if (string_equal(where, "auto"))
                return certificate_automatic(context, own, aik);
        if (strncmp(where, nv_prefix, strlen(nv_prefix)) != 0)
                return certificate_from_file(where, aik);
        TRY(err_wrap(aik_parse_handle(where + strlen(nv_prefix), &index), "AikCertificate="));
        return certificate_from_nv(context, index, aik);
}

Err *aik_load(TpmContext *context, const AikOptions *options, OwnKey *own, Aik *ret) {
        _cleanup_aik_ Aik aik = AIK_NONE;
        TRY(load_key(context, options, own, &aik));
        TRY(load_certificate(context, options->certificate, own, &aik));
        *ret = aik;
        aik = (Aik) AIK_NONE;
        return NULL;
}
