/* Is an error of profile_validate() a judgement about the token, or could it not be judged (keys out of reach, too many requests)? */
#pragma once

#include "base/error.h"

/* error.def keeps "formats" and "token rules" together, from BASE64_INVALID to KEY_INVALID. */
static inline bool verdict_is_about_token(ErrCode code) {
        return code >= ERR_BASE64_INVALID && code <= ERR_KEY_INVALID;
}
