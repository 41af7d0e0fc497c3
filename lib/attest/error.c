/* See error.h. */
#include "attest/internal.h"

AttestError *attest_error_new(const char *name, const char *message) {
        return error_out(err_new(err_code_from_name(name ?: ""), "%s", message ?: ""));
}

AttestError *attest_error_free(AttestError *error) {
        return error_out(err_free(error_in(error)));
}

const char *attest_error_get_name(const AttestError *error) {
        return error ? err_code_info(err_code((const Err *) error))->name : "";
}

const char *attest_error_describe(const AttestError *error) {
        return error ? err_describe((const Err *) error) : "";
}

const char *attest_error_get_help(const AttestError *error) {
        return error ? err_code_info(err_code((const Err *) error))->help : "";
}

AttestRetry attest_error_get_retry(const AttestError *error) {
        switch (error ? err_code_info(err_code((const Err *) error))->retry : ERR_RETRY_NEVER) {
        case ERR_RETRY_TRANSIENT:
                return ATTEST_RETRY_TRANSIENT;
        case ERR_RETRY_PERMANENT:
                return ATTEST_RETRY_PERMANENT;
        case ERR_RETRY_NEVER:
                return ATTEST_RETRY_NEVER;
        }
        return ATTEST_RETRY_NEVER;
}

uint64_t attest_error_get_retry_after_usec(const AttestError *error) {
        return error ? err_retry_after((const Err *) error) : 0;
}

int attest_error_get_http_status(const AttestError *error) {
        return err_http_status((const Err *) error);
}

const char *attest_error_get_service_code(const AttestError *error) {
        return err_detail((const Err *) error, ERR_DETAIL_SERVICE_CODE);
}

const char *attest_error_get_service_message(const AttestError *error) {
        return err_detail((const Err *) error, ERR_DETAIL_SERVICE_MESSAGE);
}

const char *attest_error_get_service_target(const AttestError *error) {
        return err_detail((const Err *) error, ERR_DETAIL_SERVICE_TARGET);
}

const char *attest_error_get_service_details(const AttestError *error) {
        return err_detail((const Err *) error, ERR_DETAIL_SERVICE_DETAILS);
}

const char *attest_error_get_inner_error(const AttestError *error) {
        return err_detail((const Err *) error, ERR_DETAIL_INNER_ERROR);
}

const char *attest_error_get_request_id(const AttestError *error) {
        return err_detail((const Err *) error, ERR_DETAIL_REQUEST_ID);
}
