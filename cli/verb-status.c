/* attestctl status: everything that the daemon says of itself, on one screen. */
#include <getopt.h>
#include <stdio.h>
#include <time.h>

#include "cli/daemon-client.h"
#include "cli/format.h"
#include "cli/options.h"

static uint64_t realtime_usec(void) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC;
}

static void print_label(const char *label) {
        printf("  %-11s ", label);
}

static void print_text(const char *label, const char *text) {
        if (!text || !*text)
                return;
        print_label(label);
        printf("%s\n", text);
}

static void print_coloured(const char *state) {
        bool colour = cli_use_colour();
        printf("%s%s%s", format_state_colour(state, colour), state, *format_state_colour(state, colour) ? format_colour_end(colour) : "");
}

static void print_fact(const char *label, bool fact, const char *reason) {
        print_label(label);
        printf("%s%s%s\n", fact ? "yes" : "no", !fact && *reason ? ": " : "", fact ? "" : reason);
}

/* "2026-11-23 22:10:00 UTC (3 min ago)" */
static void print_when(uint64_t when_usec, uint64_t now_usec) {
        char absolute[FORMAT_SIZE], relative[FORMAT_SIZE];
        printf("%s", format_time(when_usec, absolute));
        if (when_usec > 0)
                printf(" (%s)", format_relative(when_usec, now_usec, relative));
}

static void print_clock(int64_t offset_usec) {
        char buffer[FORMAT_SIZE];
        uint64_t distance = offset_usec < 0 ? (uint64_t) -offset_usec : (uint64_t) offset_usec;
        if (offset_usec == 0)
                return;
        print_label("clock");
        printf("%s %s the service's, as far as its Date header tells\n", format_duration(distance, buffer), offset_usec > 0 ? "behind" : "ahead of");
}

static void print_tpm(const Json *status) {
        const char *manufacturer = property_string(status, "TpmManufacturer"), *bank = property_string(status, "PcrBank");
        print_label("TPM");
        print_coloured(property_string(status, "TpmHealth"));
        printf("%s%s%s%s\n", *manufacturer ? ", made by " : "", manufacturer, *bank ? ", PCR bank " : "", bank);
        print_text("AIK", property_string(status, "AikFingerprint"));
}

static void print_manager(const Json *status) {
        const char *reason = property_string(status, "Reason");
        printf("attestd %s: ", property_string(status, "Version"));
        print_coloured(property_string(status, "State"));
        printf("\n");
        print_fact("alive", property_boolean(status, "Alive"), reason);
        print_fact("ready", property_boolean(status, "Ready"), reason);
        print_fact("attested", property_boolean(status, "Attested"), reason);
        print_tpm(status);
        print_clock(property_i64(status, "ClockOffsetUSec"));
}

static void print_token(const Json *profile, uint64_t now_usec) {
        uint64_t issued = property_u64(profile, "TokenIssued"), expires = property_u64(profile, "TokenExpires");
        print_label("token");
        if (expires == 0) {
                printf("none\n");
                return;
        }
        printf("issued  ");
        print_when(issued, now_usec);
        printf("\n");
        print_label("");
        printf("%s ", expires > now_usec ? "expires" : "expired");
        print_when(expires, now_usec);
        printf("\n");
}

static void print_attempts(const Json *profile, uint64_t now_usec) {
        uint64_t next = property_u64(profile, "NextAttempt"), failed = property_u64(profile, "LastFailure");
        const Json *error = json_get(profile, "LastError");
        print_label("attempts");
        printf("%llu, %llu failed\n", (unsigned long long) property_u64(profile, "Attempts"), (unsigned long long) property_u64(profile, "Failures"));
        if (next > 0) {
                print_label("next");
                print_when(next, now_usec);
                printf("\n");
        }
        if (!error)
                return;
        print_label("last error");
        printf("%s: %s", property_string(error, "code"), property_string(error, "message"));
        if (failed > 0) {
                char relative[FORMAT_SIZE];
                printf(" (%s)", format_relative(failed, now_usec, relative));
        }
        printf("\n");
        print_text("", err_code_info(err_code_from_name(property_string(error, "code")))->help);
}

static void print_log(const char *label, const Json *profile, const char *state_name, const char *reason_name, uint64_t n_entries) {
        const char *state = property_string(profile, state_name), *reason = property_string(profile, reason_name);
        print_label(label);
        printf("%s", state);
        if (n_entries > 0)
                printf(", %llu entries", (unsigned long long) n_entries);
        printf("%s%s\n", *reason ? ": " : "", reason);
}

static Err *print_profile(const char *name, const Json *profile, uint64_t now_usec) {
        _cleanup_free_ char *verdicts = NULL;
        Json *of_pcrs;
        TRY(json_get_object(profile, "PcrVerdicts", &of_pcrs));
        TRY(format_verdicts(of_pcrs, &verdicts));
        printf("\nprofile %s: ", name);
        print_coloured(property_string(profile, "State"));
        printf("\n");
        print_text("instance", *property_string(profile, "Instance") ? property_string(profile, "Instance") : "none is configured");
        print_token(profile, now_usec);
        print_attempts(profile, now_usec);
        if (!*verdicts)
                return NULL;   /* no evidence was collected yet: nothing to say about logs either */
        print_text("PCRs", verdicts);
        print_log("boot log", profile, "BootLogState", "BootLogReason", 0);
        print_log("IMA list", profile, "ImaLogState", "ImaLogReason", property_u64(profile, "ImaEntries"));
        if (!string_equal(property_string(profile, "BootAttestationState"), "none"))
                print_log("hibernation", profile, "BootAttestationState", "BootAttestationReason", 0);
        return NULL;
}

static Err *show_status(bool user_bus) {
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_json_ Json *status = NULL;
        Json *profiles;
        TRY(daemon_connect(user_bus, &bus));
        TRY(daemon_get_status(bus, &status));
        if (cli_is_json())
                return cli_print_json(status);
        TRY(json_get_object(status, "profiles", &profiles));
        print_manager(status);
        uint64_t now_usec = realtime_usec();
        json_object_object_foreach(profiles, name, profile)
                TRY(print_profile(name, profile, now_usec));
        return NULL;
}

int verb_status(int argc, char **argv) {
        static const struct option options[] = { COMMON_OPTIONS, {} };
        CommonOptions common = { .verb = "status" };
        for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) >= 0;) {
                if (c == 'h')
                        return cli_help(cli_verb("status"), COMMON_OPTIONS_HELP);
                if (common_option_take(&common, c, optarg) != OPTION_TAKEN)
                        return EXIT_USAGE;
        }
        if (optind < argc)
                return cli_usage_error("status", "no argument is needed, \"%s\" is given", argv[optind]);
        Err *err = show_status(common.user_bus);
        return err ? cli_fail(err_wrap(err, "asking attestd for its status")) : EXIT_SUCCESS;
}
