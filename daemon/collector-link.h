/* The daemon's link to the collector: asynchronous calls, one at a time, each with a deadline; TPM health.
 *
 * A call past its deadline makes the health "stuck": later calls are refused at once with the same code, no second collector is started against the same
 * chip, and a ping waits in the collector's queue; when it comes back the health is "ok" again. A collector that died is connected to (or started) anew with
 * the next call. */
#pragma once

#include <systemd/sd-event.h>

#include "collector/collector.h"

typedef enum TpmHealth { TPM_HEALTH_OK, TPM_HEALTH_STUCK, TPM_HEALTH_ABSENT } TpmHealth;
const char *tpm_health_to_string(TpmHealth health);

#define COLLECTOR_QUEUE_MAX 64

typedef struct CollectorLink CollectorLink;
typedef void (*CollectorLinkChanged)(void *userdata);   /* health changed */
/* What options point at is borrowed and must outlive the link; a socket in them is taken. */
Err *collector_link_new(sd_event *event, const CollectorOptions *options, CollectorLinkChanged changed, void *userdata, CollectorLink **ret) _must_check_;
CollectorLink *collector_link_free(CollectorLink *link);
DEFINE_CLEANUP(CollectorLink, collector_link_free)
TpmHealth collector_link_health(const CollectorLink *link);

/* One call, waiting or under way. Callbacks come from the event loop, once; the call is gone when they return. err is borrowed; evidence and info are handed over. */
typedef struct CollectorCall CollectorCall;
typedef void (*CollectorQuoteCallback)(void *userdata, const Err *err, Evidence *steal_evidence);
typedef void (*CollectorInfoCallback)(void *userdata, const Err *err, CollectorInfo *steal_info);
Err *collector_link_quote(CollectorLink *link, Span qualifying_data, Span certify, CollectorQuoteCallback callback, void *userdata, CollectorCall **ret) _must_check_;
/* signature is borrowed. */
typedef void (*CollectorSignCallback)(void *userdata, const Err *err, Span signature);
Err *collector_link_sign(CollectorLink *link, Span digest, CollectorSignCallback callback, void *userdata, CollectorCall **ret) _must_check_;
/* report is borrowed. */
typedef void (*CollectorReportCallback)(void *userdata, const Err *err, VsmReportKind kind, Span report);
Err *collector_link_report(CollectorLink *link, Span user_data, CollectorReportCallback callback, void *userdata, CollectorCall **ret) _must_check_;
Err *collector_link_get_info(CollectorLink *link, CollectorInfoCallback callback, void *userdata, CollectorCall **ret) _must_check_;
/* No callback will come. A call that is under way in the collector is left to end there. */
CollectorCall *collector_call_cancel(CollectorCall *call);
