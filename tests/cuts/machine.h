/* SPDX-License-Identifier: Apache-2.0 */
/** @file machine.h  A board in memory with the application on it, and a host that asks it one thing at a time. */
#ifndef TKWS_CUTS_MACHINE_H
#define TKWS_CUTS_MACHINE_H

#include <stdbool.h>

#include "app.h"
#include "flash.h"
#include "image.h"

#define MACHINE_ARENA_WORDS 2048
#define MACHINE_WEIGHTS 256
#define MACHINE_WORD "lamp"
#define MACHINE_OTHER_WORD "door"

/** Sizes of a board's flash. */
typedef struct {
    const char *name;
    size_t sector_bytes;
    size_t program_bytes;
    size_t slot_bytes;
    size_t image_area_bytes;
} geometry;

typedef struct {
    cut_flash flash;
    tkws_board board;
    tkws_app app;
    uint32_t arena[MACHINE_ARENA_WORDS];
    uint8_t line[TKWS_APP_ENCODED_BYTES(TKWS_APP_MAX_MESSAGE)]; /**< to the device */
    size_t n_line;
    tkws_app_decoder decoder; /**< of the host; holds the last answer */
    uint32_t id;
} machine;

/** What the device says it is. */
typedef struct {
    uint32_t model_crc;
    uint32_t generation;
    uint8_t states[TKWS_APP_SLOTS];
    uint32_t erases[TKWS_APP_SLOTS];
    size_t n_weights; /**< bytes */
    uint8_t weights[MACHINE_WEIGHTS];
} device_state;

/** A piece of flash to go back to. */
typedef struct {
    uint8_t *bytes;
    uint8_t *settled;
    uint32_t erases[TKWS_APP_SLOTS];
} snapshot;

/** Make a board with new flash. The image is the factory's and stays the caller's, as does end. */
void machine_make(machine *m, const geometry *sizes, const model_image *factory, jmp_buf *end);
void machine_free(machine *m);

/** Start it from the flash as it is, with RAM that holds rubbish. */
void machine_power_on(machine *m);

/** Cut the power at a flash operation, counted from here on; 0 is never. */
void machine_cut_at(machine *m, unsigned long operation, uint32_t torn);

/** Send a request and wait for its answer. @return its status */
int machine_ask(machine *m, uint8_t command, const uint8_t *body, size_t n_body);

/** Load an image. @return the first status that is an error, or TKWS_OK */
int machine_load(machine *m, const model_image *image);

/** Give the weights in RAM new values, a seed's own, as if they were learned. */
void machine_change(machine *m, uint32_t seed);

/** The same for takes of a class, and of a word of the user's own: MACHINE_WORD where the seed is even. */
void machine_change_takes(machine *m, uint32_t seed);

/** Ask what it is. @return status */
int machine_look(machine *m, device_state *state);

void snapshot_make(snapshot *s, const machine *m);
void snapshot_free(snapshot *s);
void snapshot_take(snapshot *s, const machine *m);
void snapshot_restore(const snapshot *s, machine *m);

#endif
