/* Giving up the one capability. */
#pragma once

#include "base/error.h"

/* Takes CAP_DAC_READ_SEARCH out of the permitted, effective, inheritable and ambient sets, for good. The logs must be open by then.
 * Error: INTERNAL. */
Err *privilege_drop_log_access(void) _must_check_;
