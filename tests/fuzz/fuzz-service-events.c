/* The claim events: whole logs, IMA lists, and every decoder over any data. What comes out is JSON again. Seeds: eventlog/ and ima/ of the vectors. The first byte says
 * which. */
#include "tcg/service-events.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(const Json *json) {
        _cleanup_free_ char *text = NULL;
        Err *err = json_to_string(json, &text);
        if (!err)
                err = json_check(span_from_string(text), "events");
        if (err)
                abort();
}

static void decode_log(const ServiceEventsInput *input) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_(err_freep) Err *err = service_events_decode(input, &json);
        if (!err)
                check_json(json);
}

static void decode_data(Span data) {
        static ServiceEventDecoder *const decoders[] = {
                service_event_variable, service_event_boot_variable, service_event_authority, service_event_image,
                service_event_gpt,      service_event_blob,          service_event_blob2,     service_event_tagged,
        };
        for (size_t i = 0; i < N_ELEMENTS(decoders); i++) {
                _cleanup_json_ Json *json = NULL, *sorted = NULL;
                _cleanup_(err_freep) Err *err = decoders[i](data, &json);
                if (!err && json)
                        err = json_sort(json, &sorted);
                if (err)
                        abort();
                if (sorted)
                        check_json(sorted);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size == 0)
                return 0;
        Span rest = span_make(data + 1, size - 1);
        if (data[0] % 3 == 0)
                decode_log(&(ServiceEventsInput) { .boot_log = &rest, .proven_pcrs = UINT32_MAX });
        else if (data[0] % 3 == 1)
                decode_log(&(ServiceEventsInput) { .ima_list = &rest, .proven_pcrs = UINT32_MAX });
        else
                decode_data(rest);
        return 0;
}
