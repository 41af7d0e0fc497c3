/* PCR values in the JSON files of evidence, [{"bank":"sha256","values":{"0":"hex",…}},…]: one element for each bank in the quote's order. */
#pragma once

#include "base/json.h"
#include "tcg/pcr.h"

/* Adds them to json as its member "pcrs". */
Err *pcr_values_to_json(Json *json, const PcrValues *pcrs) _must_check_;
/* Reads that member into *pcrs, which has no bank yet. Errors: JSON_MEMBER_*, INVALID_ARGUMENT for what is no hex, EVIDENCE_MALFORMED. */
Err *pcr_values_from_json(const Json *json, PcrValues *pcrs) _must_check_;
