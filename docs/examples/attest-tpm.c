/* Attests this machine with libattest and a TPM that is reached through tpm2-tss, and prints the token.
 *
 *     cc attest-tpm.c $(pkg-config --cflags --libs libattest tss2-esys tss2-mu tss2-tctildr) -o attest-tpm
 *     attest-tpm [--tpm-key] URL CA-FILE TCTI [BOOT-LOG [IMA-LOG]]
 *
 * With --tpm-key the token is bound to a key in the TPM that the attestation key certifies; else to one in memory.
 * A program that runs often would keep its attestation key; this one makes the same primary key each time, which takes the TPM a moment. It compiles as C11
 * and as C++17. */
#include <attest/attest.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_tctildr.h>
#include <unistd.h>

#define PCRS 24
#define DIGEST_SIZE 32

typedef struct Machine {
        ESYS_CONTEXT *esys;
        ESYS_TR key;
        TPM2B_PUBLIC *public_key;
        ESYS_TR request_key; /* with --tpm-key */
        TPM2B_PUBLIC *request_public_key;
        const char *boot_log, *ima_log;
} Machine;

static AttestError *tss_error(const char *what, TSS2_RC rc) {
        char message[80];
        snprintf(message, sizeof(message), "%s failed (rc 0x%x)", what, rc);
        return attest_error_new("TpmCommandFailed", message);
}

/* All 24 PCRs of the SHA-256 bank. A TPM answers with at most eight at once. */
static AttestError *read_pcrs(Machine *machine, AttestEvidence *evidence) {
        for (unsigned first = 0; first < PCRS; first += 8) {
                TPML_PCR_SELECTION selection;
                TPML_DIGEST *values = NULL;
                memset(&selection, 0, sizeof(selection));
                selection.count = 1;
                selection.pcrSelections[0].hash = TPM2_ALG_SHA256;
                selection.pcrSelections[0].sizeofSelect = 3;
                selection.pcrSelections[0].pcrSelect[first / 8] = 0xff;
                TSS2_RC rc = Esys_PCR_Read(machine->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &selection, NULL, NULL, &values);
                if (rc != TSS2_RC_SUCCESS)
                        return tss_error("TPM2_PCR_Read", rc);
                AttestError *error = NULL;
                for (unsigned i = 0; !error && i < values->count; i++)
                        error = attest_evidence_add_pcr(evidence, TPM2_ALG_SHA256, first + i, values->digests[i].buffer, values->digests[i].size);
                Esys_Free(values);
                if (error)
                        return error;
        }
        return NULL;
}

static AttestError *add_log(AttestEvidence *evidence, AttestLog type, const char *path) {
        struct stat status;
        if (!path)
                return NULL;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &status) < 0)
                return attest_error_new("LogUnreadable", path);
        AttestError *error = attest_evidence_add_log_fd(evidence, type, fd, (uint64_t) status.st_size);
        close(fd);
        return error;
}

static AttestError *add_quote(Machine *machine, const void *data, size_t size, AttestEvidence *evidence) {
        TPM2B_DATA qualifying;
        TPMT_SIG_SCHEME scheme;
        TPML_PCR_SELECTION selection;
        TPM2B_ATTEST *attest = NULL;
        TPMT_SIGNATURE *signature = NULL;
        uint8_t bytes[sizeof(TPMT_SIGNATURE)];
        size_t used = 0;
        memset(&qualifying, 0, sizeof(qualifying));
        memset(&scheme, 0, sizeof(scheme));
        memset(&selection, 0, sizeof(selection));
        if (size > sizeof(qualifying.buffer))
                return attest_error_new("InvalidArgument", "the qualifying data is too long for a TPM");
        qualifying.size = (UINT16) size;
        memcpy(qualifying.buffer, data, size);
        scheme.scheme = TPM2_ALG_NULL; /* the key's own */
        selection.count = 1;
        selection.pcrSelections[0].hash = TPM2_ALG_SHA256;
        selection.pcrSelections[0].sizeofSelect = 3;
        memset(selection.pcrSelections[0].pcrSelect, 0xff, 3);
        TSS2_RC rc = Esys_Quote(machine->esys, machine->key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &qualifying, &scheme, &selection, &attest, &signature);
        if (rc != TSS2_RC_SUCCESS)
                return tss_error("TPM2_Quote", rc);
        rc = Tss2_MU_TPMT_SIGNATURE_Marshal(signature, bytes, sizeof(bytes), &used);
        AttestError *error = rc != TSS2_RC_SUCCESS ? tss_error("marshalling the signature", rc)
                                                   : attest_evidence_set_quote(evidence, attest->attestationData, attest->size, bytes, used);
        Esys_Free(attest);
        Esys_Free(signature);
        return error;
}

/* What AttestSession calls when it has a challenge. */
static AttestError *quote(void *userdata, const void *data, size_t size, const void *challenge, size_t challenge_size, AttestEvidence *evidence) {
        Machine *machine = (Machine *) userdata;
        uint8_t area[sizeof(TPMT_PUBLIC)];
        size_t used = 0;
        (void) challenge;
        (void) challenge_size;
        TSS2_RC rc = Tss2_MU_TPMT_PUBLIC_Marshal(&machine->public_key->publicArea, area, sizeof(area), &used);
        if (rc != TSS2_RC_SUCCESS)
                return tss_error("marshalling the key", rc);
        AttestError *error = attest_evidence_set_aik(evidence, area, used, NULL, 0);
        if (!error)
                error = read_pcrs(machine, evidence);
        if (!error)
                error = add_quote(machine, data, size, evidence);
        if (!error)
                error = add_log(evidence, ATTEST_LOG_TCG, machine->boot_log);
        if (!error)
                error = add_log(evidence, ATTEST_LOG_IMA, machine->ima_log);
        return error;
}

/* The same, afterwards, with --tpm-key: the attestation key's word that the request key is in the same TPM. */
static AttestError *certify(void *userdata, const void *challenge, size_t size, AttestEvidence *evidence) {
        Machine *machine = (Machine *) userdata;
        TPM2B_DATA qualifying;
        TPMT_SIG_SCHEME scheme;
        TPM2B_ATTEST *attest = NULL;
        TPMT_SIGNATURE *signature = NULL;
        uint8_t area[sizeof(TPMT_PUBLIC)], bytes[sizeof(TPMT_SIGNATURE)];
        size_t area_size = 0, used = 0;
        memset(&qualifying, 0, sizeof(qualifying));
        memset(&scheme, 0, sizeof(scheme));
        if (size > sizeof(qualifying.buffer))
                return attest_error_new("InvalidArgument", "the challenge is too long for a TPM");
        qualifying.size = (UINT16) size;
        memcpy(qualifying.buffer, challenge, size);
        scheme.scheme = TPM2_ALG_NULL;
        TSS2_RC rc = Esys_Certify(machine->esys, machine->request_key, machine->key, ESYS_TR_PASSWORD, ESYS_TR_PASSWORD, ESYS_TR_NONE, &qualifying, &scheme,
                                  &attest, &signature);
        if (rc != TSS2_RC_SUCCESS)
                return tss_error("TPM2_Certify", rc);
        rc = Tss2_MU_TPMT_PUBLIC_Marshal(&machine->request_public_key->publicArea, area, sizeof(area), &area_size);
        if (rc == TSS2_RC_SUCCESS)
                rc = Tss2_MU_TPMT_SIGNATURE_Marshal(signature, bytes, sizeof(bytes), &used);
        AttestError *error = rc != TSS2_RC_SUCCESS ? tss_error("marshalling the certification", rc)
                                                   : attest_evidence_set_request_key(evidence, area, area_size, attest->attestationData, attest->size, bytes, used);
        Esys_Free(attest);
        Esys_Free(signature);
        return error;
}

/* And, last, the request key's signature over the request. */
static AttestError *sign(void *userdata, const uint8_t digest[32], void *signature, size_t *size) {
        Machine *machine = (Machine *) userdata;
        TPM2B_DIGEST wanted;
        TPMT_SIG_SCHEME scheme;
        TPMT_TK_HASHCHECK ticket;
        TPMT_SIGNATURE *made = NULL;
        memset(&scheme, 0, sizeof(scheme));
        memset(&ticket, 0, sizeof(ticket));
        wanted.size = DIGEST_SIZE;
        memcpy(wanted.buffer, digest, DIGEST_SIZE);
        scheme.scheme = TPM2_ALG_RSAPSS;
        scheme.details.rsapss.hashAlg = TPM2_ALG_SHA256;
        ticket.tag = TPM2_ST_HASHCHECK;
        ticket.hierarchy = TPM2_RH_NULL;
        TSS2_RC rc = Esys_Sign(machine->esys, machine->request_key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &wanted, &scheme, &ticket, &made);
        if (rc != TSS2_RC_SUCCESS)
                return tss_error("TPM2_Sign", rc);
        AttestError *error = NULL;
        if (made->signature.rsapss.sig.size > *size)
                error = attest_error_new("Internal", "no room for the signature");
        else {
                *size = made->signature.rsapss.sig.size;
                memcpy(signature, made->signature.rsapss.sig.buffer, *size);
        }
        Esys_Free(made);
        return error;
}

/* A signing key of the owner hierarchy, RSA-2048: restricted to what the TPM itself says, RSASSA with SHA-256; or for anything. */
static TSS2_RC make_key(Machine *machine, bool restricted, ESYS_TR *key, TPM2B_PUBLIC **public_key) {
        TPM2B_SENSITIVE_CREATE sensitive;
        TPM2B_PUBLIC form;
        TPM2B_DATA outside;
        TPML_PCR_SELECTION pcrs;
        memset(&sensitive, 0, sizeof(sensitive));
        memset(&form, 0, sizeof(form));
        memset(&outside, 0, sizeof(outside));
        memset(&pcrs, 0, sizeof(pcrs));
        form.publicArea.type = TPM2_ALG_RSA;
        form.publicArea.nameAlg = TPM2_ALG_SHA256;
        form.publicArea.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                                           TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT;
        if (restricted)
                form.publicArea.objectAttributes |= TPMA_OBJECT_RESTRICTED;
        form.publicArea.parameters.rsaDetail.symmetric.algorithm = TPM2_ALG_NULL;
        form.publicArea.parameters.rsaDetail.scheme.scheme = restricted ? TPM2_ALG_RSASSA : TPM2_ALG_NULL;
        form.publicArea.parameters.rsaDetail.scheme.details.rsassa.hashAlg = TPM2_ALG_SHA256;
        form.publicArea.parameters.rsaDetail.keyBits = 2048;
        return Esys_CreatePrimary(machine->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &form, &outside, &pcrs,
                                  key, public_key, NULL, NULL, NULL);
}

static AttestError *attest(const char *url, const char *ca_file, Machine *machine, AttestToken **ret) {
        bool with_tpm_key = machine->request_key != ESYS_TR_NONE;
        AttestTpmCallbacks callbacks;
        AttestClient *client = NULL;
        AttestSession *session = NULL;
        memset(&callbacks, 0, sizeof(callbacks));
        callbacks.quote = quote;
        callbacks.certify = certify;
        callbacks.sign = sign;
        AttestError *error = attest_client_new(url, &client);
        if (!error)
                error = attest_client_set_ca_file(client, ca_file);
        if (!error)
                error = attest_session_new(client, &session);
        if (!error)
                error = attest_session_set_relying_party(session, "docs/examples");
        if (!error)
                attest_session_use_tpm_key(session, with_tpm_key);
        if (!error)
                error = attest_session_run(session, &callbacks, machine, ret);
        attest_session_free(session);
        attest_client_free(client);
        return error;
}

int main(int argc, char **argv) {
        TSS2_TCTI_CONTEXT *tcti = NULL;
        AttestToken *token = NULL;
        Machine machine;
        memset(&machine, 0, sizeof(machine));
        machine.key = machine.request_key = ESYS_TR_NONE;
        bool with_tpm_key = argc > 1 && strcmp(argv[1], "--tpm-key") == 0;
        if (with_tpm_key)
                argc--, argv++;
        if (argc < 4) {
                fprintf(stderr, "usage: attest-tpm [--tpm-key] URL CA-FILE TCTI [BOOT-LOG [IMA-LOG]]\n");
                return 2;
        }
        machine.boot_log = argc > 4 ? argv[4] : NULL;
        machine.ima_log = argc > 5 ? argv[5] : NULL;
        TSS2_RC rc = Tss2_TctiLdr_Initialize(argv[3], &tcti);
        if (rc == TSS2_RC_SUCCESS)
                rc = Esys_Initialize(&machine.esys, tcti, NULL);
        if (rc == TSS2_RC_SUCCESS)
                rc = make_key(&machine, /* restricted= */ true, &machine.key, &machine.public_key);
        if (rc == TSS2_RC_SUCCESS && with_tpm_key)
                rc = make_key(&machine, /* restricted= */ false, &machine.request_key, &machine.request_public_key);
        AttestError *error = rc == TSS2_RC_SUCCESS ? attest(argv[1], argv[2], &machine, &token) : tss_error("making a key in the TPM", rc);
        if (error)
                fprintf(stderr, "attest-tpm: %s (%s)\n%s\n", attest_error_describe(error), attest_error_get_name(error), attest_error_get_help(error));
        else
                puts(attest_token_get_text(token));
        int status = error ? 1 : 0;
        attest_error_free(error);
        attest_token_free(token);
        if (machine.key != ESYS_TR_NONE)
                Esys_FlushContext(machine.esys, machine.key);
        if (machine.request_key != ESYS_TR_NONE)
                Esys_FlushContext(machine.esys, machine.request_key);
        Esys_Free(machine.request_public_key);
        Esys_Free(machine.public_key);
        Esys_Finalize(&machine.esys);
        Tss2_TctiLdr_Finalize(&tcti);
        return status;
}
