/* See imds.h. */
#include "instance/imds.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <strings.h>
#include <unistd.h>

#include "base/writer.h"
#include "instance/service.h"

#define BASIC "Basic "
#define ARC_API_VERSION "2019-11-01"

static const char *const imds_versions[] = { "2018-02-01", "2018-10-01", "2019-02-01", "2019-03-11", "2019-04-30", "2019-06-01", "2019-06-04", "2019-08-01",
                                             "2019-08-15", "2019-11-01", "2020-06-01", "2020-07-15", "2020-09-01", "2020-10-01", "2020-12-01", "2021-01-01",
                                             "2021-02-01", "2021-03-01", "2021-05-01", "2021-10-01", "2021-11-01", "2021-11-15", "2021-12-13" };

static void forget(ImdsChallenge *challenge) {
        if (challenge->path)
                (void) unlink(challenge->path);
        free(steal_ptr(&challenge->path));
        explicit_bzero(challenge->key, sizeof(challenge->key));
}

void imds_done(Imds *imds) {
        for (size_t i = 0; i < IMDS_CHALLENGES_MAX; i++)
                forget(&imds->challenges[i]);
}

Err *imds_reply_error(ServiceReply *reply, unsigned status, const char *name, Err *steal_error) {
        _cleanup_(err_freep) Err *error = steal_error;
        _cleanup_writer_ Writer writer = {};
        writer_format(&writer, "{\"error\":\"%s\",\"error_description\":", name);
        writer_json_string(&writer, span_from_string(err_describe(error)));
        writer_string(&writer, "}");
        bytes_done(&reply->body);
        TRY(writer_finish(&writer, &reply->body));
        free(steal_ptr(&reply->reason));
        TRY(string_format(&reply->reason, "%s: %s", name, err_describe(error)));
        reply->status = status;
        return NULL;
}

static Err *refuse(ServiceReply *reply, const char *name, const char *sentence) {
        return imds_reply_error(reply, 400, name, err_new(ERR_REQUEST_INVALID, "%s", sentence));
}

/* By what the request names it, else the system-assigned one, else the only one. NULL with a sentence that says why. */
static const Application *find_identity(const Applications *applications, const ServiceMetadata *asked, const Tenant **ret_tenant, const char **ret_why) {
        const Application *found = NULL;
        size_t n = 0;
        bool is_named = asked->client_id || asked->object_id || asked->resource_id;
        for (size_t i = 0; i < applications->n; i++)
                for (size_t j = 0; j < applications->tenants[i].n; j++) {
                        const Application *candidate = &applications->tenants[i].applications[j];
                        if (!candidate->is_managed || (asked->client_id && strcasecmp(asked->client_id, candidate->client_id) != 0) ||
                            (asked->object_id && strcasecmp(asked->object_id, candidate->object_id) != 0) ||
                            (asked->resource_id && (!candidate->resource_id || strcasecmp(asked->resource_id, candidate->resource_id) != 0)))
                                continue;
                        n++;
                        if (!found || (candidate->is_system_assigned && !found->is_system_assigned)) {
                                found = candidate;
                                *ret_tenant = &applications->tenants[i];
                        }
                }
        if (n == 1 || (n > 1 && found->is_system_assigned && !is_named))
                return found;
        *ret_why = n == 0 ? "Identity not found"
                          : "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request";
        return NULL;
}

/* The form of a token answer differs from one host to the other. */
typedef enum ImdsKind { IMDS_MACHINE, IMDS_APP_SERVICE, IMDS_ARC } ImdsKind;

static Err *answer_token(const Imds *imds, ImdsKind kind, const ServiceRequest *request, ServiceReply *reply) {
        const ServiceMetadata *asked = &request->metadata;
        const Tenant *tenant = NULL;
        const char *why = NULL;
        if (!asked->resource)
                return refuse(reply, "invalid_request", "Required query variable 'resource' is missing");
        if (!string_equal(asked->resource, AUTHORITY_AUDIENCE) && !string_equal(asked->resource, AUTHORITY_AUDIENCE "/"))
                return refuse(reply, "invalid_resource", "AADSTS500011: The resource principal was not found in the tenant");
        if (!!asked->client_id + !!asked->object_id + !!asked->resource_id > 1)
                return refuse(reply, "invalid_request", "Only one of client_id, object_id and msi_res_id may be given");
        const Application *application = find_identity(authority_applications(imds->authority), asked, &tenant, &why);
        if (!application)
                return refuse(reply, "invalid_request", why);
        AuthorityGrant grant = {
                .tenant = tenant, .application = application, .client_class = "2", .now_sec = request->now_sec, .lifetime_sec = AUTHORITY_MANAGED_LIFETIME_SEC,
        };
        _cleanup_free_ char *token = NULL;
        _cleanup_writer_ Writer writer = {};
        TRY(authority_issue(imds->authority, &grant, &token));
        writer_format(&writer, "{\"access_token\":\"%s\",\"client_id\":\"%s\",\"expires_on\":\"%" PRId64 "\",\"resource\":", token, application->client_id,
                      grant.now_sec + grant.lifetime_sec);
        writer_json_string(&writer, span_from_string(asked->resource));
        if (kind != IMDS_APP_SERVICE)
                writer_format(&writer, ",\"expires_in\":\"%" PRId64 "\",\"ext_expires_in\":\"%" PRId64 "\",\"not_before\":\"%" PRId64 "\"", grant.lifetime_sec,
                              grant.lifetime_sec, grant.now_sec);
        writer_string(&writer, ",\"token_type\":\"Bearer\"}");
        reply->no_store = true;
        return writer_finish(&writer, &reply->body);
}

static bool version_is_known(const char *version) {
        for (size_t i = 0; i < N_ELEMENTS(imds_versions); i++)
                if (string_equal(version, imds_versions[i]))
                        return true;
        return false;
}

static Err *answer_machine(const Imds *imds, const ServiceRequest *request, ServiceReply *reply) {
        if (!request->api_version)
                return refuse(reply, "invalid_request", "Required query variable 'api-version' is missing");
        if (!version_is_known(request->api_version))
                return refuse(reply, "invalid_request", "Bad request. api-version is invalid");
        return answer_token(imds, IMDS_MACHINE, request, reply);
}

static Err *answer_app_service(const Imds *imds, const ServiceRequest *request, ServiceReply *reply) {
        const char *wanted = authority_applications(imds->authority)->identity_header, *header = request->metadata.identity_header;
        if (!wanted)
                return imds_reply_error(reply, 404, "not_found", err_new(ERR_REQUEST_INVALID, "The applications have no identity_header"));
        if (!header || strlen(header) != strlen(wanted) || CRYPTO_memcmp(header, wanted, strlen(wanted)) != 0)
                return imds_reply_error(reply, 401, "unauthorized", err_new(ERR_REQUEST_INVALID, "X-IDENTITY-HEADER is missing or wrong"));
        if (!string_equal(request->api_version, "2019-08-01"))
                return refuse(reply, "invalid_request", "api-version must be 2019-08-01");
        return answer_token(imds, IMDS_APP_SERVICE, request, reply);
}

static Err *challenge(Imds *imds, ServiceReply *reply) {
        uint8_t random[IMDS_KEY_SIZE], name[8];
        char hex[sizeof(name) * 2 + 1];
        if (RAND_bytes(random, sizeof(random)) != 1 || RAND_bytes(name, sizeof(name)) != 1)
                return err_new(ERR_INTERNAL, "OpenSSL has no random bytes");
        ImdsChallenge *slot = &imds->challenges[imds->n_challenges++ % IMDS_CHALLENGES_MAX];
        forget(slot);
        hex_encode_into(SPAN_OF(random), slot->key);
        hex_encode_into(SPAN_OF(name), hex);
        TRY(string_format(&slot->path, "%s/%s.key", imds->arc_directory, hex));
        Err *err = file_write_atomic(slot->path, span_from_string(slot->key), 0640);
        if (err)
                return imds_reply_error(reply, 500, "server_error", err_wrap(err, "making the key file"));
        free(steal_ptr(&reply->authenticate));
        TRY(string_format(&reply->authenticate, "Basic realm=%s", slot->path));
        return imds_reply_error(reply, 401, "unauthorized", err_new(ERR_REQUEST_INVALID, "The content of the key file is needed"));
}

static bool redeem(Imds *imds, const char *header) {
        if (strncasecmp(header, BASIC, strlen(BASIC)) != 0 || strlen(header + strlen(BASIC)) != IMDS_KEY_SIZE * 2)
                return false;
        for (size_t i = 0; i < IMDS_CHALLENGES_MAX; i++)
                if (imds->challenges[i].path && CRYPTO_memcmp(header + strlen(BASIC), imds->challenges[i].key, IMDS_KEY_SIZE * 2) == 0) {
                        forget(&imds->challenges[i]);
                        return true;
                }
        return false;
}

static Err *answer_arc(Imds *imds, const ServiceRequest *request, ServiceReply *reply) {
        if (!imds->arc_directory)
                return imds_reply_error(reply, 404, "not_found", err_new(ERR_REQUEST_INVALID, "There is no --arc-tokens"));
        if (!string_equal(request->api_version, ARC_API_VERSION) && !string_equal(request->api_version, "2020-06-01"))
                return refuse(reply, "invalid_request", "api-version must be " ARC_API_VERSION " or 2020-06-01");
        if (!request->authorization)
                return challenge(imds, reply);
        if (!redeem(imds, request->authorization))
                return imds_reply_error(reply, 403, "forbidden", err_new(ERR_REQUEST_INVALID, "The key is unknown, or was used"));
        return answer_token(imds, IMDS_ARC, request, reply);
}

Err *imds_handle(Imds *imds, const ServiceRequest *request, ServiceReply *reply) {
        const ServiceMetadata *asked = &request->metadata;
        bool is_machine = string_equal(request->path, "/metadata/identity/oauth2/token");
        bool is_arc = string_equal(request->path, "/arc/metadata/identity/oauth2/token");
        bool is_app_service = string_equal(request->path, "/msi/token");
        if (!is_machine && !is_arc && !is_app_service)
                return imds_reply_error(reply, 404, "not_found", err_new(ERR_REQUEST_INVALID, "There is nothing at %.256s", request->path));
        if (!string_equal(request->method, "GET"))
                return imds_reply_error(reply, 405, "method_not_allowed", err_new(ERR_REQUEST_INVALID, "GET is the method"));
        if (asked->forwarded_for)
                return refuse(reply, "bad_request", "Requests that were forwarded (X-Forwarded-For) are not answered");
        if (!is_app_service && (!asked->header || strcasecmp(asked->header, "true") != 0))
                return refuse(reply, "bad_request_102", "Required metadata header not specified");
        if (is_app_service)
                return answer_app_service(imds, request, reply);
        return is_arc ? answer_arc(imds, request, reply) : answer_machine(imds, request, reply);
}
