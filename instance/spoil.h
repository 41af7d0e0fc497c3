/* Faults of the finished answer, whatever it is: status, transport, and the text of its JSON. */
#pragma once

#include "instance/service.h"

/* Takes the faults that hit an answer of that kind and does to it what they say. */
Err *spoil_reply(Faults *faults, FaultWhere where, ServiceReply *reply) _must_check_;
