/* Gives each file named on the command line to a fuzz target, without libFuzzer. */
#include <stdio.h>

#include "base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv) {
        for (int i = 1; i < argc; i++) {
                _cleanup_bytes_ Bytes input = {};
                _cleanup_(err_freep) Err *err = file_read(argv[i], 64u << 20, &input);
                if (err) {
                        fprintf(stderr, "%s\n", err_describe(err));
                        return 1;
                }
                LLVMFuzzerTestOneInput(input.data, input.size);
        }
        printf("%d inputs\n", argc - 1);
        return 0;
}
