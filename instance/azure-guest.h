/* POST /attest/AzureGuest: a VM attests itself by its vTPM, and of a confidential VM by the report that vouches for the vTPM. The token is closed for the key in the vTPM.
 *
 * Refused: an attestation key that signs anything but what the TPM made, or a certificate for another key; a quote that is not signed by it, has qualifying data, or does not give the digest of
 * the PCRs that were sent; an encryption key that it does not certify, or that can leave the TPM; a log that does not parse; with SevSnp a report whose report data are
 * not the hash of the runtime data, or runtime data that name another attestation key. Claims: whether the key's certificate is in date and of a known issuer (aikValidated), what the log
 * explains, Secure Boot as measured. Not checked: the signature of the TEE's report, for which the vendor's keys would be needed; the token says so
 * (x-ms-compliance-status). TDX quotes are not taken apart. */
#pragma once

#include "instance/service.h"

bool azure_guest_is_responsible(const char *path);
Err *azure_guest_handle(Service *service, const ServiceRequest *request, ServiceReply *reply) _must_check_;
