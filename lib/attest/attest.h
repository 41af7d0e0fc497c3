/* libattest: a client of Microsoft Azure Attestation, and of the local attest-instance(1).
 *
 * Every function that can fail returns an AttestError, NULL if all is well, and writes its results, which come last, on success alone. Objects are made by
 * …_new() and freed by …_free(), which takes NULL, and returns NULL. What a …_get_…() returns belongs to its object and lives until the object is changed or
 * freed; texts that are the caller's are said to be, and go with free(). All texts are UTF-8 and end in NUL.
 *
 * The library has no global state (but for algorithms, which it looks up in OpenSSL once), makes no thread, prints nothing and reads no environment. An object may
 * be used by one thread at a time; different objects by different threads at once. Calls of AttestClient and AttestSession that go to the network block.
 *
 * pkg-config: libattest. Manual: libattest(3). */
#pragma once

#include "azure-guest.h"
#include "client.h"
#include "credential.h"
#include "enclave.h"
#include "error.h"
#include "evidence.h"
#include "policy.h"
#include "rules.h"
#include "session.h"
#include "token.h"
