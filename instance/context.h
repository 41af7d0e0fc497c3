/* Challenges and their service contexts: the instance remembers a challenge by handing it out encrypted.
 *
 * The service context is base64url({"ProtectionKeyName":"<64 hex>","ProtectedContext":"<base64url>"}), of the same form and size as the real
 * service's, where ProtectedContext is 128 bytes:
 *
 *     0    12 random nonce
 *     12  100 AES-256-GCM ciphertext of: version u8 | epoch 16 | sequence u64 be | issued u64 be | challenge 16 | zeros
 *     112  16 tag                                             additional data: the key name's 64 characters
 *
 * A challenge works once and for five minutes. Neither fact needs a table that grows: sequence numbers count up within one process (the
 * epoch, drawn at its start), and a bitmap over the newest CONTEXT_WINDOW of them says which were used. An older number, another epoch
 * or a time out of range is refused, so nothing else has to be remembered. */
#pragma once

#include "base/bytes.h"

#define CONTEXT_KEY_SIZE 32
#define CONTEXT_CHALLENGE_SIZE 16
#define CONTEXT_LIFETIME_USEC (UINT64_C(300) * 1000000)   /* INFERRED: the service publishes none */
#define CONTEXT_WINDOW 65536u                              /* challenges that may be outstanding at once */

typedef struct ContextKeeper ContextKeeper;
/* key has CONTEXT_KEY_SIZE bytes. */
Err *context_keeper_new(Span key, ContextKeeper **ret) _must_check_;
ContextKeeper *context_keeper_free(ContextKeeper *keeper);
DEFINE_CLEANUP(ContextKeeper, context_keeper_free)

/* Draws a challenge. now_usec is monotonic: a step of the wall clock must not revive or kill a challenge. */
Err *context_issue(ContextKeeper *keeper, uint64_t now_usec, Bytes *ret_challenge, char **ret_service_context) _must_check_;
/* Other things that the instance remembers by handing them out: content of up to CONTEXT_CONTENT_MAX bytes as base64url(nonce | ciphertext | tag),
 * of the same layout with content where the challenge stands and without zeros; a context of one kind is none of the other. Opening spends it. */
#define CONTEXT_CONTENT_MAX 8192u
Err *context_seal(ContextKeeper *keeper, Span content, uint64_t now_usec, char **ret) _must_check_;
/* Error: CHALLENGE_INVALID, as context_redeem() has it. */
Err *context_unseal(ContextKeeper *keeper, const char *text, uint64_t now_usec, Bytes *ret_content) _must_check_;
/* Opens a service context and spends it, whatever comes of the rest of the request. Error: CHALLENGE_INVALID saying whether it is
 * malformed, not ours, of an earlier start, too old, or used. */
Err *context_redeem(ContextKeeper *keeper, const char *service_context, uint64_t now_usec, Bytes *ret_challenge) _must_check_;
