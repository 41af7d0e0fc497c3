/* See collector-link.h. The queue is a list; its head is the call under way once it was sent. A cancelled head stays, deaf, until its reply or deadline:
 * the collector is busy with it all the same. */
#include "daemon/collector-link.h"

#include "daemon/log.h"

typedef enum CallKind { CALL_INFO, CALL_QUOTE, CALL_REPORT, CALL_SIGN } CallKind;

struct CollectorCall {
        CollectorLink *link;
        CollectorCall *next;
        CallKind kind;
        bool is_sent, is_deaf;
        Bytes data;                     /* qualifying data, user data, digest */
        Bytes certify;                  /* of a quote */
        sd_bus_slot *slot;
        CollectorQuoteCallback on_quote;
        CollectorReportCallback on_report;
        CollectorSignCallback on_signature;
        CollectorInfoCallback on_info;
        void *userdata;
};

struct CollectorLink {
        sd_event *event;
        CollectorOptions options;
        Collector *collector;
        bool knows_key;                 /* a call succeeded, so there is a key: from now on none takes as long as making one */
        CollectorCall *queue;
        size_t n_queued;
        sd_event_source *pump;          /* deferred: send the head of the queue */
        sd_bus_slot *ping;
        TpmHealth health;
        CollectorLinkChanged changed;
        void *userdata;
};

static void link_pump(CollectorLink *link);

const char *tpm_health_to_string(TpmHealth health) {
        switch (health) {
        case TPM_HEALTH_OK:
                return "ok";
        case TPM_HEALTH_STUCK:
                return "stuck";
        case TPM_HEALTH_ABSENT:
                return "absent";
        }
        return "?";
}

TpmHealth collector_link_health(const CollectorLink *link) {
        return link->health;
}

static void link_set_health(CollectorLink *link, TpmHealth health) {
        if (link->health == health)
                return;
        log_message(health == TPM_HEALTH_OK ? LOG_NOTICE : LOG_WARNING, "TPM health: %s → %s", tpm_health_to_string(link->health),
                    tpm_health_to_string(health));
        link->health = health;
        link->changed(link->userdata);
}

static CollectorCall *call_free(CollectorCall *call) {
        if (!call)
                return NULL;
        sd_bus_slot_unref(call->slot);
        bytes_done(&call->data);
        bytes_done(&call->certify);
        free(call);
        return NULL;
}

static void link_unqueue(CollectorLink *link, CollectorCall *call) {
        for (CollectorCall **place = &link->queue; *place; place = &(*place)->next)
                if (*place == call) {
                        *place = call->next;
                        link->n_queued--;
                        return;
                }
}

/* What a call brought, by its kind. */
typedef struct Answer {
        Evidence *evidence;
        CollectorInfo *info;
        VsmReportKind report_kind;
        Bytes report, signature;
} Answer;

static void answer_done(Answer *answer) {
        evidence_free(answer->evidence);
        collector_info_free(answer->info);
        bytes_done(&answer->report);
        bytes_done(&answer->signature);
}

static void call_back(CollectorCall *call, const Err *err, Answer *answer) {
        switch (call->kind) {
        case CALL_INFO:
                call->on_info(call->userdata, err, steal_ptr(&answer->info));
                break;
        case CALL_QUOTE:
                call->on_quote(call->userdata, err, steal_ptr(&answer->evidence));
                break;
        case CALL_REPORT:
                call->on_report(call->userdata, err, answer->report_kind, bytes_span(&answer->report));
                break;
        case CALL_SIGN:
                call->on_signature(call->userdata, err, bytes_span(&answer->signature));
                break;
        }
}

/* Takes the call off the queue, tells its owner, frees it. Consumes what was received. */
static void call_finish(CollectorCall *call, Err *steal_err, Answer *answer) {
        CollectorLink *link = call->link;
        _cleanup_(err_freep) Err *err = steal_err;
        link_unqueue(link, call);
        if (!call->is_deaf)
                call_back(call, err, answer);
        call_free(call);
        link_pump(link);
}

static void link_disconnect(CollectorLink *link) {
        link->ping = sd_bus_slot_unref(link->ping);
        if (link->collector)
                sd_bus_detach_event(collector_bus(link->collector));
        link->collector = collector_free(link->collector);
}

static int on_ping_reply(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        CollectorLink *link = userdata;
        link->ping = sd_bus_slot_unref(link->ping);
        _cleanup_(err_freep) Err *err = collector_ping_reply(reply);
        if (err_code(err) == ERR_COLLECTOR_UNAVAILABLE)
                link_disconnect(link);
        link_set_health(link, TPM_HEALTH_OK); /* the hang is over, one way or the other */
        link_pump(link);
        return 0;
}

/* A ping that waits behind the hanging call, without a deadline. */
static void link_send_ping(CollectorLink *link) {
        sd_bus_message *message = NULL;
        Err *err = collector_ping_call(link->collector, &message);
        int r = err ? 0 : sd_bus_call_async(collector_bus(link->collector), &link->ping, message, on_ping_reply, link, UINT64_MAX);
        if (r < 0)
                err = err_new_errno(ERR_COLLECTOR_UNAVAILABLE, r, "sending a ping");
        if (err) {
                link->ping = NULL; /* the next call tries with a new connection */
                log_error(LOG_WARNING, NULL, err, "asking the collector when the TPM is back");
        }
        sd_bus_message_unref(message);
        err_free(err);
}

static void link_note_outcome(CollectorLink *link, const Err *err) {
        switch (err_code(err)) {
        case ERR_TPM_STUCK:
                link_set_health(link, TPM_HEALTH_STUCK);
                if (link->collector && !link->ping)
                        link_send_ping(link);
                break;
        case ERR_TPM_ABSENT:
                link_set_health(link, TPM_HEALTH_ABSENT);
                break;
        case ERR_COLLECTOR_UNAVAILABLE:
                link_disconnect(link);
                break;
        case ERR_NONE:
                link->knows_key = true;
                link_set_health(link, TPM_HEALTH_OK);
                break;
        default:
                break;
        }
}

static Err *read_reply(const CollectorCall *call, sd_bus_message *reply, Answer *answer) {
        switch (call->kind) {
        case CALL_INFO:
                return collector_info_reply(reply, &answer->info);
        case CALL_QUOTE:
                return collector_quote_reply(reply, &answer->evidence);
        case CALL_REPORT:
                return collector_report_reply(reply, &answer->report_kind, &answer->report);
        case CALL_SIGN:
                return collector_sign_reply(reply, &answer->signature);
        }
        return err_new(ERR_INTERNAL, "a call of kind %d", (int) call->kind);
}

static Err *make_message(const CollectorLink *link, const CollectorCall *call, sd_bus_message **ret) {
        switch (call->kind) {
        case CALL_INFO:
                return collector_info_call(link->collector, ret);
        case CALL_QUOTE:
                return collector_quote_call(link->collector, bytes_span(&call->data), bytes_span(&call->certify), ret);
        case CALL_REPORT:
                return collector_report_call(link->collector, bytes_span(&call->data), ret);
        case CALL_SIGN:
                return collector_sign_call(link->collector, bytes_span(&call->data), ret);
        }
        return err_new(ERR_INTERNAL, "a call of kind %d", (int) call->kind);
}

static uint64_t call_timeout(const CollectorLink *link, const CollectorCall *call) {
        switch (call->kind) {
        case CALL_INFO:
                return link->knows_key ? COLLECTOR_QUOTE_USEC : COLLECTOR_INFO_USEC;
        case CALL_QUOTE:
                return COLLECTOR_QUOTE_USEC;
        case CALL_REPORT:
                return COLLECTOR_REPORT_USEC;
        case CALL_SIGN:
                return COLLECTOR_SIGN_USEC;
        }
        return COLLECTOR_QUOTE_USEC;
}

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        CollectorCall *call = userdata;
        CollectorLink *link = call->link;
        _cleanup_(answer_done) Answer answer = {};
        call->slot = sd_bus_slot_unref(call->slot);
        Err *err = read_reply(call, reply, &answer);
        link_note_outcome(link, err);
        call_finish(call, err, &answer);
        return 0;
}

static Err *link_connect(CollectorLink *link) {
        if (link->collector && sd_bus_is_open(collector_bus(link->collector)) > 0)
                return NULL;
        link_disconnect(link);
        CollectorOptions options = link->options;
        link->options.socket_fd = -1; /* a socket that was passed in is spent now; the number may be another file's next time */
        TRY(collector_open(&options, &link->collector));
        int r = sd_bus_attach_event(collector_bus(link->collector), link->event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0) {
                link->collector = collector_free(link->collector);
                return err_new_errno(ERR_INTERNAL, r, "attaching the collector to the event loop");
        }
        return NULL;
}

static Err *link_send(CollectorLink *link, CollectorCall *call) {
        if (link->health == TPM_HEALTH_STUCK && link->ping)
                return err_new(ERR_TPM_STUCK, "the TPM has not come back from an earlier command");
        TRY(link_connect(link));
        sd_bus_message *message = NULL;
        TRY(make_message(link, call, &message));
        int r = sd_bus_call_async(collector_bus(link->collector), &call->slot, message, on_reply, call, call_timeout(link, call));
        sd_bus_message_unref(message);
        if (r < 0) {
                link_disconnect(link);
                return err_new_errno(ERR_COLLECTOR_UNAVAILABLE, r, "sending to the collector");
        }
        call->is_sent = true;
        return NULL;
}

static int on_pump(sd_event_source *source, void *userdata) {
        CollectorLink *link = userdata;
        CollectorCall *call = link->queue;
        if (!call || call->is_sent)
                return 0;
        Err *err = link_send(link, call);
        if (err)
                call_finish(call, err, &(Answer) {});
        return 0;
}

static void link_pump(CollectorLink *link) {
        if (link->queue && !link->queue->is_sent)
                sd_event_source_set_enabled(link->pump, SD_EVENT_ONESHOT);
}

Err *collector_link_new(sd_event *event, const CollectorOptions *options, CollectorLinkChanged changed, void *userdata, CollectorLink **ret) {
        _cleanup_(collector_link_freep) CollectorLink *link = calloc(1, sizeof(CollectorLink));
        if (!link)
                return err_oom();
        link->event = sd_event_ref(event);
        link->options = *options;
        link->changed = changed;
        link->userdata = userdata;
        int r = sd_event_add_defer(event, &link->pump, on_pump, link);
        if (r >= 0)
                r = sd_event_source_set_enabled(link->pump, SD_EVENT_OFF);
        if (r < 0)
                return err_new_errno(ERR_INTERNAL, r, "setting up the link to the collector");
        *ret = steal_ptr(&link);
        return NULL;
}

CollectorLink *collector_link_free(CollectorLink *link) {
        if (!link)
                return NULL;
        while (link->queue) {
                CollectorCall *call = link->queue;
                link->queue = call->next;
                call_free(call);
        }
        link_disconnect(link);
        sd_event_source_disable_unref(link->pump);
        sd_event_unref(link->event);
        free(link);
        return NULL;
}

static Err *link_enqueue(CollectorLink *link, CollectorCall *steal_call, CollectorCall **ret) {
        if (link->n_queued >= COLLECTOR_QUEUE_MAX) {
                call_free(steal_call);
                return err_new(ERR_BUSY, "%d calls are waiting for the TPM already", COLLECTOR_QUEUE_MAX);
        }
        CollectorCall **end = &link->queue;
        while (*end)
                end = &(*end)->next;
        *end = steal_call;
        link->n_queued++;
        link_pump(link);
        *ret = steal_call;
        return NULL;
}

/* model becomes the call, with a copy of data; what it owns is taken, also on failure. */
static Err *link_enqueue_with_data(CollectorLink *link, const CollectorCall *model, Span data, CollectorCall **ret) {
        CollectorCall *call = calloc(1, sizeof(CollectorCall));
        if (!call) {
                free(model->certify.data);
                return err_oom();
        }
        *call = *model;
        Err *err = bytes_copy(data, &call->data);
        if (err) {
                call_free(call);
                return err;
        }
        return link_enqueue(link, call, ret);
}

Err *collector_link_quote(CollectorLink *link, Span qualifying_data, Span certify, CollectorQuoteCallback callback, void *userdata, CollectorCall **ret) {
        CollectorCall model = { .link = link, .kind = CALL_QUOTE, .on_quote = callback, .userdata = userdata };
        TRY(bytes_copy(certify, &model.certify));
        return link_enqueue_with_data(link, &model, qualifying_data, ret);
}

Err *collector_link_sign(CollectorLink *link, Span digest, CollectorSignCallback callback, void *userdata, CollectorCall **ret) {
        const CollectorCall model = { .link = link, .kind = CALL_SIGN, .on_signature = callback, .userdata = userdata };
        return link_enqueue_with_data(link, &model, digest, ret);
}

Err *collector_link_report(CollectorLink *link, Span user_data, CollectorReportCallback callback, void *userdata, CollectorCall **ret) {
        const CollectorCall model = { .link = link, .kind = CALL_REPORT, .on_report = callback, .userdata = userdata };
        return link_enqueue_with_data(link, &model, user_data, ret);
}

Err *collector_link_get_info(CollectorLink *link, CollectorInfoCallback callback, void *userdata, CollectorCall **ret) {
        CollectorCall *call = calloc(1, sizeof(CollectorCall));
        if (!call)
                return err_oom();
        *call = (CollectorCall) { .link = link, .on_info = callback, .userdata = userdata };
        return link_enqueue(link, call, ret);
}

CollectorCall *collector_call_cancel(CollectorCall *call) {
        if (!call)
                return NULL;
        if (call->is_sent) {
                call->is_deaf = true;
                return NULL;
        }
        link_unqueue(call->link, call);
        return call_free(call);
}
