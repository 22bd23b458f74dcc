/* SPDX-License-Identifier: Apache-2.0 */
/* Well-formed requests in any order, on a board that is new, whatever befalls it. */
#include <stdlib.h>

#include "maker.h"
#include "play.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    fuzz_input in = {bytes, n_bytes};
    device d = {0};
    size_t n_image = 0;
    uint8_t *image = maker_known(0, &n_image);
    machine_make(&d.machine, &in, image, n_image);
    device_start(&d);
    play(&d, &in);
    device_free(&d);
    free(image);
    return 0;
}
