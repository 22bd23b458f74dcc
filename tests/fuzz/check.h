/* SPDX-License-Identifier: Apache-2.0 */
/** @file check.h  What a fuzz target demands: a fuzzer keeps the input that fails it. */
#ifndef FUZZ_CHECK_H
#define FUZZ_CHECK_H

#include <stdio.h>
#include <stdlib.h>

_Noreturn static inline void check_failed(const char *what, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
    abort();
}

#define CHECK(what) ((what) ? (void)0 : check_failed(#what, __FILE__, __LINE__))

/** Memory of exactly n_bytes, the caller's to free, so that a sanitizer sees its end. */
static inline void *check_malloc(size_t n_bytes)
{
    void *memory = malloc(n_bytes);
    CHECK(memory != NULL || n_bytes == 0);
    return memory;
}

#endif
