/* attest/AzureGuest: the answer and the claims on the client's side, the request on the instance's. The first byte says which. */
#include "instance/azure-guest-request.h"
#include "maa/azure-guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Err *read_answer(Span text) {
        static const uint8_t key[32];
        _cleanup_maa_guest_answer_ MaaGuestAnswer answer = {};
        _cleanup_free_ char *jwt = NULL;
        TRY(maa_guest_answer_parse(text, &answer));
        return maa_guest_answer_open(&answer, SPAN_OF(key), &jwt);
}

static Err *read_claims(Span text) {
        /* TPMT_PUBLIC: RSA-2048 with a modulus of one byte */
        static const uint8_t public[] = { 0, 1, 0, 11, 0, 2, 4, 0x32, 0, 0, 0, 0x10, 0, 0x10, 8, 0, 0, 0, 0, 0, 0, 1, 0xaa };
        const MaaGuestRequest request = { .key_public = SPAN_OF(public), .payload = { { "n", "v" } }, .n_payload = 1 };
        _cleanup_json_ Json *claims = NULL;
        MaaGuestClaims found;
        TRY(json_parse(text, "claims", &claims));
        return maa_guest_claims(claims, &request, &found);
}

static Err *read_request(Span text) {
        _cleanup_guest_body_ GuestBody body = {};
        return guest_body_parse(text, &body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size == 0)
                return 0;
        Span rest = span_make(data + 1, size - 1);
        err_free(data[0] % 3 == 0 ? read_answer(rest) : data[0] % 3 == 1 ? read_claims(rest) : read_request(rest));
        return 0;
}
