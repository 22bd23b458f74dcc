/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes on the line. What is sent back is well-formed, nothing but frames changes anything. */
#include <stdlib.h>
#include <string.h>

#include "maker.h"
#include "oracle.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    static oracle_state restored;
    fuzz_input in = {bytes, n_bytes};
    device d = {0};
    memset(&restored, 0, sizeof restored);
    size_t n_image = 0;
    uint8_t *image = maker_known(0, &n_image);
    machine_make(&d.machine, &in, image, n_image);
    device_start(&d);
    device_work(&d, in.bytes, in.n_bytes);
    oracle_check(&d, &restored);
    device_close(&d);
    oracle_check(&d, &restored);
    (void)device_request(&d, TKWS_APP_HEALTH, NULL, 0);
    device_free(&d);
    free(image);
    return 0;
}
