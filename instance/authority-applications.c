/* See authority-applications.h. */
#include "instance/authority-applications.h"

#include <strings.h>

#include "base/json.h"
#include "jose/x509.h"

static void application_done(Application *application) {
        free(application->client_id);
        free(application->object_id);
        free(application->resource_id);
        for (size_t i = 0; i < application->n_secrets; i++) {
                char *value = application->secrets[i].value;
                if (value)
                        explicit_bzero(value, strlen(value));
                free(value);
        }
        x509_stack_free(application->certificates);
        for (size_t i = 0; i < application->n_federations; i++) {
                ApplicationFederation *federation = &application->federations[i];
                free(federation->issuer);
                free(federation->subject);
                free(federation->audience);
                jwk_set_free(federation->keys);
        }
}

Applications *applications_free(Applications *applications) {
        if (!applications)
                return NULL;
        for (size_t i = 0; i < applications->n; i++) {
                Tenant *tenant = &applications->tenants[i];
                free(tenant->id);
                free(tenant->name);
                for (size_t j = 0; j < tenant->n; j++)
                        application_done(&tenant->applications[j]);
        }
        free(applications->tenants);
        free(applications->identity_header);
        free(applications);
        return NULL;
}

/* names is a NULL-terminated list. */
static Err *check_members(const Json *json, const char *what, const char *const *names) {
        if (!json_is_object(json))
                return err_new(ERR_CONFIG_INVALID, "%s: an object is needed", what);
        json_object_object_foreach((Json *) json, name, value) {
                (void) value;
                size_t i = 0;
                while (names[i] && !string_equal(names[i], name))
                        i++;
                if (!names[i])
                        return err_new(ERR_CONFIG_INVALID, "%s: the member \"%.64s\" is not known", what, name);
        }
        return NULL;
}
#define CHECK_MEMBERS(json, what, ...) check_members(json, what, (const char *const[]) { __VA_ARGS__, NULL })

/* An array member, or NULL with 0 elements if it is absent. */
static Err *get_list(const Json *json, const char *member, size_t max, Json **ret, size_t *ret_n) {
        *ret = NULL;
        *ret_n = 0;
        if (!json_get(json, member))
                return NULL;
        TRY(json_get_array(json, member, ret));
        *ret_n = json_object_array_length(*ret);
        return *ret_n > max ? err_new(ERR_CONFIG_INVALID, "%s: more than %zu elements", member, max) : NULL;
}

/* An id goes into URLs and JSON as it is. */
static Err *get_id(const Json *json, const char *member, bool is_optional, char **ret) {
        const char *text = NULL;
        TRY(is_optional ? json_get_string_optional(json, member, &text) : json_get_string(json, member, &text));
        if (!text)
                return NULL;
        size_t n = strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._/");
        if (!text[0] || text[n])
                return err_new(ERR_CONFIG_INVALID, "%s: letters, digits, '-', '.', '_' and '/' are allowed", member);
        return string_copy(text, ret);
}

static Err *parse_roles(const Json *json, unsigned *ret) {
        Json *list;
        size_t n;
        TRY(get_list(json, "roles", 2, &list, &n));
        for (size_t i = 0; i < n; i++) {
                const char *role = json_object_get_string(json_object_array_get_idx(list, i));
                if (string_equal(role, "reader"))
                        *ret |= APPLICATION_READER;
                else if (string_equal(role, "contributor"))
                        *ret |= APPLICATION_READER | APPLICATION_CONTRIBUTOR;
                else
                        return err_new(ERR_CONFIG_INVALID, "roles: each is reader or contributor");
        }
        return NULL;
}

static Err *parse_secret(const Json *json, ApplicationSecret *secret) {
        const char *value;
        secret->expires_sec = INT64_MAX;
        TRY(CHECK_MEMBERS(json, "secrets", "value", "expires"));
        TRY(json_get_string(json, "value", &value));
        if (json_get(json, "expires"))
                TRY(json_get_integer(json, "expires", &secret->expires_sec));
        return string_copy(value, &secret->value);
}

static Err *parse_federation(const Json *json, ApplicationFederation *federation) {
        const char *issuer, *subject, *audience;
        Json *keys;
        TRY(CHECK_MEMBERS(json, "federated", "issuer", "subject", "audience", "keys"));
        TRY(json_get_string(json, "issuer", &issuer));
        TRY(json_get_string(json, "subject", &subject));
        TRY(json_get_string(json, "audience", &audience));
        TRY(json_get_array(json, "keys", &keys));
        TRY(string_copy(issuer, &federation->issuer));
        TRY(string_copy(subject, &federation->subject));
        TRY(string_copy(audience, &federation->audience));
        _cleanup_json_ Json *set = NULL;
        _cleanup_free_ char *text = NULL;
        TRY(json_new_object(&set));
        TRY(json_add(set, "keys", json_object_get(keys)));
        TRY(json_to_string(set, &text));
        return jwk_set_parse(span_from_string(text), "federated keys", &federation->keys);
}

static Err *parse_certificates(const Json *json, STACK_OF(X509) **ret) {
        Json *list;
        size_t n;
        TRY(get_list(json, "certificates", APPLICATION_CREDENTIALS_MAX, &list, &n));
        for (size_t i = 0; i < n; i++) {
                Json *item = json_object_array_get_idx(list, i);
                if (!json_is_string(item))
                        return err_new(ERR_CONFIG_INVALID, "certificates: element %zu is no string", i);
                _cleanup_(x509_stack_freep) STACK_OF(X509) *stack = NULL;
                TRY(x509_stack_from_pem(span_from_string(json_object_get_string(item)), "certificates", &stack));
                if (!*ret && !(*ret = sk_X509_new_null()))
                        return err_oom();
                if (X509_add_cert(*ret, x509_stack_leaf(stack), X509_ADD_FLAG_UP_REF) != 1)
                        return err_oom();
        }
        return NULL;
}

static Err *parse_credentials(const Json *json, Application *application) {
        Json *list;
        size_t n;
        TRY(get_list(json, "secrets", APPLICATION_CREDENTIALS_MAX, &list, &n));
        for (size_t i = 0; i < n; i++)
                TRY(parse_secret(json_object_array_get_idx(list, i), &application->secrets[application->n_secrets++]));
        TRY(get_list(json, "federated", APPLICATION_CREDENTIALS_MAX, &list, &n));
        for (size_t i = 0; i < n; i++)
                TRY(parse_federation(json_object_array_get_idx(list, i), &application->federations[application->n_federations++]));
        return parse_certificates(json, &application->certificates);
}

static Err *parse_application(const Json *json, bool is_managed, Application *application) {
        application->is_managed = is_managed;
        if (is_managed)
                TRY(CHECK_MEMBERS(json, "a managed identity", "client_id", "object_id", "resource_id", "system_assigned", "roles"));
        else
                TRY(CHECK_MEMBERS(json, "an application", "client_id", "object_id", "roles", "secrets", "certificates", "federated"));
        TRY(get_id(json, "client_id", false, &application->client_id));
        TRY(get_id(json, "object_id", false, &application->object_id));
        TRY(get_id(json, "resource_id", true, &application->resource_id));
        if (json_get(json, "system_assigned"))
                TRY(json_get_boolean(json, "system_assigned", &application->is_system_assigned));
        TRY(parse_roles(json, &application->roles));
        return is_managed ? NULL : parse_credentials(json, application);
}

static Err *parse_applications(const Json *json, const char *member, bool is_managed, Tenant *tenant) {
        Json *list;
        size_t n;
        TRY(get_list(json, member, APPLICATIONS_PER_TENANT_MAX - tenant->n, &list, &n));
        for (size_t i = 0; i < n; i++) {
                Application *application = &tenant->applications[tenant->n++];
                TRY(err_wrap(parse_application(json_object_array_get_idx(list, i), is_managed, application), "%s %zu", member, i + 1));
                if (tenant_find_object(tenant, application->object_id) != application)
                        return err_new(ERR_CONFIG_INVALID, "%s %zu: another one has the same object_id", member, i + 1);
        }
        return NULL;
}

static Err *parse_tenant(const Json *json, Tenant *tenant) {
        TRY(CHECK_MEMBERS(json, "a tenant", "id", "name", "applications", "managed_identities"));
        TRY(get_id(json, "id", false, &tenant->id));
        TRY(get_id(json, "name", true, &tenant->name));
        if (strchr(tenant->id, '/') || (tenant->name && strchr(tenant->name, '/')))
                return err_new(ERR_CONFIG_INVALID, "a tenant's id and name have no '/'");
        TRY(parse_applications(json, "applications", false, tenant));
        return parse_applications(json, "managed_identities", true, tenant);
}

Err *applications_parse(Span text, Applications **ret) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_(applications_freep) Applications *applications = calloc(1, sizeof(*applications));
        if (!applications)
                return err_oom();
        Json *tenants;
        size_t n;
        const char *header = NULL;
        TRY(json_parse(text, "the applications", &json));
        TRY(CHECK_MEMBERS(json, "the applications", "tenants", "identity_header"));
        TRY(json_get_string_optional(json, "identity_header", &header));
        if (header)
                TRY(string_copy(header, &applications->identity_header));
        TRY(get_list(json, "tenants", APPLICATIONS_TENANTS_MAX, &tenants, &n));
        if (n == 0)
                return err_new(ERR_CONFIG_INVALID, "tenants: at least one is needed");
        applications->tenants = calloc(n, sizeof(*applications->tenants));
        if (!applications->tenants)
                return err_oom();
        for (size_t i = 0; i < n; i++) {
                Tenant *tenant = &applications->tenants[applications->n++];
                TRY(err_wrap(parse_tenant(json_object_array_get_idx(tenants, i), tenant), "tenant %zu", i + 1));
                if (applications_find_tenant(applications, span_from_string(tenant->id)) != tenant)
                        return err_new(ERR_CONFIG_INVALID, "tenant %zu: another one has the same id", i + 1);
        }
        *ret = steal_ptr(&applications);
        return NULL;
}

Err *applications_read(const char *path, Applications **ret) {
        _cleanup_bytes_erase_ Bytes text = {};
        TRY(file_read(path, APPLICATIONS_FILE_MAX, &text));
        return err_wrap(applications_parse(bytes_span(&text), ret), "%s", path);
}

static bool is_same(const char *name, Span text) {
        return name && strlen(name) == text.size && strncasecmp(name, (const char *) text.data, text.size) == 0;
}

const Tenant *applications_find_tenant(const Applications *applications, Span text) {
        for (size_t i = 0; i < applications->n; i++)
                if (is_same(applications->tenants[i].id, text) || is_same(applications->tenants[i].name, text))
                        return &applications->tenants[i];
        return NULL;
}

const Application *tenant_find_application(const Tenant *tenant, const char *client_id) {
        for (size_t i = 0; i < tenant->n; i++)
                if (!tenant->applications[i].is_managed && strcasecmp(tenant->applications[i].client_id, client_id) == 0)
                        return &tenant->applications[i];
        return NULL;
}

const Application *tenant_find_object(const Tenant *tenant, const char *object_id) {
        for (size_t i = 0; i < tenant->n; i++)
                if (tenant->applications[i].object_id && strcasecmp(tenant->applications[i].object_id, object_id) == 0)
                        return &tenant->applications[i];
        return NULL;
}
