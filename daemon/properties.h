/* What the daemon shows of itself and of each profile, as named values: the one list behind the D-Bus properties, their change signals and
 * GET /v1/status, so that both faces say the same. Names and types are those of org.attestd1(5). */
#pragma once

#include "base/json.h"
#include "daemon/manager.h"

typedef enum PropertyKind {
        PROPERTY_STRING,     /* s */
        PROPERTY_BOOLEAN,    /* b */
        PROPERTY_UINT64,     /* t */
        PROPERTY_INT64,      /* x */
        PROPERTY_ERROR,      /* (ss): code's name and described chain, two empty strings for none; in JSON {"code","message"} or null */
        PROPERTY_VERDICTS,   /* a{us} of the quoted PCRs; in JSON an object with the PCR's number as name */
} PropertyKind;

typedef struct Property {
        const char *name;
        PropertyKind kind;
        union {
                const char *string;
                bool boolean;
                uint64_t uint64;
                int64_t int64;
                const Err *error;
                const PcrVerdict *verdicts;   /* PCR_COUNT of them */
        };
} Property;

#define MANAGER_PROPERTIES_N 11
#define PROFILE_PROPERTIES_N 20
/* All borrowed from status. */
void manager_properties(const ManagerStatus *status, Property ret[MANAGER_PROPERTIES_N]);
void profile_properties(const ProfileStatus *status, Property ret[PROFILE_PROPERTIES_N]);
const Property *property_find(const Property *properties, size_t n_properties, const char *name);   /* NULL if absent */

Err *property_to_json(const Property *property, Json **ret) _must_check_;
/* {"Version":…, …, "profiles":{NAME:{"State":…, …}, …}} */
Err *status_to_json(const ManagerStatus *manager, const ProfileStatus *profiles, size_t n_profiles, Json **ret) _must_check_;
/* {"code":…,"message":…} */
Err *error_to_json(const Err *err, Json **ret) _must_check_;
