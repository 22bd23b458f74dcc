/* SPDX-License-Identifier: Apache-2.0 */
/** @file oracle.h  What holds of a device at any time, and across a request. */
#ifndef FUZZ_ORACLE_H
#define FUZZ_ORACLE_H

#include "host.h"

#define ORACLE_WEIGHT_BYTES 16384

/** Weights and flash at one time. */
typedef struct {
    uint8_t weights[ORACLE_WEIGHT_BYTES];
    size_t n_weights; /**< 0 without a model */
    uint8_t flash[MACHINE_FLASH_BYTES];
    uint8_t session;
} oracle_state;

/** Take them down. */
void oracle_note(oracle_state *state, const device *d);

/** The session that is open fits the microphone, the take and the buffers; and weights in RAM that are said
 *  to be unchanged are what a fresh start on the same flash restores.
 *  @param restored  what oracle_check() has last seen restored, its own; zero at first */
void oracle_check(const device *d, oracle_state *restored);

/** A request with that answer may have made what is now of what was before: refusals change nothing, and
 *  there is one session at a time. */
void oracle_check_request(const device *d, const oracle_state *before, uint8_t command, int status);

/** Power has failed in a request, and the device has started again: a request that saves or loads left what
 *  was restored before or, of saving, what was in RAM. */
void oracle_check_cut(const device *d, uint8_t command, const oracle_state *before,
                      const oracle_state *restored);

#endif
