/* SPDX-License-Identifier: Apache-2.0 */
/* A start on flash of any content, then requests in any order. */
#include <stdlib.h>

#include "check.h"
#include "forge.h"
#include "maker.h"
#include "play.h"
#include "target.h"
#include "tracekws/errors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    fuzz_input in = {bytes, n_bytes};
    device d = {0};
    size_t n_image = 0;
    uint8_t *image = maker_known(0, &n_image);
    machine_make(&d.machine, &in, image, n_image);
    forge_flash(&d.machine, &in, image, n_image);
    device_start(&d);
    if (d.machine.board.image != NULL && !d.machine.is_too_small)
        CHECK(d.app->model_error == TKWS_OK); /* whatever the flash says, the factory's can run */
    play(&d, &in);
    device_free(&d);
    free(image);
    return 0;
}
