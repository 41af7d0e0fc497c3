/* POST /attest/Tpm: challenge and report; the versions of the interface. */
#pragma once

#include "instance/service.h"

/* ret_where says which of the two messages it was (FAULT_AT_OTHER if it was neither), on every path. */
Err *attest_handle(Service *service, const ServiceRequest *request, ServiceReply *reply, FaultWhere *ret_where) _must_check_;
/* NULL: absent. Error: REQUEST_INVALID. */
Err *attest_check_api_version(const char *version) _must_check_;
