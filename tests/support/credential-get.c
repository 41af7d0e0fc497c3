/* Gets an access token with the real operation and the real driver, and prints what came of it as one JSON object. For test-credentials.py.
 *
 * credential-get [NAME=VALUE]…      names are those of the table below; the platform's variables count as they do for attestd
 * Prints {"authorization":…,"waits":number of waits} or {"error":…,"code":…} */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "client/driver.h"

typedef struct Settings {
        CredentialOptions credential;
        TransportOptions transport;
        const char *kind, *budget_sec, *repeat;
} Settings;

static const char *const kinds[] = { "none", "client-secret", "client-certificate", "managed-identity", "workload-identity", "token-file" };

static Err *parse(int argc, char **argv, Settings *settings) {
        CredentialOptions *c = &settings->credential;
        const struct { const char *name, **value; } names[] = {
                { "kind", &settings->kind }, { "tenant", &c->tenant_id }, { "client", &c->client_id }, { "authority", &c->authority }, { "scope", &c->scope },
                { "secret", &c->secret_file }, { "certificate", &c->certificate_file }, { "key", &c->private_key_file }, { "federated", &c->federated_token_file },
                { "token", &c->token_file }, { "imds", &c->imds_url }, { "managed-client", &c->managed_client_id }, { "managed-object", &c->managed_object_id },
                { "managed-resource", &c->managed_resource_id }, { "arc-directory", &c->arc_directory }, { "ca", &settings->transport.ca_file },
                { "proxy", &settings->transport.proxy }, { "budget", &settings->budget_sec }, { "repeat", &settings->repeat },
        };
        for (int i = 1; i < argc; i++) {
                char *equals = strchr(argv[i], '=');
                size_t j = 0;
                if (equals)
                        *equals = '\0';
                while (j < N_ELEMENTS(names) && !string_equal(names[j].name, argv[i]))
                        j++;
                if (!equals || j == N_ELEMENTS(names))
                        return err_new(ERR_INVALID_ARGUMENT, "%s?", argv[i]);
                *names[j].value = equals + 1;
        }
        for (unsigned i = 0; i < N_ELEMENTS(kinds); i++)
                if (string_equal(settings->kind, kinds[i]))
                        c->kind = (CredentialKind) i;
        if (settings->budget_sec)
                c->budget_usec = strtoull(settings->budget_sec, NULL, 10) * USEC_PER_SEC;
        settings->transport.connect_timeout_usec = 5 * USEC_PER_SEC;
        settings->transport.timeout_usec = 10 * USEC_PER_SEC;
        return NULL;
}

/* Counts the waits: the first call in OPERATION_WAIT is the driver's own, before the slices. */
typedef struct Seen {
        OperationStep last;
        unsigned n_waits;
} Seen;

static bool on_progress(void *userdata, OperationStep step, const Operation *operation) {
        Seen *seen = userdata;
        seen->n_waits += step == OPERATION_WAIT && seen->last != OPERATION_WAIT;
        seen->last = step;
        return true;
}

static Err *fetch(Credential *credential, const Settings *settings, Seen *seen) {
        _cleanup_(operation_freep) Operation *operation = NULL;
        const DriverCallbacks callbacks = { .progress = on_progress, .userdata = seen };
        TRY(operation_new_token(credential, (uint64_t) time(NULL), &operation));
        return driver_run(operation, &settings->transport, &callbacks);
}

static Err *run(int argc, char **argv) {
        Settings settings = {};
        Seen seen = {};
        _cleanup_(credential_freep) Credential *credential = NULL;
        TRY(parse(argc, argv, &settings));
        credential_options_from_environment(&settings.credential, getenv);
        TRY(credential_new(&settings.credential, &credential));
        for (int n = settings.repeat ? (int) strtol(settings.repeat, NULL, 10) : 1; n > 0; n--)
                TRY(fetch(credential, &settings, &seen));
        printf("{\"authorization\":\"%s\",\"waits\":%u}\n", credential_authorization(credential) ?: "", seen.n_waits);
        return NULL;
}

int main(int argc, char **argv) {
        _cleanup_(err_freep) Err *err = run(argc, argv);
        _cleanup_json_ Json *json = NULL;
        _cleanup_free_ char *text = NULL;
        if (!err)
                return 0;
        if (json_new_object(&json) || json_add_string(json, "error", err_describe(err)) || json_add_string(json, "code", err_code_info(err_code(err))->name) ||
            json_to_string(json, &text))
                return 2;
        printf("%s\n", text);
        return 1;
}
