/* attestctl doctor: what every part of an attestation needs, looked at one by one.
 *
 * A TPM that hangs, a name server that does not answer or a bus that is gone must cost neither the other findings nor the user's patience. So the
 * looks are taken by groups, each group in a process of its own, all at once; what has not been found out within DOCTOR_BUDGET_USEC is itself a finding. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "config/config.h"

#define DOCTOR_BUDGET_USEC (9 * USEC_PER_SEC)
#define DOCTOR_CLOCK_WARNING_SEC 5u
#define DOCTOR_CERTIFICATE_WARNING_SEC (30u * 86400u)

typedef enum DoctorState { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_FAILURE, DOCTOR_SKIPPED, _DOCTOR_STATE_MAX } DoctorState;

/* Where a group's findings go: a pipe to the process that prints. */
typedef struct DoctorSink {
        int fd;
        const char *profile;      /* NULL where the group is not about one */
        const char *const *checks;
        size_t n_done;            /* of checks, which are reported in their order */
} DoctorSink;

typedef struct DoctorContext {
        const char *config_file;      /* NULL: the standard places */
        bool user_bus;
        const Config *config;         /* of the machine, or of the profile */
} DoctorContext;

/* Reports the next check of the group. advice may be NULL. */
void doctor_report(DoctorSink *sink, DoctorState state, const char *advice, const char *format, ...) _printf_(4, 5);
/* The next check failed, for err, which is consumed; what to do about it is that of its code. */
void doctor_fail(DoctorSink *sink, Err *steal_err);
void doctor_warn(DoctorSink *sink, Err *steal_err);
/* Whatever is left of the group cannot be looked at. */
void doctor_skip_rest(DoctorSink *sink, const char *why);

/* A group: its checks in their order, NULL-terminated, and how to look at them. */
typedef struct DoctorGroup {
        const char *const *checks;
        void (*run)(const DoctorContext *context, DoctorSink *sink);
} DoctorGroup;
extern const DoctorGroup doctor_tpm_group, doctor_daemon_group, doctor_instance_group;
