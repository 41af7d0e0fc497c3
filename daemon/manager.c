/* See manager.h. */
#include "daemon/manager.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "base/writer.h"
#include "build-config.h"
#include "daemon/bus.h"
#include "daemon/local-http.h"
#include "daemon/log.h"
#include "daemon/profile-private.h"
#include "daemon/store.h"

#define PROFILES_MAX 64

struct Manager {
        ManagerOptions options;
        sd_event *event;
        CurlLoop *curl;
        CollectorOptions collector_options;
        CollectorLink *collector;
        CollectorInfo *info;
        CollectorCall *info_call;
        Profile **profiles;
        size_t n_profiles;
        Bus *bus;
        LocalHttp *http;
        ManagerObserver observers[MANAGER_OBSERVERS_MAX];
        size_t n_observers;
        int64_t clock_offset_usec;
        char *last_state;            /* for STATUS= */
};

sd_event *manager_event(Manager *manager) {
        return manager->event;
}

CurlLoop *manager_curl(Manager *manager) {
        return manager->curl;
}

CollectorLink *manager_collector(Manager *manager) {
        return manager->collector;
}

const Config *manager_config(const Manager *manager) {
        return profile_config(manager->profiles[0]);
}

const ManagerOptions *manager_options(const Manager *manager) {
        return &manager->options;
}

size_t manager_n_profiles(const Manager *manager) {
        return manager->n_profiles;
}

Profile *manager_profile(const Manager *manager, size_t index) {
        return manager->profiles[index];
}

static Profile *find_profile(const Manager *manager, const char *name) {
        for (size_t i = 0; i < manager->n_profiles; i++)
                if (string_equal(profile_name(manager->profiles[i]), name))
                        return manager->profiles[i];
        return NULL;
}

Err *manager_find_profile(const Manager *manager, const char *name, Profile **ret) {
        Profile *profile = *name ? find_profile(manager, name) : manager->profiles[0];
        if (!profile)
                return err_new(ERR_NO_SUCH_PROFILE, "there is no profile \"%.64s\"", name);
        *ret = profile;
        return NULL;
}

/* --- status ------------------------------------------------------------------------------------------------------ */

typedef struct Tally {
        size_t n_attested, n_failing, n_untried;
} Tally;

static Tally tally_profiles(Manager *manager) {
        Tally tally = {};
        for (size_t i = 0; i < manager->n_profiles; i++) {
                ProfileStatus status;
                profile_get_status(manager->profiles[i], &status);
                tally.n_attested += status.is_attested;
                tally.n_failing += status.last_error != NULL;
                tally.n_untried += !status.is_attested && !status.last_error;
        }
        return tally;
}

static const char *state_of(const Manager *manager, const Tally *tally) {
        if (tally->n_attested == manager->n_profiles)
                return tally->n_failing == 0 ? "attested" : "degraded";
        if (tally->n_untried > 0 && tally->n_failing == 0)
                return "starting";
        return tally->n_attested > 0 ? "degraded" : "failed";
}

static Err *reason_of(Manager *manager, char **ret) {
        _cleanup_writer_ Writer writer = {};
        for (size_t i = 0; i < manager->n_profiles; i++) {
                ProfileStatus status;
                profile_get_status(manager->profiles[i], &status);
                if (status.is_attested)
                        continue;
                if (writer.output.size > 0)
                        writer_string(&writer, "; ");
                writer_format(&writer, "%s: %s", status.name,
                              status.last_error ? err_describe(status.last_error) : "the first attestation has not ended yet");
        }
        return writer_finish_string(&writer, ret);
}

Err *manager_get_status(Manager *manager, ManagerStatus *ret) {
        char *reason;
        TRY(reason_of(manager, &reason));
        Tally tally = tally_profiles(manager);
        const CollectorInfo *info = manager->info;
        *ret = (ManagerStatus) {
                .version = VERSION,
                .state = state_of(manager, &tally),
                .is_alive = true,
                .is_ready = tally.n_attested == manager->n_profiles,
                .is_attested = tally.n_attested == manager->n_profiles,
                .reason = reason,
                .tpm_health = tpm_health_to_string(collector_link_health(manager->collector)),
                .tpm_manufacturer = info && info->manufacturer ? info->manufacturer : "",
                .aik_fingerprint = info && info->aik_fingerprint ? info->aik_fingerprint : "",
                .pcr_bank = info && info->pcr_bank ? info->pcr_bank : "",
                .clock_offset_usec = manager->clock_offset_usec,
        };
        return NULL;
}

void manager_status_done(ManagerStatus *status) {
        free(status->reason);
        status->reason = NULL;
}

/* The line that `systemctl status` shows, when it changed. */
static void tell_service_manager(Manager *manager) {
        Tally tally = tally_profiles(manager);
        _cleanup_free_ char *text = NULL;
        Err *err = string_format(&text, "%s, %zu of %zu profiles hold a valid token", state_of(manager, &tally), tally.n_attested, manager->n_profiles);
        if (!err && !string_equal(text, manager->last_state)) {
                sd_notifyf(false, "STATUS=%s", text);
                log_message(LOG_INFO, "%s", text);
                free(manager->last_state);
                manager->last_state = steal_ptr(&text);
        }
        err_free(err);
}

/* --- observers --------------------------------------------------------------------------------------------------- */

#define NOTIFY(manager, what, ...)                                                                           \
        for (size_t _i = 0; _i < (manager)->n_observers; _i++)                                               \
                if ((manager)->observers[_i].what)                                                           \
        (manager)->observers[_i].what((manager)->observers[_i].userdata __VA_OPT__(,) __VA_ARGS__)

void manager_add_observer(Manager *manager, const ManagerObserver *observer) {
        if (manager->n_observers < MANAGER_OBSERVERS_MAX)
                manager->observers[manager->n_observers++] = *observer;
}

static void notify_manager_changed(Manager *manager) {
        NOTIFY(manager, manager_changed);
        tell_service_manager(manager);
}

void manager_notify_profile_changed(Manager *manager, Profile *profile) {
        NOTIFY(manager, profile_changed, profile);
        notify_manager_changed(manager);
}

void manager_notify_profile_attested(Manager *manager, Profile *profile, uint64_t expires_usec) {
        NOTIFY(manager, profile_attested, profile, expires_usec);
        manager_notify_profile_changed(manager, profile);
}

void manager_notify_profile_failed(Manager *manager, Profile *profile, const Err *err) {
        NOTIFY(manager, profile_failed, profile, err);
}

/* --- what is learnt on the way ------------------------------------------------------------------------------------ */

void manager_note_date(Manager *manager, uint64_t date_sec) {
        int64_t offset = (int64_t) (date_sec * USEC_PER_SEC) - (int64_t) profile_now_usec();
        /* Date has whole seconds and travelled: less than two seconds is no offset. */
        manager->clock_offset_usec = offset > -(int64_t) (2 * USEC_PER_SEC) && offset < (int64_t) (2 * USEC_PER_SEC) ? 0 : offset;
        int64_t skew = (int64_t) (manager_config(manager)->clock_skew_sec * USEC_PER_SEC);
        if (offset > skew || offset < -skew)
                log_message(LOG_WARNING, "the clock is %.0f s %s the service's", (double) (offset < 0 ? -offset : offset) / (double) USEC_PER_SEC,
                            offset < 0 ? "ahead of" : "behind");
}

const CollectorInfo *manager_info(const Manager *manager) {
        return manager->info;
}

void manager_set_info(Manager *manager, CollectorInfo *steal_info) {
        collector_info_free(manager->info);
        manager->info = steal_info;
        notify_manager_changed(manager);
}

static void on_health_changed(void *userdata) {
        notify_manager_changed(userdata);
}

/* The first answer of the collector says whether kept tokens still hold; whatever it says, work begins. */
static void on_first_info(void *userdata, const Err *err, CollectorInfo *steal_info) {
        Manager *manager = userdata;
        manager->info_call = NULL;
        if (err) {
                log_error(LOG_WARNING, NULL, err, "asking the TPM who it is");
        } else {
                log_message(LOG_INFO, "TPM of %s, AIK %s, PCR bank %s", steal_info->manufacturer ?: "?", steal_info->aik_fingerprint ?: "?",
                            steal_info->pcr_bank ?: "?");
                if (steal_info->leftovers_flushed > 0)
                        log_message(LOG_NOTICE, "the collector flushed %u objects that a killed predecessor left in the TPM", steal_info->leftovers_flushed);
                manager_set_info(manager, steal_info);
        }
        for (size_t i = 0; i < manager->n_profiles; i++)
                profile_start(manager->profiles[i], manager->info);
        notify_manager_changed(manager);
}

/* --- configuration ----------------------------------------------------------------------------------------------- */

static void log_warnings(const ConfigWarnings *warnings) {
        for (size_t i = 0; i < warnings->n_lines; i++)
                log_message(LOG_WARNING, "%s", warnings->lines[i]);
}

static Err *load_config(Manager *manager, ConfigProfile **ret, size_t *ret_n) {
        _cleanup_(config_warnings_done) ConfigWarnings warnings = {};
        Err *err = config_load_profiles(manager->options.config_file, NULL, ret, ret_n, &warnings);
        log_warnings(&warnings);
        if (!err && *ret_n > PROFILES_MAX) {
                config_profiles_free(*ret, *ret_n);
                return err_new(ERR_LIMIT_EXCEEDED, "%zu profiles are configured, %d are possible", *ret_n, PROFILES_MAX);
        }
        return err;
}

/* Puts the profile of that name into list, taken from the old ones or made anew. */
static Err *take_profile(Manager *manager, ConfigProfile *configured, Profile **list, size_t *n) {
        Config *config = steal_ptr(&configured->config);
        Profile *known = find_profile(manager, configured->name);
        if (known) {
                list[(*n)++] = known;
                return profile_reconfigure(known, config);
        }
        TRY(profile_new(manager, configured->name, config, &list[*n]));
        if (!manager->info_call) /* else it starts with the others, when the TPM has said who it is */
                profile_start(list[*n], manager->info);
        (*n)++;
        return NULL;
}

static void free_profiles_that_are_gone(Profile **old, size_t n_old, Profile *const *now, size_t n_now) {
        for (size_t i = 0; i < n_old; i++) {
                bool kept = false;
                for (size_t j = 0; j < n_now; j++)
                        kept |= now[j] == old[i];
                if (!kept) {
                        profile_forget(old[i]);
                        profile_free(old[i]);
                }
        }
        free(old);
}

Err *manager_reload(Manager *manager) {
        ConfigProfile *configured = NULL;
        size_t n_configured = 0;
        TRY(err_wrap(load_config(manager, &configured, &n_configured), "the configuration stays as it was"));
        Profile **list = calloc(n_configured, sizeof(Profile *));
        if (!list) {
                config_profiles_free(configured, n_configured);
                return err_oom();
        }
        size_t n = 0;
        Err *err = NULL;
        for (size_t i = 0; i < n_configured && !err; i++)
                err = take_profile(manager, &configured[i], list, &n);
        config_profiles_free(configured, n_configured);
        if (n == 0) { /* out of memory at the first one */
                free(list);
                return err;
        }
        Profile **old = manager->profiles;
        size_t n_old = manager->n_profiles;
        manager->profiles = list;
        manager->n_profiles = n;
        free_profiles_that_are_gone(old, n_old, list, n);
        log_set_level(manager_config(manager)->log_level);
        log_message(LOG_NOTICE, "configuration read anew, %zu profiles", n);
        NOTIFY(manager, profiles_changed);
        notify_manager_changed(manager);
        return err;
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Manager *manager = userdata;
        sd_notify(false, "RELOADING=1");
        _cleanup_(err_freep) Err *err = manager_reload(manager);
        if (err)
                log_error(LOG_ERR, NULL, err, "reading the configuration anew");
        sd_notify(false, "READY=1");
        return 0;
}

/* --- life -------------------------------------------------------------------------------------------------------- */

static Err *make_event_loop(Manager *manager) {
        sigset_t signals;
        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGHUP);
        sigprocmask(SIG_BLOCK, &signals, NULL);
        signal(SIGPIPE, SIG_IGN);
        int r = sd_event_default(&manager->event);
        if (r >= 0)
                r = sd_event_add_signal(manager->event, NULL, SIGTERM, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_signal(manager->event, NULL, SIGINT, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_signal(manager->event, NULL, SIGHUP, on_hangup, manager);
        if (r >= 0)
                r = sd_event_set_watchdog(manager->event, true);
        return r < 0 ? err_new_errno(ERR_INTERNAL, r, "setting up the event loop") : NULL;
}

/* A socket named "tpm" that was passed in is the collector's. */
static int passed_in_collector_socket(void) {
        char **names = NULL;
        int found = -1, n = sd_listen_fds_with_names(false, &names);
        for (int i = 0; i < n; i++) {
                /* A listening one is the collector's own, whose path is known. */
                if (string_equal(names[i], "tpm") && sd_is_socket(SD_LISTEN_FDS_START + i, AF_UNIX, SOCK_STREAM, /* listening= */ 0) > 0)
                        found = SD_LISTEN_FDS_START + i;
                free(names[i]);
        }
        free(names);
        return found;
}

static Err *make_profiles(Manager *manager) {
        ConfigProfile *configured = NULL;
        size_t n = 0;
        TRY(load_config(manager, &configured, &n));
        Err *err = NULL;
        manager->profiles = calloc(n, sizeof(Profile *));
        if (!manager->profiles)
                err = err_oom();
        for (size_t i = 0; i < n && !err; i++) {
                err = profile_new(manager, configured[i].name, steal_ptr(&configured[i].config), &manager->profiles[manager->n_profiles]);
                manager->n_profiles += !err;
        }
        config_profiles_free(configured, n);
        return err;
}

Err *manager_new(const ManagerOptions *options, Manager **ret) {
        _cleanup_(manager_freep) Manager *manager = calloc(1, sizeof(Manager));
        if (!manager)
                return err_oom();
        manager->options = *options;
        manager->collector_options = (CollectorOptions) {
                .program = options->collector_program,
                .config_file = options->config_file,
                .socket_fd = passed_in_collector_socket(),
        };
        TRY(make_event_loop(manager));
        TRY(curl_loop_new(manager->event, &manager->curl));
        TRY(collector_link_new(manager->event, &manager->collector_options, on_health_changed, manager, &manager->collector));
        TRY(make_profiles(manager));
        log_set_level(manager_config(manager)->log_level);
        if (mkdir(config_runtime_directory(), 0755) < 0 && errno != EEXIST)
                return err_new_errno(ERR_IO, errno, "creating %s", config_runtime_directory());
        _cleanup_(err_freep) Err *clean_err = store_clean(config_runtime_directory());
        if (clean_err)
                log_error(LOG_WARNING, NULL, clean_err, "tidying up what a killed predecessor left behind");
        TRY(bus_new(manager, &manager->bus));
        TRY(local_http_new(manager, &manager->http));
        TRY(collector_link_get_info(manager->collector, on_first_info, manager, &manager->info_call));
        *ret = steal_ptr(&manager);
        return NULL;
}

Manager *manager_free(Manager *manager) {
        if (!manager)
                return NULL;
        manager->n_observers = 0;
        for (size_t i = 0; i < manager->n_profiles; i++)
                profile_free(manager->profiles[i]);
        free(manager->profiles);
        local_http_free(manager->http);
        bus_free(manager->bus);
        collector_call_cancel(manager->info_call);
        collector_link_free(manager->collector);
        collector_info_free(manager->info);
        curl_loop_free(manager->curl);
        free(manager->last_state);
        sd_event_unref(manager->event);
        free(manager);
        return NULL;
}

Err *manager_run(Manager *manager) {
        sd_notify(false, "READY=1");
        tell_service_manager(manager);
        int r = sd_event_loop(manager->event);
        sd_notify(false, "STOPPING=1\nSTATUS=stopping");
        return r < 0 ? err_new_errno(ERR_INTERNAL, r, "running the event loop") : NULL;
}
