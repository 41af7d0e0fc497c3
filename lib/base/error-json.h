/* An error as JSON, one form for every face that has one:
 *
 *     {"code":"ServiceRefused","message":"sentence: cause",
 *      "service":{"status":400,"code":"…","message":"…","target":"…","details":[…],"inner_error":{…},"request_id":"…"}}
 *
 * "service" holds what the service said of it, in its own words; what it did not say is left out, and so is "service" where it said nothing. */
#pragma once

#include "base/json.h"

Err *err_to_json(const Err *err, Json **ret) _must_check_;
