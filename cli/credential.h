/* What [Credential] says, asked for an access token: for verbs that talk to the service without the daemon. */
#pragma once

#include "client/driver.h"
#include "config/config.h"

/* "Bearer …" to be overwritten and freed by cli_credential_forget(); NULL where Type=none. budget_usec: all waiting between requests, 0 for the library's default. */
Err *cli_credential_get(const Config *config, const TransportOptions *transport, uint64_t budget_usec, char **ret) _must_check_;
void cli_credential_forget(char **authorization);
#define _cleanup_authorization_ _cleanup_(cli_credential_forget)
