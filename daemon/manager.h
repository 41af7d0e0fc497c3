/* The manager owns the event loop and everything on it: configuration, profiles, the link to the collector, the two faces (bus.h, local-http.h). */
#pragma once

#include <systemd/sd-event.h>

#include "collector/collector.h"
#include "daemon/profile.h"

typedef struct ManagerOptions {
        const char *config_file;         /* --config=, NULL: the standard places */
        const char *collector_program;   /* --collector= */
        bool user_bus;                   /* --bus=user */
} ManagerOptions;

Err *manager_new(const ManagerOptions *options, Manager **ret) _must_check_;
Manager *manager_free(Manager *manager);
DEFINE_CLEANUP(Manager, manager_free)
/* Runs until SIGTERM or SIGINT. */
Err *manager_run(Manager *manager) _must_check_;

sd_event *manager_event(Manager *manager);
const Config *manager_config(const Manager *manager);   /* of [Agent] and [TPM] */
const ManagerOptions *manager_options(const Manager *manager);
size_t manager_n_profiles(const Manager *manager);
Profile *manager_profile(const Manager *manager, size_t index);
/* "" is the first (default) one. Error: NO_SUCH_PROFILE. */
Err *manager_find_profile(const Manager *manager, const char *name, Profile **ret) _must_check_;
Err *manager_reload(Manager *manager) _must_check_;

/* A snapshot; strings borrowed until the next return to the loop. */
typedef struct ManagerStatus {
        const char *version;
        const char *state;               /* "starting", "attested", "degraded", "failed" */
        bool is_alive, is_ready, is_attested;
        char *reason;                    /* one line why not ready; owned by the snapshot: manager_status_done() */
        const char *tpm_health;          /* "ok", "stuck", "absent" */
        const char *tpm_manufacturer, *aik_fingerprint, *pcr_bank;   /* "" until known */
        int64_t clock_offset_usec;       /* the service's Date less our clock; 0 until known */
} ManagerStatus;
Err *manager_get_status(Manager *manager, ManagerStatus *ret) _must_check_;
void manager_status_done(ManagerStatus *status);

/* What the faces want to know. All may be NULL. Called from the loop, after the fact. */
typedef struct ManagerObserver {
        void (*manager_changed)(void *userdata);
        void (*profiles_changed)(void *userdata);                             /* after a reload: the list may be another */
        void (*profile_changed)(void *userdata, Profile *profile);
        void (*profile_attested)(void *userdata, Profile *profile, uint64_t expires_usec);
        void (*profile_failed)(void *userdata, Profile *profile, const Err *err);
        void *userdata;
} ManagerObserver;
#define MANAGER_OBSERVERS_MAX 4
void manager_add_observer(Manager *manager, const ManagerObserver *observer);

/* Exclusively for profile.c. */
void manager_notify_profile_changed(Manager *manager, Profile *profile);
void manager_notify_profile_attested(Manager *manager, Profile *profile, uint64_t expires_usec);
void manager_notify_profile_failed(Manager *manager, Profile *profile, const Err *err);
