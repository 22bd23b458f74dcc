/* SPDX-License-Identifier: Apache-2.0 */
#include "machine.h"

#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "tracekws/bytes.h"
#include "tracekws/crc32.h"
#include "tracekws/errors.h"
#include "tracekws/own.h"
#include "tracekws/takes.h"

#define RUBBISH 0xa5
#define DATA_HEAD 8

/* INFO's answer, behind the name; see docs/protocol.md. */
#define INFO_CRC_AT (TKWS_NAME_BYTES + 0)
#define INFO_WEIGHTS_AT (TKWS_NAME_BYTES + 20)
#define INFO_GENERATION_AT (TKWS_NAME_BYTES + 26)
#define INFO_SLOTS_AT (TKWS_NAME_BYTES + 30)
#define INFO_SLOT_BYTES 9

static void *allocate(size_t n_bytes)
{
    void *memory = malloc(n_bytes);
    if (memory == NULL)
        abort();
    return memory;
}

static int serial_read(void *context, uint8_t *bytes, size_t n_bytes)
{
    machine *m = context;
    size_t n = m->n_line < n_bytes ? m->n_line : n_bytes;
    memcpy(bytes, m->line, n);
    memmove(m->line, m->line + n, m->n_line - n);
    m->n_line -= n;
    return (int)n;
}

/* Notices come before the answer: what is decoded last is it. */
static int serial_write(void *context, const uint8_t *bytes, size_t n_bytes)
{
    machine *m = context;
    size_t n_message = 0;
    for (size_t i = 0; i < n_bytes; i++)
        (void)tkws_app_decode(&m->decoder, bytes[i], &n_message);
    return TKWS_OK;
}

static int read_flash(void *context, size_t offset, uint8_t *bytes, size_t n_bytes)
{
    return flash_read(&((machine *)context)->flash, offset, bytes, n_bytes);
}

static int program_flash(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes)
{
    return flash_program(&((machine *)context)->flash, offset, bytes, n_bytes);
}

static int erase_flash(void *context, size_t offset)
{
    return flash_erase(&((machine *)context)->flash, offset);
}

static void make_flash(cut_flash *flash, const geometry *sizes, jmp_buf *end)
{
    size_t areas = TKWS_APP_AREAS * sizes->image_area_bytes;
    flash->n_bytes = TKWS_APP_SLOTS * sizes->slot_bytes + areas;
    flash->sector_bytes = sizes->sector_bytes;
    flash->program_bytes = sizes->program_bytes;
    flash->slot_bytes = sizes->slot_bytes;
    flash->bytes = allocate(flash->n_bytes);
    flash->settled = allocate(flash->n_bytes);
    flash->end = end;
    flash_make(flash);
}

void machine_make(machine *m, const geometry *sizes, const model_image *factory, jmp_buf *end)
{
    memset(m, 0, sizeof *m);
    make_flash(&m->flash, sizes, end);
    m->board = (tkws_board){
        .context = m,
        .name = "cuts",
        .serial_read = serial_read,
        .serial_write = serial_write,
        .serial_bytes = sizeof m->line,
        .flash_read = read_flash,
        .flash_program = program_flash,
        .flash_erase = erase_flash,
        .slot_bytes = sizes->slot_bytes,
        .image_area_bytes = sizes->image_area_bytes,
        .flash_mapped = m->flash.bytes,
        .sector_bytes = sizes->sector_bytes,
        .program_bytes = sizes->program_bytes,
        .image = factory->bytes,
        .image_bytes = factory->n_bytes,
        .memory = {{m->arena, sizeof m->arena}},
        .n_memories = 1,
    };
}

void machine_free(machine *m)
{
    free(m->flash.bytes);
    free(m->flash.settled);
}

void machine_power_on(machine *m)
{
    memset(m->arena, RUBBISH, sizeof m->arena);
    memset(&m->app, RUBBISH, sizeof m->app);
    m->n_line = 0;
    tkws_app_decoder_reset(&m->decoder);
    (void)tkws_app_init(&m->app, &m->board); /* its error is answered to the host */
}

void machine_cut_at(machine *m, unsigned long operation, uint32_t torn)
{
    m->flash.n_operations = 0;
    m->flash.cut_at = operation;
    m->flash.torn = torn;
}

int machine_ask(machine *m, uint8_t command, const uint8_t *body, size_t n_body)
{
    uint8_t message[TKWS_APP_MAX_FRAME];
    message[0] = command;
    tkws_bytes_put_u32(message + TKWS_APP_ID_AT, ++m->id);
    if (n_body > 0)
        memcpy(message + TKWS_APP_REQUEST_BODY, body, n_body);
    m->n_line = tkws_app_encode(message, TKWS_APP_REQUEST_BODY + n_body, m->line);
    while (tkws_app_poll(&m->app) > 0) {
    }
    return tkws_bytes_get_i16(m->decoder.bytes + TKWS_APP_STATUS_AT);
}

static int send_part(machine *m, const model_image *image, uint32_t number)
{
    uint8_t body[DATA_HEAD + TKWS_APP_LOAD_BYTES];
    size_t at = (size_t)number * TKWS_APP_LOAD_BYTES;
    size_t left = image->n_bytes - at;
    size_t n = left < TKWS_APP_LOAD_BYTES ? left : TKWS_APP_LOAD_BYTES;
    tkws_bytes_put_u32(body, number);
    tkws_bytes_put_u32(body + 4, 0);
    memcpy(body + DATA_HEAD, image->bytes + at, n);
    return machine_ask(m, TKWS_APP_DATA, body, DATA_HEAD + n);
}

int machine_load(machine *m, const model_image *image)
{
    uint8_t body[8];
    tkws_bytes_put_u32(body, (uint32_t)image->n_bytes);
    tkws_bytes_put_u32(body + 4, tkws_crc32(0, image->bytes, image->n_bytes));
    int status = machine_ask(m, TKWS_APP_LOAD, body, sizeof body);
    for (uint32_t i = 0; status == TKWS_OK && i * TKWS_APP_LOAD_BYTES < image->n_bytes; i++)
        status = send_part(m, image, i);
    return status == TKWS_OK ? machine_ask(m, TKWS_APP_END, NULL, 0) : status;
}

static void randomise(int16_t *weights, size_t n, uint32_t *rng)
{
    for (size_t i = 0; i < n; i++)
        weights[i] = (int16_t)((int32_t)(random_bits(rng) & 0xffffu) - 32768);
}

void machine_change(machine *m, uint32_t seed)
{
    uint32_t rng = random_start(seed);
    tkws_weight_counts n = tkws_model_weight_counts(&m->app.model);
    randomise(m->app.weights.weights, n.weights, &rng);
    randomise(m->app.weights.recurrent, n.recurrent, &rng);
    randomise(m->app.weights.bias, n.bias, &rng);
    randomise(m->app.weights.readout, n.readout, &rng);
    randomise(m->app.weights.readout_bias, n.readout_bias, &rng);
    m->app.changed = true;
}

static void teach(machine *m, const char *name, uint32_t *rng)
{
    uint8_t rate = (uint8_t)(random_bits(rng) & 0xffu);
    int word = tkws_own_add(&m->app.model, &m->app.weights, name, strlen(name));
    if (word >= 0)
        tkws_takes_add(&m->app.model, &m->app.weights, (size_t)word, &rate);
}

void machine_change_takes(machine *m, uint32_t seed)
{
    uint32_t rng = random_start(seed);
    teach(m, "yes", &rng);
    teach(m, seed % 2 == 0 ? MACHINE_WORD : MACHINE_OTHER_WORD, &rng);
    m->app.changed = true;
}

int machine_look(machine *m, device_state *state)
{
    const uint8_t *answer = m->decoder.bytes + TKWS_APP_ANSWER_BODY;
    uint8_t body[6];
    memset(state, 0, sizeof *state);
    int status = machine_ask(m, TKWS_APP_INFO, NULL, 0);
    if (status != TKWS_OK)
        return status;
    state->model_crc = tkws_bytes_get_u32(answer + INFO_CRC_AT);
    state->n_weights = tkws_bytes_get_u32(answer + INFO_WEIGHTS_AT);
    state->generation = tkws_bytes_get_u32(answer + INFO_GENERATION_AT);
    for (size_t slot = 0; slot < TKWS_APP_SLOTS; slot++) {
        const uint8_t *at = answer + INFO_SLOTS_AT + slot * INFO_SLOT_BYTES;
        state->states[slot] = at[0];
        state->erases[slot] = tkws_bytes_get_u32(at + 5);
    }
    tkws_bytes_put_u32(body, 0);
    tkws_bytes_put_u16(body + 4, (uint32_t)state->n_weights);
    status = machine_ask(m, TKWS_APP_WEIGHTS, body, sizeof body);
    if (status == TKWS_OK)
        memcpy(state->weights, answer, state->n_weights);
    return status;
}

void snapshot_make(snapshot *s, const machine *m)
{
    s->bytes = allocate(m->flash.n_bytes);
    s->settled = allocate(m->flash.n_bytes);
}

void snapshot_free(snapshot *s)
{
    free(s->bytes);
    free(s->settled);
}

void snapshot_take(snapshot *s, const machine *m)
{
    memcpy(s->bytes, m->flash.bytes, m->flash.n_bytes);
    memcpy(s->settled, m->flash.settled, m->flash.n_bytes);
    memcpy(s->erases, m->flash.erases, sizeof s->erases);
}

void snapshot_restore(const snapshot *s, machine *m)
{
    memcpy(m->flash.bytes, s->bytes, m->flash.n_bytes);
    memcpy(m->flash.settled, s->settled, m->flash.n_bytes);
    memcpy(m->flash.erases, s->erases, sizeof s->erases);
}
