/* See aik-exchange.h. */
#include "cli/aik-exchange.h"

#include <stdio.h>

#include "client/driver.h"

Err *aik_exchange_request(Collector *collector, const char *algorithm, bool needs_certificate, Json **ret) {
        _cleanup_(collector_endorsement_done) CollectorEndorsement endorsement = {};
        _cleanup_(collector_info_freep) CollectorInfo *info = NULL;
        _cleanup_json_ Json *json = NULL;
        TRY(collector_get_endorsement_key(collector, algorithm, &endorsement));
        if (needs_certificate && endorsement.ek_certificate.size == 0)
                return err_new(ERR_EK_CERTIFICATE_INVALID, "the TPM has no certificate for its endorsement key (%s)", endorsement.ek_origin);
        TRY(collector_get_info(collector, &info));
        TRY(json_new_object(&json));
        TRY(json_add_base64url(json, "ek_public", bytes_span(&endorsement.ek_public)));
        TRY(json_add_base64url(json, "ek_certificate", bytes_span(&endorsement.ek_certificate)));
        if (endorsement.ek_notice)
                fprintf(stderr, "attestctl: %s\n", endorsement.ek_notice);
        if (endorsement.ek_chain.size > 0)
                TRY(json_add_base64url(json, "ek_chain", bytes_span(&endorsement.ek_chain)));
        TRY(json_add_base64url(json, "aik_public", bytes_span(&info->aik_public)));
        TRY(json_add_base64url(json, "aik_name", bytes_span(&info->aik_name)));
        *ret = steal_ptr(&json);
        return NULL;
}

Err *aik_exchange_activate(Collector *collector, const Json *answer, Bytes *ret_secret) {
        _cleanup_bytes_ Bytes object = {}, encrypted = {};
        TRY(json_get_base64url(answer, "credential_blob", &object));
        TRY(json_get_base64url(answer, "encrypted_secret", &encrypted));
        return collector_activate_credential(collector, bytes_span(&object), bytes_span(&encrypted), ret_secret);
}

Err *aik_exchange_store(Collector *collector, const Json *answer, Bytes *ret_der) {
        _cleanup_bytes_ Bytes der = {};
        TRY(json_get_base64url(answer, "certificate", &der));
        TRY(err_wrap(collector_store_aik_certificate(collector, bytes_span(&der)), "keeping the certificate"));
        *ret_der = bytes_steal(&der);
        return NULL;
}

Err *aik_exchange_post(const AikAuthority *authority, const char *path, const Json *body, Json **ret) {
        _cleanup_(operation_freep) Operation *operation = NULL;
        _cleanup_free_ char *url = NULL, *text = NULL;
        const TransportOptions transport = {
                .ca_file = authority->ca_file, .connect_timeout_usec = authority->timeout_usec, .timeout_usec = authority->timeout_usec,
        };
        TRY(string_format(&url, "%s%s", authority->url, path));
        TRY(json_to_string(body, &text));
        TRY(operation_new_exchange("POST", url, text, &operation));
        TRY(driver_run(operation, &transport, NULL));
        *ret = operation_take_exchange(operation);
        return NULL;
}
