/* SPDX-License-Identifier: Apache-2.0 */
#include "stm32f405_model.h"

#include <string.h>

#include "stm32f405/flash.h"

#define BYTES (FLASH_N_SECTORS * FLASH_SECTOR_BYTES)
#define WRPERR (1u << 4)
#define PGAERR (1u << 5)
#define PGPERR (1u << 6)
#define PGSERR (1u << 7)
#define BSY (1u << 16)
#define CLEARED_BY_ONE 0xf3u
#define PG (1u << 0)
#define SER (1u << 1)
#define STRT (1u << 16)
#define LOCK (1u << 31)
#define SIZE_32 (2u << 8)
#define SIZE_MASK (3u << 8)
#define DCEN (1u << 10)
#define DCRST (1u << 12)
#define OPTLOCK (1u << 0)
#define OPTSTRT (1u << 1)
#define OPTIONS 0x0fffffecu /* all of them one, as erased */
#define OPERR (1u << 1)

static stm32f405_model m;
static uint8_t memory[BYTES];

stm32f405_model *model_state(void)
{
    return &m;
}

uint8_t *model_memory(void)
{
    return memory;
}

void model_reset(void)
{
    uint32_t option_bytes = m.option_bytes;
    memset(&m, 0, sizeof m);
    m.option_bytes = option_bytes;
    m.locked = true;
    m.cr = LOCK;
    m.optcr = option_bytes | OPTLOCK;
    m.acr = DCEN;
}

/* @return whether this operation takes place; *cut when it does so by half */
static bool operates(bool *cut)
{
    *cut = false;
    if (m.dead || m.absent)
        return false;
    m.n_operations++;
    if (m.n_operations == m.cut_at) {
        m.dead = true;
        *cut = true;
    }
    return true;
}

static bool is_busy(void)
{
    return m.busy > 0;
}

static void set_key(uint32_t key)
{
    if (m.last_key == 0x45670123u && key == 0xcdef89abu)
        m.locked = false;
    else if (m.last_key != 0 || key != 0x45670123u)
        m.n_sequence_errors++;
    m.last_key = key;
    if (!m.locked) {
        m.cr &= ~LOCK;
        m.last_key = 0;
    }
}

static void erase(uint32_t sector, bool cut)
{
    if (sector < FLASH_FIRST_SECTOR || sector >= FLASH_FIRST_SECTOR + FLASH_N_SECTORS) {
        m.n_sequence_errors++; /* the firmware's own */
        return;
    }
    uint8_t *start = memory + (sector - FLASH_FIRST_SECTOR) * FLASH_SECTOR_BYTES;
    m.n_erases++;
    m.stale = true;
    m.busy = m.busy_looks;
    if (sector == m.protected_sector) {
        m.sr |= WRPERR;
        return;
    }
    memset(start, 0xff, cut ? FLASH_SECTOR_BYTES / 2 : FLASH_SECTOR_BYTES);
    if (cut) /* the other half is on its way: neither old nor erased */
        for (uint32_t i = FLASH_SECTOR_BYTES / 2; i < FLASH_SECTOR_BYTES; i++)
            start[i] |= (uint8_t)(i * 37u);
    if (m.n_erases == m.weak_erase)
        start[FLASH_SECTOR_BYTES - 1] ^= 0x10;
}

static void set_cr(uint32_t value, bool cut)
{
    if (m.locked) {
        m.n_sequence_errors += (value & LOCK) == 0; /* a fault on the part */
        return;
    }
    if (is_busy()) {
        m.n_sequence_errors++;
        return;
    }
    m.cr = value & ~STRT;
    m.locked = (value & LOCK) != 0;
    if ((value & STRT) == 0)
        return;
    if ((value & (SER | PG)) != SER || (value & SIZE_MASK) != SIZE_32)
        m.sr |= PGSERR;
    else
        erase(value >> 3 & 15u, cut);
}

static void set_option_key(uint32_t key)
{
    if (m.last_option_key == 0x08192a3bu && key == 0x4c5d6e7fu && !m.options_refuse)
        m.optcr &= ~OPTLOCK;
    else if ((m.optcr & OPTLOCK) == 0 || (m.last_option_key == 0 && key != 0x08192a3bu))
        m.n_sequence_errors++; /* a fault on the part */
    m.last_option_key = m.last_option_key == 0 ? key : 0;
}

static void set_optcr(uint32_t value, bool cut)
{
    if ((m.optcr & OPTLOCK) != 0 || is_busy()) {
        m.n_sequence_errors++;
        return;
    }
    m.optcr = value & (OPTIONS | OPTLOCK);
    if ((value & OPTSTRT) == 0)
        return;
    m.n_option_programs++;
    m.busy = m.busy_looks;
    if (m.weak_options)
        m.sr |= OPERR;
    else
        m.option_bytes = cut ? OPTIONS : value & OPTIONS;
}

uint32_t flash_get(uint32_t reg)
{
    if (m.dead || m.absent)
        return 0;
    if (reg == FLASH_SR && m.busy > 0) {
        m.busy--;
        return m.sr | BSY;
    }
    return reg == FLASH_SR      ? m.sr
           : reg == FLASH_CR    ? m.cr
           : reg == FLASH_ACR   ? m.acr
           : reg == FLASH_OPTCR ? m.optcr
                                : 0;
}

void flash_set(uint32_t reg, uint32_t value)
{
    bool cut = false;
    if (!operates(&cut))
        return;
    if (reg == FLASH_KEYR)
        set_key(value);
    if (reg == FLASH_SR)
        m.sr &= ~(value & CLEARED_BY_ONE);
    if (reg == FLASH_CR)
        set_cr(value, cut);
    if (reg == FLASH_OPTKEYR)
        set_option_key(value);
    if (reg == FLASH_OPTCR)
        set_optcr(value, cut);
    if (reg == FLASH_ACR) {
        m.stale = m.stale && !((value & DCRST) != 0 && (value & DCEN) == 0);
        m.n_sequence_errors += (value & DCRST) != 0 && (value & DCEN) != 0;
        m.acr = value;
    }
}

void flash_store(size_t offset, uint32_t word)
{
    bool cut = false;
    if (!operates(&cut))
        return;
    m.n_stores++;
    if (m.locked || is_busy() || (m.cr & (PG | SER)) != PG) {
        m.sr |= PGSERR;
        m.n_sequence_errors++;
        return;
    }
    if ((m.cr & SIZE_MASK) != SIZE_32)
        m.sr |= PGPERR;
    if (offset % 4 != 0)
        m.sr |= PGAERR;
    if (FLASH_FIRST_SECTOR + offset / FLASH_SECTOR_BYTES == m.protected_sector)
        m.sr |= WRPERR;
    if (m.sr != 0)
        return;
    m.busy = m.busy_looks;
    uint32_t old = 0;
    memcpy(&old, memory + offset, sizeof old);
    uint32_t programmed = old & (cut ? word | 0x0ff00ff0u : word);
    if (m.n_stores == m.weak_store)
        programmed ^= 0x100u;
    memcpy(memory + offset, &programmed, sizeof programmed);
}

const uint8_t *flash_memory(void)
{
    return memory;
}
