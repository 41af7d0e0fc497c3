/* attestctl wait: until a token is held. It does not poll: it subscribes first, then looks, then waits for the next signal (PropertiesChanged of the
 * daemon's objects, NameOwnerChanged of its name), so that it may also be started before the daemon or before the bus. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <time.h>

#include "cli/daemon-client.h"
#include "cli/format.h"
#include "cli/options.h"

typedef struct Waiter {
        const CommonOptions *options;
        sd_bus *bus;
        uint64_t deadline_usec;      /* CLOCK_MONOTONIC */
        bool is_stale;               /* something has changed since we looked */
        Err *reason;                 /* why not yet, as of the last look */
} Waiter;

static void waiter_done(Waiter *waiter) {
        waiter->reason = err_free(waiter->reason);
        bus_closep(&waiter->bus);
}

static uint64_t monotonic_usec(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC;
}

static int on_change(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Waiter *waiter = userdata;
        waiter->is_stale = true;
        return 0;
}

static Err *subscribe(Waiter *waiter) {
        static const char *const rules[] = {
                "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" DAEMON_NAME "'",
                "type='signal',sender='" DAEMON_NAME "',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',path_namespace='" DAEMON_PATH "'",
                "type='signal',sender='" DAEMON_NAME "',interface='org.freedesktop.DBus.ObjectManager'",
        };
        for (size_t i = 0; i < N_ELEMENTS(rules); i++) {
                int r = sd_bus_add_match(waiter->bus, NULL, rules[i], on_change, waiter);
                if (r < 0)
                        return err_wrap(daemon_error(NULL, r), "subscribing to signals of attestd");
        }
        return NULL;
}

/* The code and words of LastError, or NO_TOKEN where nothing was tried. */
static Err *last_error(const Json *profile, const char *name) {
        const Json *error = json_get(profile, "LastError");
        if (error)
                return err_new(err_code_from_name(property_string(error, "code")), "profile %s: %s", name, property_string(error, "message"));
        return err_new(ERR_NO_TOKEN, "profile %s: the attestation has not ended yet", name);
}

/* reason NULL: all of the profiles that we wait for hold a token. */
static Err *judge_status(const Waiter *waiter, const Json *status, Err **ret_reason) {
        const char *wanted = waiter->options->profile;
        bool found = false;
        Json *profiles;
        *ret_reason = NULL;
        TRY(json_get_object(status, "profiles", &profiles));
        json_object_object_foreach(profiles, name, profile) {
                if (*wanted && !string_equal(wanted, name))
                        continue;
                found = true;
                if (!*ret_reason && !property_boolean(profile, "Attested"))
                        *ret_reason = last_error(profile, name);
        }
        if (found)
                return NULL;
        return err_new(ERR_NO_SUCH_PROFILE, "there is no profile \"%s\"", wanted);
}

/* A daemon that is not there, or that goes away while we ask, is one more reason to wait. */
static Err *look(Waiter *waiter, Json **ret_status) {
        _cleanup_json_ Json *status = NULL;
        Err *reason = NULL;
        waiter->is_stale = false;
        Err *err = daemon_get_status(waiter->bus, &status);
        if (err_code(err) == ERR_NOT_RUNNING && sd_bus_is_open(waiter->bus) > 0) {
                reason = err;
                err = NULL;
        } else if (!err)
                err = judge_status(waiter, status, &reason);
        err_free(waiter->reason);
        waiter->reason = reason;
        if (!err && !reason)
                *ret_status = steal_ptr(&status);
        return err;
}

static Err *give_up(Waiter *waiter) {
        char buffer[FORMAT_SIZE];
        return err_wrap_code(ERR_TIMEOUT, steal_ptr(&waiter->reason), "no token after %s", format_duration(waiter->options->timeout_usec, buffer));
}

static Err *wait_for_signal(Waiter *waiter) {
        while (!waiter->is_stale) {
                int r = sd_bus_process(waiter->bus, NULL);
                if (r > 0)
                        continue;
                uint64_t now = monotonic_usec();
                if (r == 0 && now >= waiter->deadline_usec)
                        return give_up(waiter);
                if (r == 0)
                        r = sd_bus_wait(waiter->bus, waiter->deadline_usec == USEC_INFINITY ? USEC_INFINITY : waiter->deadline_usec - now);
                if (r < 0 && r != -EINTR)
                        return daemon_error(NULL, r);
        }
        return NULL;
}

static Err *print_attested(const Json *status, const char *wanted) {
        Json *profiles;
        char absolute[FORMAT_SIZE];
        if (cli_is_json())
                return cli_print_json(status);
        TRY(json_get_object(status, "profiles", &profiles));
        json_object_object_foreach(profiles, name, profile)
                if (!*wanted || string_equal(wanted, name))
                        printf("%s: attested, the token expires %s\n", name, format_time(property_u64(profile, "TokenExpires"), absolute));
        return NULL;
}

/* No single question may outlast the whole. */
static void bound_calls(const Waiter *waiter) {
        uint64_t now = monotonic_usec();
        uint64_t left = waiter->deadline_usec > now ? waiter->deadline_usec - now : 0;
        sd_bus_set_method_call_timeout(waiter->bus, MAX_OF(MIN_OF(left, DAEMON_CALL_USEC), USEC_PER_SEC));
}

static Err *wait_for_token(const CommonOptions *options) {
        _cleanup_(waiter_done) Waiter waiter = { .options = options, .deadline_usec = USEC_INFINITY };
        _cleanup_json_ Json *status = NULL;
        if (options->has_timeout && __builtin_add_overflow(monotonic_usec(), options->timeout_usec, &waiter.deadline_usec))
                waiter.deadline_usec = USEC_INFINITY;
        TRY(daemon_connect_wait(options->user_bus, waiter.deadline_usec, &waiter.bus));
        bound_calls(&waiter);
        TRY(subscribe(&waiter));
        for (;;) {
                bound_calls(&waiter);
                TRY(look(&waiter, &status));
                if (status)
                        return print_attested(status, options->profile);
                TRY(wait_for_signal(&waiter));
        }
}

int verb_wait(int argc, char **argv) {
        static const struct option options[] = { COMMON_OPTIONS, COMMON_OPTION_PROFILE, COMMON_OPTION_TIMEOUT, {} };
        CommonOptions common = { .verb = "wait", .profile = "" };
        for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) >= 0;) {
                if (c == 'h')
                        return cli_help(cli_verb("wait"), COMMON_OPTIONS_HELP
                                                          "  --profile P          for this profile (default: for all of them)\n"
                                                          "  --timeout TIME       no longer than this (default: for ever)\n");
                if (common_option_take(&common, c, optarg) != OPTION_TAKEN)
                        return EXIT_USAGE;
        }
        if (optind < argc)
                return cli_usage_error("wait", "no argument is needed, \"%s\" is given", argv[optind]);
        Err *err = wait_for_token(&common);
        return err ? cli_fail(err_wrap(err, "waiting for a token")) : EXIT_SUCCESS;
}
