/* collector/answer and tpm/reply: what one writes the other reads; what a broken collector would send is refused. */
#include "tests/support/unit.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "collector/answer.h"
#include "collector/collector.h"
#include "tpm/reply.h"

static sd_bus *bus, *peer;

/* Two ends of a private bus, so that messages can be made; nothing is ever sent. */
static int set_up(void **state) {
        int pair[2];
        sd_id128_t id;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 || sd_id128_randomize(&id) < 0)
                return -1;
        if (sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, pair[0], pair[0]) < 0 || sd_bus_set_server(bus, 1, id) < 0 ||
            sd_bus_set_anonymous(bus, 1) < 0 || sd_bus_negotiate_fds(bus, 1) < 0 || sd_bus_start(bus) < 0)
                return -1;
        if (sd_bus_new(&peer) < 0 || sd_bus_set_fd(peer, pair[1], pair[1]) < 0 || sd_bus_start(peer) < 0)
                return -1;
        /* Descriptors go into a message only once both sides have agreed to them. */
        for (unsigned i = 0; i < 1000 && (sd_bus_is_ready(bus) <= 0 || sd_bus_is_ready(peer) <= 0); i++) {
                if (sd_bus_process(bus, NULL) < 0 || sd_bus_process(peer, NULL) < 0)
                        return -1;
        }
        return sd_bus_can_send(bus, 'h') > 0 ? 0 : -1;
}

static int tear_down(void **state) {
        sd_bus_close_unref(bus);
        sd_bus_close_unref(peer);
        return 0;
}

static sd_bus_message *new_message(void) {
        sd_bus_message *message = NULL;
        assert_true(sd_bus_message_new_signal(bus, &message, "/x", "x.y", "Z") >= 0);
        return message;
}

static void seal(sd_bus_message *message) {
        assert_true(sd_bus_message_seal(message, 1, 0) >= 0);
        assert_true(sd_bus_message_rewind(message, 1) >= 0);
}

static Evidence *sample_evidence(void) {
        Evidence *evidence = calloc(1, sizeof(Evidence));
        assert_non_null(evidence);
        assert_ok(bytes_copy(span_from_string("quote"), &evidence->quote));
        assert_ok(bytes_copy(span_from_string("signature"), &evidence->signature));
        assert_ok(bytes_copy(span_from_string("public"), &evidence->aik_public));
        assert_ok(bytes_copy(span_from_string("name"), &evidence->aik_name));
        evidence->pcrs.n_banks = 2;
        evidence->pcrs.banks[0] = (PcrBank) { .alg = HASH_SHA384, .mask = 0x800003 };
        evidence->pcrs.banks[1] = (PcrBank) { .alg = HASH_SHA1, .mask = 0x400 };
        for (size_t b = 0; b < 2; b++)
                for (unsigned i = 0; i < PCR_COUNT; i++)
                        if (evidence->pcrs.banks[b].mask >> i & 1) {
                                Digest value = digest_zero(evidence->pcrs.banks[b].alg);
                                value.bytes[0] = (uint8_t) (b * 100 + i);
                                evidence->pcrs.banks[b].values[i] = value;
                        }
        evidence->verdicts[0] = PCR_REPLAYED;
        evidence->verdicts[23] = PCR_UNEXPLAINED;
        evidence->boot_log_state = LOG_STATE_MISMATCH;
        assert_ok(string_copy("a reason", &evidence->boot_log_reason));
        evidence->ima_log_state = LOG_STATE_OK;
        evidence->n_ima_entries = UINT64_C(1) << 40;
        evidence->reset_count = 7;
        evidence->restart_count = 8;
        evidence->n_quote_retries = 2;
        assert_ok(bytes_copy(span_from_string("key"), &evidence->request_key.public));
        assert_ok(bytes_copy(span_from_string("certification"), &evidence->request_key.certification));
        assert_ok(bytes_copy(span_from_string("its signature"), &evidence->request_key.signature));
        assert_ok(bytes_copy(span_from_string("plain key"), &evidence->other_keys[0].public));
        evidence->n_other_keys = 1;
        evidence->boot_attestation_state = BOOT_ATTESTATION_ATTACHED;
        evidence->boot = calloc(1, sizeof(Evidence));
        assert_non_null(evidence->boot);
        assert_ok(bytes_copy(span_from_string("quote before"), &evidence->boot->quote));
        assert_ok(bytes_copy(span_from_string("signature before"), &evidence->boot->signature));
        evidence->boot->pcrs.n_banks = 1;
        evidence->boot->pcrs.banks[0] = (PcrBank) { .alg = HASH_SHA256, .mask = 0x80 };
        evidence->boot->pcrs.banks[0].values[7] = digest_zero(HASH_SHA256);
        evidence->boot->reset_count = 7;
        evidence->boot->restart_count = 6;
        int boot_fd = memfd_create("log", MFD_CLOEXEC);
        assert_true(boot_fd >= 0 && write(boot_fd, "before", 6) == 6);
        evidence->boot->logs[evidence->boot->n_logs++] = (EvidenceLog) { .type = EVIDENCE_LOG_TCG, .fd = boot_fd, .size = 6 };
        int fd = memfd_create("log", MFD_CLOEXEC);
        assert_true(fd >= 0 && write(fd, "12345", 5) == 5);
        evidence->logs[evidence->n_logs++] = (EvidenceLog) { .type = EVIDENCE_LOG_IMA, .fd = fd, .size = 4 };
        return evidence;
}

static void test_read_evidence_what_was_written_comes_back(void **state) {
        _cleanup_(evidence_freep) Evidence *written = sample_evidence(), *read = calloc(1, sizeof(Evidence));
        sd_bus_message *message = new_message();
        assert_true(reply_append_evidence(message, written) >= 0);
        seal(message);
        assert_ok(answer_read_evidence(message, read));
        assert_true(span_equal(bytes_span(&read->quote), bytes_span(&written->quote)));
        assert_true(span_equal(bytes_span(&read->signature), bytes_span(&written->signature)));
        assert_true(span_equal(bytes_span(&read->aik_public), bytes_span(&written->aik_public)));
        assert_true(span_equal(bytes_span(&read->aik_name), bytes_span(&written->aik_name)));
        assert_int_equal(read->aik_certificate.size, 0);
        assert_int_equal(read->pcrs.n_banks, 2);
        for (size_t b = 0; b < 2; b++) {
                assert_int_equal(read->pcrs.banks[b].alg, written->pcrs.banks[b].alg);
                assert_int_equal(read->pcrs.banks[b].mask, written->pcrs.banks[b].mask);
                for (unsigned i = 0; i < PCR_COUNT; i++)
                        assert_true(digest_equal(&read->pcrs.banks[b].values[i], &written->pcrs.banks[b].values[i]));
        }
        assert_memory_equal(read->verdicts, written->verdicts, sizeof(read->verdicts));
        assert_int_equal(read->boot_log_state, LOG_STATE_MISMATCH);
        assert_string_equal(read->boot_log_reason, "a reason");
        assert_int_equal(read->ima_log_state, LOG_STATE_OK);
        assert_null(read->ima_log_reason);
        assert_true(read->n_ima_entries == UINT64_C(1) << 40);
        assert_int_equal(read->reset_count, 7);
        assert_int_equal(read->restart_count, 8);
        assert_int_equal(read->n_quote_retries, 2);
        assert_true(span_equal_string(bytes_span(&read->request_key.public), "key"));
        assert_true(span_equal_string(bytes_span(&read->request_key.certification), "certification"));
        assert_true(span_equal_string(bytes_span(&read->request_key.signature), "its signature"));
        assert_int_equal(read->n_other_keys, 1);
        assert_true(span_equal_string(bytes_span(&read->other_keys[0].public), "plain key"));
        assert_int_equal(read->other_keys[0].certification.size, 0);
        assert_int_equal(read->n_logs, 1);
        assert_int_equal(read->logs[0].type, EVIDENCE_LOG_IMA);
        assert_int_equal(read->logs[0].size, 4);
        char content[4];
        assert_int_equal(pread(read->logs[0].fd, content, 4, 0), 4);
        assert_memory_equal(content, "1234", 4);
        assert_int_equal(read->boot_attestation_state, BOOT_ATTESTATION_ATTACHED);
        assert_null(read->boot_attestation_reason);
        assert_non_null(read->boot);
        assert_true(span_equal_string(bytes_span(&read->boot->quote), "quote before"));
        assert_true(span_equal_string(bytes_span(&read->boot->signature), "signature before"));
        assert_int_equal(read->boot->pcrs.banks[0].mask, 0x80);
        assert_int_equal(read->boot->reset_count, 7);
        assert_int_equal(read->boot->restart_count, 6);
        assert_int_equal(read->boot->n_logs, 1);
        assert_int_equal(read->boot->logs[0].size, 6);
        assert_int_equal(pread(read->boot->logs[0].fd, content, 4, 0), 4);
        assert_memory_equal(content, "befo", 4);
        sd_bus_message_unref(message);
}

typedef void (*Spoil)(Evidence *evidence);
static void spoil_size(Evidence *evidence) { evidence->logs[0].size = 6; }
static void spoil_digest(Evidence *evidence) { evidence->pcrs.banks[0].values[1].size = 32; }
static void spoil_alg(Evidence *evidence) { evidence->pcrs.banks[0].alg = 0x7777; }
static void spoil_mask(Evidence *evidence) { evidence->pcrs.banks[0].mask |= 1u << 24; }

static void spoil_unsigned_key(Evidence *evidence) { bytes_done(&evidence->request_key.signature); }
static void spoil_boot_log(Evidence *evidence) { evidence->boot->logs[0].size = 7; }
static void spoil_boot_pcr(Evidence *evidence) { evidence->boot->pcrs.banks[0].values[7].size = 20; }
static void spoil_other_key(Evidence *evidence) { bytes_done(&evidence->other_keys[0].public); }

static void test_read_evidence_impossible_values_are_refused(void **state) {
        static const Spoil spoils[] = { spoil_size, spoil_digest, spoil_alg, spoil_mask, spoil_unsigned_key, spoil_other_key, spoil_boot_log, spoil_boot_pcr };
        for (size_t i = 0; i < N_ELEMENTS(spoils); i++) {
                _cleanup_(evidence_freep) Evidence *written = sample_evidence(), *read = calloc(1, sizeof(Evidence));
                sd_bus_message *message = new_message();
                spoils[i](written);
                assert_true(reply_append_evidence(message, written) >= 0);
                seal(message);
                assert_err(answer_read_evidence(message, read), ERR_COLLECTOR_ANSWER_INVALID);
                sd_bus_message_unref(message);
        }
}

/* An info answer with one entry more; alone if signature is NULL. */
static Err *read_info_with(const char *key, const char *signature, const char *text, const char *again) {
        CollectorInfo info = { .manufacturer = (char *) "M" };
        _cleanup_(collector_info_freep) CollectorInfo *read = calloc(1, sizeof(CollectorInfo));
        sd_bus_message *message = new_message(), *whole = new_message();
        /* The dictionary is taken apart and put together again with the other entries behind it. */
        assert_true(reply_append_info(whole, &info) >= 0);
        seal(whole);
        assert_true(sd_bus_message_enter_container(whole, 'a', "{sv}") > 0);
        assert_true(sd_bus_message_open_container(message, 'a', "{sv}") >= 0);
        while (sd_bus_message_at_end(whole, 0) == 0) {
                const char *name;
                assert_true(sd_bus_message_enter_container(whole, 'e', "sv") > 0 && sd_bus_message_read(whole, "s", &name) > 0);
                assert_true(sd_bus_message_rewind(whole, 0) >= 0);
                if (key && string_equal(name, key)) {
                        assert_true(sd_bus_message_skip(whole, "sv") > 0);
                } else {
                        assert_true(sd_bus_message_open_container(message, 'e', "sv") >= 0);
                        assert_true(sd_bus_message_copy(message, whole, 1) >= 0);
                        assert_true(sd_bus_message_close_container(message) >= 0);
                }
                assert_true(sd_bus_message_exit_container(whole) >= 0);
        }
        if (signature)
                assert_true(sd_bus_message_append(message, "{sv}", key, signature, text) >= 0);
        if (again)
                assert_true(sd_bus_message_append(message, "{sv}", again, "s", "x") >= 0);
        assert_true(sd_bus_message_close_container(message) >= 0);
        seal(message);
        Err *err = answer_read_info(message, read);
        sd_bus_message_unref(message);
        sd_bus_message_unref(whole);
        return err;
}

static void assert_invalid(Err *err, const char *word) {
        assert_non_null(err);
        assert_non_null(strstr(err_describe(err), word));
        assert_err(err, ERR_COLLECTOR_ANSWER_INVALID);
}

static void test_read_info_entries_are_checked(void **state) {
        assert_ok(read_info_with(NULL, NULL, NULL, NULL));
        assert_ok(read_info_with("something-newer", "s", "x", NULL));
        assert_ok(read_info_with("aik-notice", NULL, NULL, NULL));
        assert_invalid(read_info_with("manufacturer", NULL, NULL, NULL), "lacks \"manufacturer\"");
        assert_invalid(read_info_with("manufacturer", "o", "/x", NULL), "\"manufacturer\"");
        assert_invalid(read_info_with(NULL, NULL, NULL, "vendor"), "\"vendor\" twice");
}

static void test_read_info_other_body_is_refused(void **state) {
        CollectorInfo info = {};
        sd_bus_message *message = new_message();
        assert_true(sd_bus_message_append(message, "s", "hello") >= 0);
        seal(message);
        assert_err(answer_read_info(message, &info), ERR_COLLECTOR_ANSWER_INVALID);
        sd_bus_message_unref(message);
}

static void test_error_names_and_lost_connections_are_told_apart(void **state) {
        static const struct {
                const char *name, *message;
                bool is_connected;
                ErrCode expected;
        } cases[] = {
                { "org.attestd1.Error.TpmAbsent", "no TPM at x: gone", true, ERR_TPM_ABSENT },
                { "org.attestd1.Error.TpmAbsent", "no TPM at x: gone", false, ERR_TPM_ABSENT },
                { "org.attestd1.Error.FromTheFuture", "new", true, ERR_INTERNAL },
                { SD_BUS_ERROR_NO_REPLY, "Method call timed out", true, ERR_TPM_STUCK },
                { SD_BUS_ERROR_TIMEOUT, "Connection timed out", true, ERR_TPM_STUCK },
                { SD_BUS_ERROR_NO_REPLY, "Connection terminated", false, ERR_COLLECTOR_UNAVAILABLE },
                { "System.Error.ECONNRESET", "reset", true, ERR_COLLECTOR_UNAVAILABLE },
                { SD_BUS_ERROR_DISCONNECTED, "gone", true, ERR_COLLECTOR_UNAVAILABLE },
                { SD_BUS_ERROR_UNKNOWN_METHOD, "what?", true, ERR_COLLECTOR_ANSWER_INVALID },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                const sd_bus_error error = { .name = cases[i].name, .message = cases[i].message };
                assert_err(answer_error(&error, cases[i].is_connected), cases[i].expected);
        }
        const sd_bus_error error = { .name = cases[0].name, .message = cases[0].message };
        Err *err = answer_error(&error, true);
        assert_string_equal(err_describe(err), "no TPM at x: gone");
        err_free(err);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_read_evidence_what_was_written_comes_back),
                cmocka_unit_test(test_read_evidence_impossible_values_are_refused),
                cmocka_unit_test(test_read_info_entries_are_checked),
                cmocka_unit_test(test_read_info_other_body_is_refused),
                cmocka_unit_test(test_error_names_and_lost_connections_are_told_apart),
        };
        return cmocka_run_group_tests(tests, set_up, tear_down);
}
