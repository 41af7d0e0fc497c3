/* OpenMetrics text of what the daemon knows about itself and its profiles (OpenMetrics 1.0). */
#pragma once

#include "daemon/manager.h"

#define METRICS_CONTENT_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* Times that never were are left out, as OpenMetrics wants it. */
Err *metrics_render(const ManagerStatus *manager, const ProfileStatus *profiles, size_t n_profiles, char **ret) _must_check_;
