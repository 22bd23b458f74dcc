/* SPDX-License-Identifier: Apache-2.0 */
/* The same as frames.c, on a board that works alone while it has no host, and has a button. */
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
    machine_let_alone(&d.machine);
    device_start(&d);
    play(&d, &in);
    device_free(&d);
    free(image);
    return 0;
}
