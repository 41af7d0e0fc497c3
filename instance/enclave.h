/* POST /attest/SgxEnclave and /attest/OpenEnclave: quotes of SGX enclaves, judged by the policy of their type or a draft that the request brings.
 *
 * Checked: the quote's signatures up to the PCK certificate that it carries (tcg/sgx-quote.h); that certificate's issuers, where ServiceOptions.sgx_roots
 * are given; that the report data is the SHA-256 of the run-time data, and CONFIGID that of the init-time data. Not checked, because it takes collateral
 * that only Intel has: TCB level, identity of the quoting enclave, revocation. */
#pragma once

#include "instance/service.h"

/* ret_type is set where it is true. */
bool enclave_is_responsible(const char *path, AttestationType *ret_type);
Err *enclave_handle(Service *service, const ServiceRequest *request, AttestationType type, ServiceReply *reply) _must_check_;
