/* One piece of evidence as JSON: its kind is found by its first bytes, its fields by the decoders of lib/tcg. */
#pragma once

#include "base/json.h"

#define EVIDENCE_PIECE_SIZE_MAX (1u << 20)

/* What binds the piece to something else, where it is of a kind that says so. */
typedef enum EvidenceBinding { EVIDENCE_BINDING_NONE, EVIDENCE_BINDING_HOLDS, EVIDENCE_BINDING_BROKEN } EvidenceBinding;

/* {"kind":…, …}; where the kind has a binding, with "binding":{"holds":…,"message":…}. Errors: NOT_SUPPORTED if it is of no known kind; those of the
 * decoders. */
Err *evidence_decode(Span input, Json **ret, EvidenceBinding *ret_binding) _must_check_;
/* The two kinds with most fields, in evidence-reports.c. Both add to an object that is there. */
Err *evidence_add_paravisor_report(Json *json, Span input, EvidenceBinding *ret_binding) _must_check_;
Err *evidence_add_vbs_enclave_report(Json *json, Span input) _must_check_;
Err *evidence_add_vbs_key_claim(Json *json, Span input) _must_check_;
