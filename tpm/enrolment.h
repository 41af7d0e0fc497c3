/* What the private bus offers for enrolling the AIK with a certificate authority. */
#pragma once

#include "collector/collector.h"
#include "tpm/endorsement.h"
#include "tpm/evidence.h"

Err *enrolment_get_endorsement(EvidenceMaker *maker, EndorsementAlgorithm algorithm, CollectorEndorsement *ret) _must_check_;
/* The AIK is the one that attests; the endorsement key the one that encrypted_secret is for. Both are out of the TPM again afterwards. */
Err *enrolment_activate(EvidenceMaker *maker, Span id_object, Span encrypted_secret, Bytes *ret_secret) _must_check_;
/* Keeps a certificate (DER or PEM) for AikCertificate=auto. Errors: AIK_CERTIFICATE_INVALID if it is for another key, CONFIG_INVALID where
 * AikCertificate= says something else. */
Err *enrolment_store_certificate(EvidenceMaker *maker, Span certificate) _must_check_;
