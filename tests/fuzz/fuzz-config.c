/* Any text as a configuration file. What is taken must also keep the promises of config.h. */
#include <assert.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Config *config = NULL;
        ConfigWarnings warnings = {};
        Err *err = config_parse("fuzz.conf", span_make(data, size), &config, &warnings);
        assert(!err == !!config);
        if (err)
                assert(err_code(err) == ERR_CONFIG_INVALID && *err_describe(err));
        else {
                assert(config->pcr_mask > 0 && config->pcr_mask <= 0xffffff);
                assert(config->renew_min_percent >= 1 && config->renew_min_percent <= config->renew_max_percent && config->renew_max_percent <= 99);
                assert(config->retry_min_usec <= config->retry_max_usec);
                assert(!config->url || strncmp(config->url, "https://", 8) == 0);
        }
        err_free(err);
        config_free(config);
        config_warnings_done(&warnings);
        return 0;
}
