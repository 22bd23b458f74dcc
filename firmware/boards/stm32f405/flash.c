/* SPDX-License-Identifier: Apache-2.0 */
#include "flash.h"

#include <string.h>

#include "bare/nor.h"
#include "tracekws/errors.h"

#define STORAGE_BYTES (FLASH_N_SECTORS * FLASH_SECTOR_BYTES)
#define ERASED 0xffffffffu

#define ACR_DCEN (1u << 10)
#define ACR_DCRST (1u << 12)
#define KEY1 0x45670123u
#define KEY2 0xcdef89abu
#define SR_ERRORS 0xf2u /* operation, write protection, alignment, parallelism, sequence */
#define SR_BSY (1u << 16)
#define CR_PG (1u << 0)
#define CR_SER (1u << 1)
#define CR_SNB_AT 3
#define CR_WORDS (2u << 8)
#define CR_STRT (1u << 16)
#define CR_LOCK (1u << 31)
#define OPTION_KEY1 0x08192a3bu
#define OPTION_KEY2 0x4c5d6e7fu
#define OPTCR_LOCK (1u << 0)
#define OPTCR_STRT (1u << 1)
#define OPTCR_BOR_AT 2
#define OPTCR_BOR_OFF (3u << OPTCR_BOR_AT) /* 0 is the highest level */

/* Looks at BSY: more than an erase lasts (2 s), less than the watchdog waits. */
#define PATIENCE 40000000u

bool flash_answers(void)
{
    flash_set(FLASH_CR, CR_LOCK);
    return (flash_get(FLASH_CR) & CR_LOCK) != 0;
}

static bool is_idle(void)
{
    for (uint32_t i = 0; i < PATIENCE; i++)
        if ((flash_get(FLASH_SR) & SR_BSY) == 0)
            return true;
    return false;
}

/* @return whether commands are taken now, with no error left from before */
static bool unlock(void)
{
    if (!is_idle())
        return false;
    if ((flash_get(FLASH_CR) & CR_LOCK) != 0) {
        flash_set(FLASH_KEYR, KEY1);
        flash_set(FLASH_KEYR, KEY2);
    }
    flash_set(FLASH_SR, SR_ERRORS);
    return (flash_get(FLASH_CR) & CR_LOCK) == 0;
}

/* @return whether the operation ended without an error */
static bool finish(void)
{
    return is_idle() && (flash_get(FLASH_SR) & SR_ERRORS) == 0;
}

static uint32_t word_at(const uint8_t *bytes)
{
    uint32_t word = 0;
    memcpy(&word, bytes, sizeof word); /* as the processor stores it */
    return word;
}

int flash_read(void *context, size_t offset, uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    return nor_read(flash_memory(), STORAGE_BYTES, offset, bytes, n_bytes);
}

int flash_program(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes)
{
    (void)context;
    if (!nor_can_program(flash_memory(), STORAGE_BYTES, FLASH_PROGRAM_BYTES, offset, bytes,
                         n_bytes))
        return TKWS_E_STORAGE;
    bool done = unlock();
    if (done)
        flash_set(FLASH_CR, CR_WORDS | CR_PG);
    for (size_t at = 0; done && at < n_bytes; at += FLASH_PROGRAM_BYTES) {
        uint32_t word = word_at(bytes + at);
        if (word == ERASED)
            continue; /* changes nothing */
        flash_store(offset + at, word);
        done = finish();
    }
    flash_set(FLASH_CR, CR_LOCK);
    done = done && memcmp(flash_memory() + offset, bytes, n_bytes) == 0;
    return done ? TKWS_OK : TKWS_E_STORAGE;
}

/* The data cache would go on to show what was there before. It can be flushed only while it is off. */
static void flush_cache(void)
{
    uint32_t acr = flash_get(FLASH_ACR);
    flash_set(FLASH_ACR, acr & ~ACR_DCEN);
    flash_set(FLASH_ACR, (acr & ~ACR_DCEN) | ACR_DCRST);
    flash_set(FLASH_ACR, acr & ~(ACR_DCEN | ACR_DCRST));
    flash_set(FLASH_ACR, acr & ~ACR_DCRST);
}

static bool is_erased(size_t offset)
{
    for (size_t at = 0; at < FLASH_SECTOR_BYTES; at += sizeof(uint32_t))
        if (word_at(flash_memory() + offset + at) != ERASED)
            return false;
    return true;
}

int flash_erase(void *context, size_t offset)
{
    (void)context;
    if (!nor_can_erase(STORAGE_BYTES, FLASH_SECTOR_BYTES, offset))
        return TKWS_E_STORAGE;
    uint32_t sector = FLASH_FIRST_SECTOR + (uint32_t)(offset / FLASH_SECTOR_BYTES);
    uint32_t command = CR_WORDS | CR_SER | sector << CR_SNB_AT;
    bool done = unlock();
    if (done) {
        flash_set(FLASH_CR, command);
        flash_set(FLASH_CR, command | CR_STRT);
        done = finish();
    }
    flash_set(FLASH_CR, CR_LOCK);
    flush_cache();
    return done && is_erased(offset) ? TKWS_OK : TKWS_E_STORAGE;
}

/* The controller erases the option bytes and programs what the register holds. */
void flash_set_brown_out(void)
{
    if ((flash_get(FLASH_OPTCR) & OPTCR_BOR_OFF) != OPTCR_BOR_OFF || !is_idle())
        return;
    if ((flash_get(FLASH_OPTCR) & OPTCR_LOCK) != 0) {
        flash_set(FLASH_OPTKEYR, OPTION_KEY1);
        flash_set(FLASH_OPTKEYR, OPTION_KEY2);
    }
    uint32_t before = flash_get(FLASH_OPTCR);
    if ((before & OPTCR_LOCK) != 0)
        return; /* for ever, on a part with RDP level 2 */
    uint32_t options = before & ~OPTCR_BOR_OFF;
    flash_set(FLASH_SR, SR_ERRORS);
    flash_set(FLASH_OPTCR, options);
    flash_set(FLASH_OPTCR, options | OPTCR_STRT);
    bool done = finish();
    flash_set(FLASH_OPTCR, OPTCR_LOCK | (done ? options : before));
}

uint16_t flash_brown_out_mv(void)
{
    static const uint16_t levels[4] = {2830, 2500, 2190, 0}; /* of the data sheet */
    return levels[flash_get(FLASH_OPTCR) >> OPTCR_BOR_AT & 3u];
}
