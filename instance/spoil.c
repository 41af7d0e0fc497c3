/* See spoil.h. */
#include "instance/spoil.h"

#include <inttypes.h>
#include <time.h>

#include "base/writer.h"

#define OVERSIZED (2u << 20)     /* the client's limit is 1 MiB */
#define DEEP 100000

static const struct {
        unsigned status;
        const char *code, *message;
} errors[] = {
        { 401, "Unauthorized", "the request has no credential with a role on this instance" },
        { 403, "Forbidden", "the identity may not do this" },
        { 404, "NotFound", "there is nothing here" },
        { 408, "RequestTimeout", "the request took too long" },
        { 410, "Gone", "the service is being updated" },
        { 429, "TooManyRequests", "there were too many requests" },
        { 500, "InternalServerError", "an internal error" },
        { 503, "ServiceUnavailable", "the service is temporarily unavailable" },
};

static Err *set_retry_after(Faults *faults, FaultWhere where, ServiceReply *reply) {
        int64_t seconds;
        if (fault_take(faults, FAULT_RETRY_AFTER, where, &seconds))
                return string_format(&reply->retry_after, "%" PRId64, seconds);
        if (!fault_take(faults, FAULT_RETRY_AFTER_DATE, where, &seconds))
                return NULL;
        char text[64];
        time_t when = reply->date_sec + seconds;
        struct tm tm;
        strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&when, &tm));
        return string_copy(text, &reply->retry_after);
}

static Err *set_status(Faults *faults, FaultWhere where, unsigned status, ServiceReply *reply) {
        const char *code = "Error", *message = "an error";
        for (size_t i = 0; i < N_ELEMENTS(errors); i++)
                if (errors[i].status == status) {
                        code = errors[i].code;
                        message = errors[i].message;
                }
        Err *error = err_new(ERR_SERVICE_REFUSED, "%s (a fault that was asked for)", message);
        if (where & FAULT_AT_AUTHORITY)
                TRY(authority_reply_error(reply, status, status < 500 ? "invalid_request" : "temporarily_unavailable", error));
        else if (where & FAULT_AT_IMDS)
                TRY(imds_reply_error(reply, status, status < 500 ? "invalid_request" : "server_error", error));
        else
                TRY(service_reply_error(reply, status, code, error));
        return set_retry_after(faults, where, reply);
}

/* Name of the first member, with its quotes. */
static Span first_member(Span body) {
        const uint8_t *begin = memchr(body.data, '"', body.size);
        const uint8_t *end = begin ? memchr(begin + 1, '"', body.size - (size_t) (begin + 1 - body.data)) : NULL;
        return end ? span_make(begin, (size_t) (end + 1 - begin)) : (Span) {};
}

/* Puts tail in place of the last brace. */
static Err *replace_end(ServiceReply *reply, const char *tail) {
        _cleanup_writer_ Writer writer = {};
        writer_span(&writer, span_make(reply->body.data, reply->body.size - 1));
        writer_string(&writer, tail);
        bytes_done(&reply->body);
        return writer_finish(&writer, &reply->body);
}

static Err *repeat_first_member(ServiceReply *reply) {
        Span member = first_member(bytes_span(&reply->body));
        _cleanup_free_ char *tail = NULL;
        TRY(string_format(&tail, ",%.*s:\"\"}", (int) member.size, (const char *) member.data));
        return replace_end(reply, tail);
}

static Err *fill(ServiceReply *reply, Span head, char c, size_t n, char close) {
        _cleanup_bytes_ Bytes fresh = {};
        TRY(bytes_alloc(head.size + n + (close ? n : 0), &fresh));
        for (size_t i = 0; i < fresh.size; i++)
                fresh.data[i] = i < head.size ? head.data[i] : (uint8_t) (i < head.size + n ? c : close);
        bytes_done(&reply->body);
        reply->body = bytes_steal(&fresh);
        return NULL;
}

/* {"keys":1} for lists and metadata; attest/Tpm handles these two itself, inside its envelope. */
static Err *spoil_first_member(Faults *faults, FaultWhere where, ServiceReply *reply) {
        if (!(where & (FAULT_AT_CERTS | FAULT_AT_OPENID | FAULT_AT_AUTHORITY | FAULT_AT_IMDS)))
                return NULL;
        Span member = first_member(bytes_span(&reply->body));
        _cleanup_writer_ Writer writer = {};
        if (fault_take(faults, FAULT_MISSING_MEMBER, where, NULL))
                writer_string(&writer, "{}");
        else if (fault_take(faults, FAULT_WRONG_TYPE, where, NULL))
                writer_format(&writer, "{%.*s:1}", (int) member.size, (const char *) member.data);
        else
                return NULL;
        _cleanup_bytes_ Bytes fresh = {};
        TRY(writer_finish(&writer, &fresh));
        bytes_done(&reply->body);
        reply->body = bytes_steal(&fresh);
        return NULL;
}

static Err *spoil_text(Faults *faults, FaultWhere where, ServiceReply *reply) {
        if (reply->body.size < 2)
                return NULL;
        TRY(spoil_first_member(faults, where, reply));
        if (fault_take(faults, FAULT_BAD_BASE64, where, NULL))
                reply->body.data[reply->body.size / 2] = '*';
        if (fault_take(faults, FAULT_DUPLICATE_MEMBER, where, NULL))
                TRY(repeat_first_member(reply));
        if (fault_take(faults, FAULT_MALFORMED_JSON, where, NULL))
                TRY(replace_end(reply, ",}"));
        if (fault_take(faults, FAULT_DEEP_JSON, where, NULL))
                TRY(fill(reply, (Span) {}, '[', DEEP, ']'));
        if (fault_take(faults, FAULT_OVERSIZED, where, NULL)) {
                _cleanup_bytes_ Bytes head = bytes_steal(&reply->body);
                TRY(fill(reply, bytes_span(&head), ' ', OVERSIZED, '\0'));
        }
        return NULL;
}

Err *spoil_reply(Faults *faults, FaultWhere where, ServiceReply *reply) {
        int64_t value;
        if (fault_take(faults, FAULT_LATENCY, where, &value))
                reply->latency_msec = (uint64_t) value;
        if (fault_take(faults, FAULT_RESET, where, NULL)) {
                reply->reset = true;
                return NULL;
        }
        if (fault_take(faults, FAULT_STATUS, where, &value))
                return set_status(faults, where, (unsigned) value, reply);
        TRY(spoil_text(faults, where, reply));
        if (fault_take(faults, FAULT_CHUNKED, where, NULL))
                reply->chunked = true;
        reply->truncate = fault_take(faults, FAULT_TRUNCATED_BODY, where, NULL);
        return NULL;
}
