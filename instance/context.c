/* See context.h. */
#include "instance/context.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "base/json.h"
#include "base/reader.h"
#include "base/writer.h"

#define NONCE_SIZE 12
#define TAG_SIZE 16
#define EPOCH_SIZE 16
#define PLAIN_SIZE 100
#define PROTECTED_SIZE (NONCE_SIZE + PLAIN_SIZE + TAG_SIZE)
#define CONTENT_PURPOSE "attest-instance enrolment context"   /* additional data, where service contexts have the key name */
#define KEY_NAME_SIZE 64
#define FORMAT_VERSION 1
#define SERVICE_CONTEXT_MAX 1024

struct ContextKeeper {
        Bytes key;
        char key_name[KEY_NAME_SIZE + 1];
        uint8_t epoch[EPOCH_SIZE];
        uint64_t next;                          /* sequence number of the next challenge */
        uint8_t used[CONTEXT_WINDOW / 8];       /* bit of number n: n % CONTEXT_WINDOW */
};

static EVP_CIPHER_CTX *cipher_free(EVP_CIPHER_CTX *context) {
        EVP_CIPHER_CTX_free(context);
        return NULL;
}
DEFINE_CLEANUP(EVP_CIPHER_CTX, cipher_free)

static Err *random_bytes(uint8_t *out, int size) {
        return RAND_bytes(out, size) == 1 ? NULL : err_new(ERR_INTERNAL, "OpenSSL has no random bytes");
}

/* Upper-case hex of a hash of the key: 64 characters, as the service has them. */
static Err *name_key(Span key, char ret[static KEY_NAME_SIZE + 1]) {
        _cleanup_writer_ Writer writer = {};
        _cleanup_bytes_erase_ Bytes named = {};
        writer_string(&writer, "attest-instance service context key name");
        writer_span(&writer, key);
        TRY(writer_finish(&writer, &named));
        uint8_t digest[SHA256_DIGEST_LENGTH];
        SHA256(named.data, named.size, digest);
        for (size_t i = 0; i < sizeof(digest); i++)
                snprintf(ret + 2 * i, 3, "%02X", digest[i]);
        return NULL;
}

Err *context_keeper_new(Span key, ContextKeeper **ret) {
        if (key.size != CONTEXT_KEY_SIZE)
                return err_new(ERR_INVALID_ARGUMENT, "the key of service contexts has %zu bytes, %d are needed", key.size, CONTEXT_KEY_SIZE);
        _cleanup_(context_keeper_freep) ContextKeeper *keeper = calloc(1, sizeof(*keeper));
        if (!keeper)
                return err_oom();
        TRY(bytes_copy(key, &keeper->key));
        TRY(name_key(key, keeper->key_name));
        TRY(random_bytes(keeper->epoch, EPOCH_SIZE));
        *ret = steal_ptr(&keeper);
        return NULL;
}

ContextKeeper *context_keeper_free(ContextKeeper *keeper) {
        if (keeper) {
                bytes_erase(&keeper->key);
                free(keeper);
        }
        return NULL;
}

/* Nonces are random: the birthday bound of 96 bits is far above what one state directory will ever issue. */
static Err *seal(const ContextKeeper *keeper, Span purpose, Span plain, Bytes *ret) {
        _cleanup_bytes_ Bytes sealed = {};
        TRY(bytes_alloc(NONCE_SIZE + plain.size + TAG_SIZE, &sealed));
        uint8_t *out = sealed.data;
        _cleanup_(cipher_freep) EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
        if (!cipher)
                return err_oom();
        TRY(random_bytes(out, NONCE_SIZE));
        int n;
        if (EVP_EncryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, keeper->key.data, out) != 1 ||
            EVP_EncryptUpdate(cipher, NULL, &n, purpose.data, (int) purpose.size) != 1 ||
            EVP_EncryptUpdate(cipher, out + NONCE_SIZE, &n, plain.data, (int) plain.size) != 1 ||
            EVP_EncryptFinal_ex(cipher, out + NONCE_SIZE + plain.size, &n) != 1 ||
            EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, out + NONCE_SIZE + plain.size) != 1)
                return err_new(ERR_INTERNAL, "encrypting a service context failed");
        *ret = bytes_steal(&sealed);
        return NULL;
}

/* what names it; size: of the ciphertext. */
static Err *unseal(const ContextKeeper *keeper, const char *what, Span purpose, Span sealed, size_t size, Bytes *ret) {
        Reader reader = reader_make(sealed);
        Span nonce = reader_span(&reader, NONCE_SIZE, "nonce");
        Span text = reader_span(&reader, size, "ciphertext");
        Span tag = reader_span(&reader, TAG_SIZE, "tag");
        TRY(reader_check(&reader, ERR_CHALLENGE_INVALID, what));
        if (reader_left(&reader) > 0)
                return err_new(ERR_CHALLENGE_INVALID, "%s is longer than any that this instance made", what);
        _cleanup_bytes_erase_ Bytes plain = {};
        TRY(bytes_alloc(size, &plain));
        _cleanup_(cipher_freep) EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
        if (!cipher)
                return err_oom();
        int n;
        if (EVP_DecryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, keeper->key.data, nonce.data) != 1 ||
            EVP_DecryptUpdate(cipher, NULL, &n, purpose.data, (int) purpose.size) != 1 ||
            EVP_DecryptUpdate(cipher, plain.data, &n, text.data, (int) text.size) != 1 ||
            EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, (void *) tag.data) != 1 ||
            EVP_DecryptFinal_ex(cipher, plain.data + n, &n) != 1)
                return err_new(ERR_CHALLENGE_INVALID, "%s was not made by this instance, or was changed", what);
        *ret = bytes_steal(&plain);
        return NULL;
}

static Span key_name_span(const ContextKeeper *keeper) {
        return span_make(keeper->key_name, KEY_NAME_SIZE);
}

static void write_head(const ContextKeeper *keeper, uint64_t now_usec, Writer *writer) {
        writer_u8(writer, FORMAT_VERSION);
        writer_span(writer, SPAN_OF(keeper->epoch));
        writer_u64be(writer, keeper->next);
        writer_u64be(writer, now_usec);
}

static Err *make_plain(const ContextKeeper *keeper, uint64_t now_usec, Span challenge, Bytes *ret) {
        _cleanup_writer_ Writer writer = {};
        write_head(keeper, now_usec, &writer);
        writer_span(&writer, challenge);
        while (writer.output.size < PLAIN_SIZE && !writer.failed)
                writer_u8(&writer, 0);
        return writer_finish(&writer, ret);
}

/* The number in the context just made is one that may be spent. */
static void count(ContextKeeper *keeper) {
        uint64_t sequence = keeper->next++;
        keeper->used[sequence % CONTEXT_WINDOW / 8] &= (uint8_t) ~(1u << (sequence % 8));
}

Err *context_issue(ContextKeeper *keeper, uint64_t now_usec, Bytes *ret_challenge, char **ret_service_context) {
        _cleanup_bytes_ Bytes challenge = {}, plain = {}, text = {}, sealed = {};
        TRY(bytes_alloc(CONTEXT_CHALLENGE_SIZE, &challenge));
        TRY(random_bytes(challenge.data, CONTEXT_CHALLENGE_SIZE));
        TRY(make_plain(keeper, now_usec, bytes_span(&challenge), &plain));
        TRY(seal(keeper, key_name_span(keeper), bytes_span(&plain), &sealed));

        _cleanup_writer_ Writer json = {};
        writer_format(&json, "{\"ProtectionKeyName\":\"%s\",\"ProtectedContext\":\"", keeper->key_name);
        writer_base64url(&json, bytes_span(&sealed));
        writer_string(&json, "\"}");
        TRY(writer_finish(&json, &text));
        TRY(base64url_encode(bytes_span(&text), ret_service_context));

        count(keeper);
        *ret_challenge = bytes_steal(&challenge);
        return NULL;
}

static Err *open_text(const ContextKeeper *keeper, const char *service_context, Bytes *ret_sealed) {
        if (strlen(service_context) > SERVICE_CONTEXT_MAX)
                return err_new(ERR_CHALLENGE_INVALID, "it is longer than any that this instance made");
        _cleanup_bytes_ Bytes text = {};
        TRY(base64_decode_lenient(span_from_string(service_context), "service_context", &text));
        _cleanup_json_ Json *json = NULL;
        TRY(json_parse(bytes_span(&text), "the JSON in service_context", &json));
        const char *key_name;
        TRY(json_get_string(json, "ProtectionKeyName", &key_name));
        if (!string_equal(key_name, keeper->key_name))
                return err_new(ERR_CHALLENGE_INVALID, "ProtectionKeyName is not the name of this instance's key");
        return json_get_base64url(json, "ProtectedContext", ret_sealed);
}

static Err *spend(ContextKeeper *keeper, uint64_t sequence) {
        if (sequence >= keeper->next)
                return err_new(ERR_CHALLENGE_INVALID, "its number was not issued yet");
        if (keeper->next - sequence > CONTEXT_WINDOW)
                return err_new(ERR_CHALLENGE_INVALID, "%u newer challenges were issued since", CONTEXT_WINDOW);
        uint8_t *byte = &keeper->used[sequence % CONTEXT_WINDOW / 8];
        uint8_t bit = (uint8_t) (1u << (sequence % 8));
        if (*byte & bit)
                return err_new(ERR_CHALLENGE_INVALID, "the challenge was used before");
        *byte |= bit;
        return NULL;
}

/* Reads what write_head() wrote, and spends it. */
static Err *spend_head(ContextKeeper *keeper, Reader *reader, uint64_t now_usec) {
        uint8_t version = reader_u8(reader, "version");
        Span epoch = reader_span(reader, EPOCH_SIZE, "epoch");
        uint64_t sequence = reader_u64be(reader, "sequence");
        uint64_t issued_usec = reader_u64be(reader, "issued");
        TRY(reader_check(reader, ERR_CHALLENGE_INVALID, "the context"));
        if (version != FORMAT_VERSION || !span_equal(epoch, SPAN_OF(keeper->epoch)))
                return err_new(ERR_CHALLENGE_INVALID, "it was issued before the instance's last start");
        if (issued_usec > now_usec || now_usec - issued_usec > CONTEXT_LIFETIME_USEC)
                return err_new(ERR_CHALLENGE_INVALID, "the challenge is older than %u seconds", (unsigned) (CONTEXT_LIFETIME_USEC / USEC_PER_SEC));
        return spend(keeper, sequence);
}

static Err *redeem(ContextKeeper *keeper, const char *service_context, uint64_t now_usec, Bytes *ret_challenge) {
        _cleanup_bytes_ Bytes sealed = {};
        _cleanup_bytes_erase_ Bytes plain = {};
        TRY(open_text(keeper, service_context, &sealed));
        TRY(unseal(keeper, "ProtectedContext", key_name_span(keeper), bytes_span(&sealed), PLAIN_SIZE, &plain));
        Reader reader = reader_make(bytes_span(&plain));
        TRY(spend_head(keeper, &reader, now_usec));
        Span challenge = reader_span(&reader, CONTEXT_CHALLENGE_SIZE, "challenge");
        TRY(reader_check(&reader, ERR_CHALLENGE_INVALID, "ProtectedContext"));
        return bytes_copy(challenge, ret_challenge);
}

Err *context_redeem(ContextKeeper *keeper, const char *service_context, uint64_t now_usec, Bytes *ret_challenge) {
        return err_wrap_code(ERR_CHALLENGE_INVALID, redeem(keeper, service_context, now_usec, ret_challenge), "service_context");
}

Err *context_seal(ContextKeeper *keeper, Span content, uint64_t now_usec, char **ret) {
        _cleanup_writer_ Writer writer = {};
        _cleanup_bytes_erase_ Bytes plain = {};
        _cleanup_bytes_ Bytes sealed = {};
        if (content.size > CONTEXT_CONTENT_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "a context of %zu bytes, at most %u are possible", content.size, CONTEXT_CONTENT_MAX);
        write_head(keeper, now_usec, &writer);
        writer_span(&writer, content);
        TRY(writer_finish(&writer, &plain));
        TRY(seal(keeper, SPAN_OF(CONTENT_PURPOSE), bytes_span(&plain), &sealed));
        TRY(base64url_encode(bytes_span(&sealed), ret));
        count(keeper);
        return NULL;
}

static Err *unseal_content(ContextKeeper *keeper, const char *text, uint64_t now_usec, Bytes *ret_content) {
        _cleanup_bytes_ Bytes sealed = {};
        _cleanup_bytes_erase_ Bytes plain = {};
        if (strlen(text) > base64url_encoded_size(NONCE_SIZE + PLAIN_SIZE + CONTEXT_CONTENT_MAX + TAG_SIZE))
                return err_new(ERR_CHALLENGE_INVALID, "it is longer than any that this instance made");
        TRY(base64url_decode(span_from_string(text), "context", &sealed));
        if (sealed.size < NONCE_SIZE + TAG_SIZE)
                return err_new(ERR_CHALLENGE_INVALID, "it is shorter than any that this instance made");
        TRY(unseal(keeper, "it", SPAN_OF(CONTENT_PURPOSE), bytes_span(&sealed), sealed.size - NONCE_SIZE - TAG_SIZE, &plain));
        Reader reader = reader_make(bytes_span(&plain));
        TRY(spend_head(keeper, &reader, now_usec));
        return bytes_copy(reader_rest(&reader), ret_content);
}

Err *context_unseal(ContextKeeper *keeper, const char *text, uint64_t now_usec, Bytes *ret_content) {
        return err_wrap_code(ERR_CHALLENGE_INVALID, unseal_content(keeper, text, now_usec, ret_content), "context");
}
