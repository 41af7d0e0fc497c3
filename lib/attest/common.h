/* What all public headers need. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define ATTEST_MUST_CHECK __attribute__((warn_unused_result))
#else
#define ATTEST_MUST_CHECK
#endif

#if defined(__cplusplus)
#define ATTEST_BEGIN extern "C" {
#define ATTEST_END }
#else
#define ATTEST_BEGIN
#define ATTEST_END
#endif
