/* SPDX-License-Identifier: Apache-2.0 */
/** @file forge.h  Flash as it might be found: of a device before, damaged, or made up. */
#ifndef FUZZ_FORGE_H
#define FUZZ_FORGE_H

#include "machine.h"

/** Fill the slots and image areas of a board that is off.
 *  @param factory  the factory's image, of n_factory bytes */
void forge_flash(machine *m, fuzz_input *in, const uint8_t *factory, size_t n_factory);

/** Whether a slot holds nothing, its record of wear aside. */
bool forge_slot_is_clean(const machine *m, size_t slot);

#endif
