/* See enrolment.h. */
#include "tpm/enrolment.h"

#include "tcg/aik.h"

#define CERTIFICATE_MODE 0644

typedef struct EndorsementWork {
        EndorsementAlgorithm algorithm;
        CollectorEndorsement *ret;
} EndorsementWork;

static Err *get_endorsement(EvidenceMaker *maker, void *userdata) {
        const EndorsementWork *work = userdata;
        _cleanup_endorsement_key_ EndorsementKey key = ENDORSEMENT_KEY_NONE;
        TRY(endorsement_key_load(maker->context, work->algorithm, &key));
        *work->ret = (CollectorEndorsement) {
                .ek_public = bytes_steal(&key.public), .ek_certificate = bytes_steal(&key.certificate), .ek_origin = steal_ptr(&key.origin),
                .ek_chain = bytes_steal(&key.chain), .ek_notice = steal_ptr(&key.notice),
        };
        return NULL;
}

Err *enrolment_get_endorsement(EvidenceMaker *maker, EndorsementAlgorithm algorithm, CollectorEndorsement *ret) {
        EndorsementWork work = { algorithm, ret };
        return evidence_maker_run(maker, get_endorsement, &work);
}

/* The key alone: an unusable certificate is what enrolment mends. */
static Err *load_aik(EvidenceMaker *maker, Aik *ret) {
        const AikOptions options = { .handle = maker->config->aik_handle, .certificate = "none" };
        return aik_load(maker->context, &options, &maker->own, ret);
}

typedef struct ActivationWork {
        Span id_object, encrypted_secret;
        Bytes *ret;
} ActivationWork;

static Err *activate(EvidenceMaker *maker, void *userdata) {
        const ActivationWork *work = userdata;
        _cleanup_aik_ Aik aik = AIK_NONE;
        _cleanup_endorsement_key_ EndorsementKey key = ENDORSEMENT_KEY_NONE;
        TRY(load_aik(maker, &aik));   /* first, because its parent takes a slot of the TPM meanwhile, and some have three */
        TRY(endorsement_key_load_for(maker->context, work->encrypted_secret, &key));
        return endorsement_key_activate(&key, aik.object.handle, work->id_object, work->encrypted_secret, work->ret);
}

Err *enrolment_activate(EvidenceMaker *maker, Span id_object, Span encrypted_secret, Bytes *ret_secret) {
        ActivationWork work = { id_object, encrypted_secret, ret_secret };
        return evidence_maker_run(maker, activate, &work);
}

static Err *store_certificate(EvidenceMaker *maker, void *userdata) {
        const Span *der = userdata;
        _cleanup_aik_ Aik aik = AIK_NONE;
        TRY(load_aik(maker, &aik));
        if (!string_equal(aik.origin, "own"))
                return err_new(ERR_CONFIG_INVALID, "the AIK is %s and not attestd's own; name its certificate's file with AikCertificate=", aik.origin);
        TRY(aik_match_certificate(*der, bytes_span(&aik.public)));
        return file_write_atomic(maker->own.certificate_path, *der, CERTIFICATE_MODE);
}

Err *enrolment_store_certificate(EvidenceMaker *maker, Span certificate) {
        _cleanup_bytes_ Bytes der = {};
        if (!string_equal(maker->config->aik_certificate, "auto"))
                return err_new(ERR_CONFIG_INVALID, "AikCertificate=%s: only with auto is a certificate kept and used", maker->config->aik_certificate);
        TRY(aik_decode_certificate(certificate, "the certificate", &der));
        Span span = bytes_span(&der);
        return evidence_maker_run(maker, store_certificate, &span);
}
