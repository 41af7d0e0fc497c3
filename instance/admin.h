/* The administration of the instance: policies, and who may sign them.
 *
 *     GET  /policies/TYPE          PUT /policies/TYPE          POST /policies/TYPE:reset
 *     GET  /certificates           POST /certificates:add      POST /certificates:remove
 *
 * What an instance allows depends on its kind, as with the service: aad takes unsigned policies and those that anybody signed; isolated those that a
 * registered signer signed, who alone may change the list of signers too; on a shared one policies can only be read. Only an isolated one has signers.
 * Successes are tokens, {"token":"…"}; errors use the service's codes, and its words where they are public. */
#pragma once

#include "instance/service.h"

bool admin_is_responsible(const char *path);
Err *admin_handle(Service *service, const ServiceRequest *request, ServiceReply *reply) _must_check_;
/* An error as an answer in the service's form; takes error. */
Err *admin_refuse(ServiceReply *reply, Err *steal_error) _must_check_;
