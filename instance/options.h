/* The command line of attest-instance. */
#pragma once

#include "instance/service.h"

#define OPTIONS_BODY_MAX_DEFAULT (UINT64_C(64) << 20)   /* measurement logs are large, three times base64 larger still */
#define OPTIONS_BODY_MAX_LIMIT (UINT64_C(2000) << 20)   /* json-c counts in int */

typedef struct Options {
        char *host;              /* 127.0.0.1, ::1 or localhost */
        uint16_t port;           /* 0: any */
        char *state;
        char *capture;           /* NULL: none */
        char *imds_host;         /* where metadata is asked for; NULL: nowhere */
        uint16_t imds_port;
        char *arc_directory;     /* NULL: none */
        Applications *applications;  /* NULL: none */
        ServiceOptions service;  /* aik_roots, ek_roots, sgx_roots and policy_signers are owned here */
        Faults faults;
        uint64_t body_max;
        bool show_help, show_version;
} Options;
void options_done(Options *options);
#define _cleanup_options_ _cleanup_(options_done)

/* Error: INVALID_ARGUMENT for a bad command line (exit status 2), others for files that cannot be read. */
Err *options_parse(int argc, char **argv, Options *ret) _must_check_;
void options_print_help(FILE *file);
