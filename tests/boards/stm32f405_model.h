/* SPDX-License-Identifier: Apache-2.0 */
/** @file stm32f405_model.h  The flash controller of an STM32F405 as its manual has it: registers, errors, cuts.
 *
 * Each write of a register and each store is an operation. The power is cut in the middle of number
 * cut_at, and nothing has an effect after that. */
#ifndef STM32F405_MODEL_H
#define STM32F405_MODEL_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint32_t n_operations;
    uint32_t cut_at;           /* 0 is never */
    uint32_t protected_sector; /* one that refuses; 0 is none of the storage */
    uint32_t weak_store; /* number of the store that programs a bit wrongly, unnoticed; 0 is none */
    uint32_t weak_erase; /* number of the erase that leaves a bit; 0 is none */
    uint32_t busy_looks; /* reads of SR until an operation is done */
    bool options_refuse; /* the option bytes cannot be unlocked: RDP level 2 */
    bool weak_options;   /* programming the option bytes ends in an error */
    uint32_t option_bytes; /* as OPTCR loads them at a reset, which they survive */
    bool absent;           /* no controller: registers read as zero, as in QEMU */
    bool dead;             /* the power was cut */

    uint32_t n_stores;
    uint32_t n_erases;
    uint32_t n_option_programs;
    uint32_t
        n_sequence_errors; /* of the driver: writes while busy, in the wrong mode, wrong keys */
    bool stale;            /* the data cache may show what was there before an erase */
    bool locked;

    uint32_t sr;
    uint32_t cr;
    uint32_t acr;
    uint32_t optcr;
    uint32_t last_key;
    uint32_t last_option_key;
    uint32_t busy;
} stm32f405_model;

stm32f405_model *model_state(void);

/** Reset of the part: registers as after power on; memory and option bytes stay. */
void model_reset(void);

/** The storage's part of flash. */
uint8_t *model_memory(void);

#endif
