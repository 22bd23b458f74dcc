/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the state after seeding, N outputs, and N draws below LIMIT. Usage: print_rng SEED N LIMIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tracekws/rng.h"

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    tkws_rng rng;
    uint32_t n = (uint32_t)strtoul(argv[2], NULL, 0);
    uint32_t limit = (uint32_t)strtoul(argv[3], NULL, 0);
    tkws_rng_seed(&rng, (uint32_t)strtoul(argv[1], NULL, 0));
    printf("%" PRIu32 "\n", rng.state);
    for (uint32_t i = 0; i < n; i++)
        printf("%" PRIu32 "\n", tkws_rng_next(&rng));
    for (uint32_t i = 0; i < n; i++)
        printf("%" PRIu32 "\n", tkws_rng_below(&rng, limit));
    return 0;
}
