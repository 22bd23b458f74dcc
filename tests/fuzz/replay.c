/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a target over files without a fuzzer: FILE... Prints how many. */
#include <stdio.h>

#include "check.h"
#include "target.h"

static void replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL && fseek(file, 0, SEEK_END) == 0);
    long n_bytes = ftell(file);
    CHECK(n_bytes >= 0 && fseek(file, 0, SEEK_SET) == 0);
    uint8_t *bytes = check_malloc((size_t)n_bytes);
    CHECK(fread(bytes, 1, (size_t)n_bytes, file) == (size_t)n_bytes);
    (void)fclose(file);
    (void)LLVMFuzzerTestOneInput(bytes, (size_t)n_bytes);
    free(bytes);
}

int main(int n_arguments, char **arguments)
{
    for (int i = 1; i < n_arguments; i++) {
        (void)fprintf(stderr, "%s\n", arguments[i]); /* the last line says which one failed */
        replay(arguments[i]);
    }
    printf("%d inputs\n", n_arguments - 1);
    return 0;
}
