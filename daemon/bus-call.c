/* Who calls, and calls that are answered later.
 *
 * The bus itself says who its clients are (GetConnectionCredentials: uid and groups as they were when the client connected). /proc is not asked: a process
 * id may belong to somebody else by the time it is looked at. The answer is waited for on the loop, like everything else. */
#include <errno.h>

#include "daemon/bus-internal.h"
#include "daemon/verdict.h"

struct BusCall {
        Bus *bus;
        sd_bus_message *message;
        sd_bus_track *track;
        AttestTicket *attest;
        ValidateTicket *validate;
        SignTicket *sign;
        sd_bus_slot *credentials;                   /* the question who the sender is */
        BusMethod method;                           /* what comes after that */
        BusCall *next;
};

static Err *bus_error(int r, const char *what) {
        return r < 0 ? err_new_errno(ERR_BUS_FAILED, r, "%s", what) : NULL;
}

static Err *message_error(int r) {
        return bus_error(r, "reading a message");
}

static Err *read_uid(sd_bus_message *reply, Caller *caller, bool *ret_known) {
        uint32_t uid;
        TRY(message_error(sd_bus_message_read(reply, "v", "u", &uid)));
        caller->uid = uid;
        *ret_known = true;
        return NULL;
}

static Err *read_groups(sd_bus_message *reply, Caller *caller) {
        const void *groups;
        size_t size;
        TRY(message_error(sd_bus_message_enter_container(reply, 'v', "au")));
        TRY(message_error(sd_bus_message_read_array(reply, 'u', &groups, &size)));
        TRY(message_error(sd_bus_message_exit_container(reply)));
        _cleanup_bytes_ Bytes copy = {};
        TRY(bytes_copy(span_make(groups, size), &copy));
        free(caller->groups);
        caller->groups = (gid_t *) (void *) bytes_steal(&copy).data;
        caller->n_groups = size / sizeof(gid_t);
        return NULL;
}

static Err *credentials_read(sd_bus_message *reply, Caller *ret) {
        _cleanup_(caller_done) Caller caller = { .gid = (gid_t) -1 };
        bool uid_known = false, groups_known = false;
        int r;
        TRY(message_error(sd_bus_message_enter_container(reply, 'a', "{sv}")));
        while ((r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
                const char *name;
                TRY(message_error(sd_bus_message_read(reply, "s", &name)));
                if (string_equal(name, "UnixUserID"))
                        TRY(read_uid(reply, &caller, &uid_known));
                else if (string_equal(name, "UnixGroupIDs")) {
                        TRY(read_groups(reply, &caller));
                        groups_known = true;
                } else
                        TRY(message_error(sd_bus_message_skip(reply, "v")));
                TRY(message_error(sd_bus_message_exit_container(reply)));
        }
        TRY(message_error(r));
        if (!uid_known)
                return err_new(ERR_ACCESS_DENIED, "the bus does not say which user calls");
        if (!groups_known)
                return caller_from_uid(caller.uid, ret);
        *ret = caller;
        caller = (Caller) {};
        return NULL;
}

static Err *option_read(sd_bus_message *message, const char *name, bool *seen, uint64_t *ret) {
        const char *key, *contents;
        char type;
        uint32_t seconds;
        TRY(message_error(sd_bus_message_read(message, "s", &key)));
        if (!string_equal(key, name))
                return err_new(ERR_INVALID_ARGUMENT, "the option \"%.64s\" is not known, only %s is", key, name);
        if (*seen)
                return err_new(ERR_INVALID_ARGUMENT, "the option %s stands twice", name);
        TRY(message_error(sd_bus_message_peek_type(message, &type, &contents)));
        if (!string_equal(contents, "u"))
                return err_new(ERR_INVALID_ARGUMENT, "the option %s: the type u is needed, not %.16s", name, contents);
        TRY(message_error(sd_bus_message_read(message, "v", "u", &seconds)));
        *seen = true;
        *ret = seconds;
        return NULL;
}

Err *bus_read_seconds_option(sd_bus_message *message, const char *name, uint64_t *ret) {
        bool seen = false;
        uint64_t seconds = 0;
        int r;
        TRY(message_error(sd_bus_message_enter_container(message, 'a', "{sv}")));
        while ((r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
                TRY(option_read(message, name, &seen, &seconds));
                TRY(message_error(sd_bus_message_exit_container(message)));
        }
        TRY(message_error(r));
        TRY(message_error(sd_bus_message_exit_container(message)));
        *ret = seconds;
        return NULL;
}

Err *bus_read_no_options(sd_bus_message *message) {
        TRY(message_error(sd_bus_message_enter_container(message, 'a', "{sv}")));
        int r = sd_bus_message_at_end(message, /* complete= */ 0);
        TRY(message_error(r));
        if (r == 0)
                return err_new(ERR_INVALID_ARGUMENT, "there are options, and none is known");
        return message_error(sd_bus_message_exit_container(message));
}

static BusCall *bus_call_free(BusCall *call) {
        if (!call)
                return NULL;
        for (BusCall **place = &call->bus->calls; *place; place = &(*place)->next)
                if (*place == call) {
                        *place = call->next;
                        call->bus->n_calls--;
                        break;
                }
        sd_bus_slot_unref(call->credentials);
        attest_ticket_cancel(call->attest);
        validate_ticket_cancel(call->validate);
        sign_ticket_cancel(call->sign);
        sd_bus_track_unref(call->track);
        sd_bus_message_unref(call->message);
        free(call);
        return NULL;
}
DEFINE_CLEANUP(BusCall, bus_call_free)

void bus_calls_cancel(Bus *bus) {
        while (bus->calls)
                bus_call_free(bus->calls);
}

static int call_client_vanished(sd_bus_track *track, void *userdata) {
        bus_call_free(userdata);
        return 0;
}

static unsigned calls_of_client(const Bus *bus, const char *sender) {
        unsigned n = 0;
        for (const BusCall *call = bus->calls; call; call = call->next)
                n += string_equal(sd_bus_message_get_sender(call->message), sender) != 0;
        return n;
}

static Err *bus_call_new(Bus *bus, sd_bus_message *message, BusCall **ret) {
        if (bus->n_calls >= BUS_CALLS_MAX)
                return err_new(ERR_BUSY, "%u calls wait for an answer already", BUS_CALLS_MAX);
        if (calls_of_client(bus, sd_bus_message_get_sender(message)) >= BUS_CALLS_PER_CLIENT_MAX)
                return err_new(ERR_BUSY, "%u calls of this client wait for an answer already", BUS_CALLS_PER_CLIENT_MAX);
        BusCall *made = calloc(1, sizeof(BusCall));
        if (!made)
                return err_oom();
        *made = (BusCall) { .bus = bus, .message = sd_bus_message_ref(message), .next = bus->calls };
        bus->calls = made;
        bus->n_calls++;
        _cleanup_(bus_call_freep) BusCall *call = made;
        TRY(bus_error(sd_bus_track_new(bus->bus, &call->track, call_client_vanished, call), "watching a client"));
        TRY(bus_error(sd_bus_track_add_sender(call->track, message), "watching a client"));
        *ret = steal_ptr(&call);
        return NULL;
}

/* ---- who calls ---- */

static Err *judge_sender(const BusCall *call, sd_bus_message *reply) {
        _cleanup_(caller_done) Caller caller = { .uid = (uid_t) -1, .gid = (gid_t) -1 };
        const sd_bus_error *failure = sd_bus_message_get_error(reply);
        if (failure)
                return err_new(ERR_BUS_FAILED, "asking the bus who %s is: %s", sd_bus_message_get_sender(call->message), failure->message ?: failure->name);
        TRY(credentials_read(reply, &caller));
        return access_check(manager_config(call->bus->manager), &caller);
}

/* The call is over before the method begins: what waits from now on is a call of the method's own. */
static int on_credentials(sd_bus_message *reply, void *userdata, sd_bus_error *unused) {
        BusCall *call = userdata;
        Bus *bus = call->bus;
        BusMethod method = call->method;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = sd_bus_message_ref(call->message);
        Err *err = judge_sender(call, reply);
        bus_call_free(call);
        int r = err ? bus_fail(&error, err) : method(bus, message, &error);
        if (r < 0 || sd_bus_error_is_set(&error))
                sd_bus_reply_method_errno(message, r, &error);
        return 0;
}

static Err *ask_for_credentials(BusCall *call, const char *sender) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *question = NULL;
        TRY(bus_error(sd_bus_message_new_method_call(call->bus->bus, &question, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                                     "GetConnectionCredentials"), "making a message"));
        TRY(bus_error(sd_bus_message_append(question, "s", sender), "making a message"));
        return bus_error(sd_bus_call_async(call->bus->bus, &call->credentials, question, on_credentials, call, BUS_CREDENTIALS_USEC), "asking the bus who calls");
}

static Err *authorise(Bus *bus, sd_bus_message *message, BusMethod method) {
        _cleanup_(bus_call_freep) BusCall *call = NULL;
        const char *sender = sd_bus_message_get_sender(message);
        if (!sender)
                return err_new(ERR_ACCESS_DENIED, "a message without a sender");
        TRY(bus_call_new(bus, message, &call));
        call->method = method;
        TRY(ask_for_credentials(call, sender));
        call = NULL; /* it stands in bus->calls until its answer */
        return NULL;
}

int bus_authorise(Bus *bus, sd_bus_message *message, BusMethod method, sd_bus_error *error) {
        Err *err = authorise(bus, message, method);
        return err ? bus_fail(error, err) : 1;
}

/* ---- answers that come later ---- */

static void call_answer_error(BusCall *call, const Err *err) {
        sd_bus_error error = SD_BUS_ERROR_MAKE_CONST(err_code_info(err_code(err))->dbus_name, err_describe(err));
        sd_bus_reply_method_error(call->message, &error);
}

static int attest_reply(sd_bus_message *message, const AttestResult *result) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r = sd_bus_message_new_method_return(message, &reply);
        if (r < 0)
                return r;
        r = sd_bus_message_sensitive(reply);
        if (r < 0)
                return r;
        r = sd_bus_message_append(reply, "sa{sv}", result->token, 4, "expires", "t", result->expires_usec, "issued", "t", result->issued_usec,
                                  "attempts", "u", (uint32_t) MIN_OF(result->n_attempts, (uint64_t) UINT32_MAX), "instance", "s", result->instance);
        if (r < 0)
                return r;
        return sd_bus_send(NULL, reply, NULL);
}

static void call_attested(void *userdata, const Err *err, const AttestResult *result) {
        _cleanup_(bus_call_freep) BusCall *call = userdata;
        call->attest = NULL;
        _cleanup_(err_freep) Err *failed = err ? err_copy(err) : bus_error(attest_reply(call->message, result), "answering with the token");
        if (failed)
                call_answer_error(call, failed);
}

Err *bus_call_attest(Bus *bus, sd_bus_message *message, Profile *profile, Span nonce, uint64_t timeout_usec) {
        _cleanup_(bus_call_freep) BusCall *call = NULL;
        TRY(bus_call_new(bus, message, &call));
        TRY(profile_attest(profile, nonce, timeout_usec, call_attested, call, &call->attest));
        call = NULL; /* it stands in bus->calls until its answer */
        return NULL;
}

static void call_validated(void *userdata, const Err *err, const char *claims_json) {
        _cleanup_(bus_call_freep) BusCall *call = userdata;
        call->validate = NULL;
        if (err && !verdict_is_about_token(err_code(err))) {
                call_answer_error(call, err);
                return;
        }
        sd_bus_reply_method_return(call->message, "bsss", err == NULL, err ? err_code_info(err_code(err))->name : "", err_describe(err),
                                   claims_json ? claims_json : "");
}

Err *bus_call_validate(Bus *bus, sd_bus_message *message, Profile *profile, Span token) {
        _cleanup_(bus_call_freep) BusCall *call = NULL;
        TRY(bus_call_new(bus, message, &call));
        TRY(profile_validate(profile, token, call_validated, call, &call->validate));
        call = NULL;
        return NULL;
}

static void call_signed(void *userdata, const Err *err, const char *jws) {
        _cleanup_(bus_call_freep) BusCall *call = userdata;
        call->sign = NULL;
        if (err)
                call_answer_error(call, err);
        else
                sd_bus_reply_method_return(call->message, "s", jws);
}

Err *bus_call_sign(Bus *bus, sd_bus_message *message, Profile *profile, Span payload) {
        _cleanup_(bus_call_freep) BusCall *call = NULL;
        TRY(bus_call_new(bus, message, &call));
        TRY(profile_sign(profile, payload, call_signed, call, &call->sign));
        call = NULL;
        return NULL;
}
