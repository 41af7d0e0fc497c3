/* How the service words the errors of its administration and of policies that permit nothing, see admin.h.
 *
 * Its messages name the number and the HRESULT of an error in the enclave that judges policies (Azure Attestation, "troubleshooting guide"; recorded
 * answers), with the cause in Msg:[…]:
 *
 *     Attestation Enclave operation failed with 65526: Exception(0) 83FFFFF6 Invalid policy was specified    Msg:[…] \n\r\n
 *     Unhandled Enclave Exception: "Invalid policy was specified"\r\n
 *
 * Our own causes stand in the brackets; line and column of a policy as the service puts them. */
#include <inttypes.h>
#include <stdio.h>

#include "instance/admin.h"

typedef struct EnclaveError {
        const char *code;
        unsigned number;
        uint32_t hresult;
        const char *text;
} EnclaveError;

static const EnclaveError
        parsing = { "PolicyParsingError", 65526, 0x83FFFFF6, "Invalid policy was specified" },
        not_found = { "InvalidParameter", 65529, 0x83FFFFF9, "The requested item is not found" },
        no_signers = { "InvalidOperation", 65530, 0x83FFFFFA, "Invalid operation was specified" }, /* these words are ours */
        evaluation = { "PolicyEvaluationError", 65518, 0x83FFFFEE, "Policy Evaluation Error has occurred" },
        bad_message = { "InvalidOperation", 74, 0x83FF004A, "Bad message" };

static const EnclaveError *classify(ErrCode code) {
        if (code == ERR_POLICY_INVALID)
                return &parsing;
        if (code == ERR_SERVICE_POLICY_DENIED || code == ERR_POLICY_FAILED)
                return &evaluation;
        if (code == ERR_TOKEN_CHAIN_INVALID)
                return &not_found;
        if (code == ERR_CONFIG_MISSING || code == ERR_CONFIG_INVALID)
                return &no_signers;
        return &bad_message;
}

/* "policy: line 3, column 7: found …" becomes what the service's parser would say. */
static Err *describe(const Err *error, char **ret) {
        unsigned line, column;
        int end = 0;
        const char *sentence = err_sentence(error);
        if (err_code(error) != ERR_POLICY_INVALID || sscanf(sentence, "policy: line %u, column %u: %n", &line, &column, &end) != 2 || end == 0)
                return string_copy(err_describe(error), ret);
        return string_format(ret, "Policy Parser Exception Thrown: Line: '%u', Column: '%u'\nFailure message: '%s'", line, column, sentence + end);
}

static Err *refuse_by_enclave(ServiceReply *reply, const Err *error) {
        _cleanup_free_ char *cause = NULL, *message = NULL;
        const EnclaveError *kind = classify(err_code(error));
        TRY(describe(error, &cause));
        TRY(string_format(&message,
                          "Attestation Enclave operation failed with %u: Exception(0) %08" PRIX32 " %s    Msg:[%s] \n\r\nUnhandled Enclave Exception: \"%s\"\r\n",
                          kind->number, kind->hresult, kind->text, cause, kind->text));
        return service_reply_refusal(reply, 400, kind->code, message, err_describe(error));
}

Err *admin_refuse(ServiceReply *reply, Err *steal_error) {
        _cleanup_(err_freep) Err *error = steal_error;
        ErrCode code = err_code(error);
        if (code == ERR_NO_MEMORY || code == ERR_INTERNAL || code == ERR_IO)
                return service_reply_error(reply, 500, "InternalServerError", steal_ptr(&error));
        if (code == ERR_ACCESS_DENIED)
                return service_reply_error(reply, 401, "Unauthorized", steal_ptr(&error));
        if (code == ERR_REQUEST_INVALID || code == ERR_LIMIT_EXCEEDED)
                return service_reply_error(reply, 400, "InvalidParameter", steal_ptr(&error));
        return refuse_by_enclave(reply, error);
}
