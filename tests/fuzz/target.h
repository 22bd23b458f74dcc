/* SPDX-License-Identifier: Apache-2.0 */
/** @file target.h  What libFuzzer and replay.c call: one input of a target. */
#ifndef FUZZ_TARGET_H
#define FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

#endif
