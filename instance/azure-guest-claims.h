/* The claims of a token about an Azure VM, in the service's shape as published tokens have it, as far as the instance can know them. */
#pragma once

#include "instance/azure-guest-request.h"
#include "tcg/evidence.h"
#include "tcg/tee-report.h"

typedef struct GuestEvidence {
        const GuestBody *body;
        EVP_PKEY *key;                       /* the key that the token is closed for */
        bool aik_validated;
        char *aik_reason;                    /* why not; NULL if it is */
        PcrVerdict pcrs[PCR_COUNT];
        bool is_secure_boot;
        SnpReport snp;                       /* with SevSnp */
        Json *runtime;                       /* the runtime data of a confidential VM; NULL else */
} GuestEvidence;
void guest_evidence_done(GuestEvidence *evidence);
#define _cleanup_guest_evidence_ _cleanup_(guest_evidence_done)

/* Without times and issuer. */
Err *guest_claims(const GuestEvidence *evidence, Json **ret) _must_check_;
