/* See openssl.h. */
#include "jose/openssl.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>

void openssl_forget_errors(void) {
        ERR_clear_error();
}

Err *openssl_error(ErrCode code, const char *format, ...) {
        unsigned long number = ERR_get_error();
        ERR_clear_error();
        if (ERR_GET_REASON(number) == ERR_R_MALLOC_FAILURE)
                return err_oom();

        _cleanup_free_ char *sentence = NULL;
        va_list arguments;
        va_start(arguments, format);
        int r = vasprintf(&sentence, format, arguments);
        va_end(arguments);
        if (r < 0) {
                sentence = NULL;
                return err_oom();
        }
        const char *reason = number == 0 ? NULL : ERR_reason_error_string(number);
        return err_new_native(code, ERR_DOMAIN_OPENSSL, (int64_t) number, "%s%s%s", sentence, reason ? ": " : "", reason ? reason : "");
}
