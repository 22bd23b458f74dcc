/* SPDX-License-Identifier: Apache-2.0 */
#include "machine.h"

#include <string.h>

#include "check.h"
#include "host.h"
#include "maker.h"
#include "tracekws/errors.h"
#include "tracekws/learner.h"
#include "tracekws/network.h"
#include "tracekws/templates.h"

#define ERASED 0xff
#define GARBAGE 0xa5
#define AMPLE_BYTES 32768
#define QUIET_POLL_MS 20000

static int line_read(void *context, uint8_t *bytes, size_t n_bytes)
{
    machine *m = context;
    if (m->n_line == 0 && m->closed) {
        m->closed = false;
        return TKWS_E_LINK;
    }
    size_t n = n_bytes < m->n_line ? n_bytes : m->n_line;
    if (n == 0)
        return 0;
    memcpy(bytes, m->line, n);
    m->line += n;
    m->n_line -= n;
    return (int)n;
}

static int line_write(void *context, const uint8_t *bytes, size_t n_bytes)
{
    machine *m = context;
    if (n_bytes > 1 && bytes[n_bytes - 1] == 0) {
        CHECK(m->n_text == 0);
        host_hear(m, bytes, n_bytes);
        return TKWS_OK;
    }
    CHECK(m->works_alone && n_bytes > 0 && (bytes[0] == 0) == (m->n_text > 0 && n_bytes == 1));
    CHECK(bytes[0] != 0 || m->newest == '\n');
    CHECK(n_bytes == 1 || memchr(bytes, 0, n_bytes) == NULL);
    m->n_text = bytes[0] == 0 ? 0 : m->n_text + n_bytes;
    m->newest = bytes[n_bytes - 1];
    return TKWS_OK;
}

static bool within(const machine *m, size_t offset, size_t n_bytes)
{
    return offset <= m->flash_bytes && n_bytes <= m->flash_bytes - offset;
}

static int flash_read(void *context, size_t offset, uint8_t *bytes, size_t n_bytes)
{
    const machine *m = context;
    CHECK(within(m, offset, n_bytes));
    memcpy(bytes, m->flash + offset, n_bytes);
    return TKWS_OK;
}

/* How much of an operation on n bytes is done. */
static size_t powered(machine *m, size_t n)
{
    m->n_operations++;
    if (m->n_operations == m->cut_at)
        return n * m->tear / 256;
    return m->n_operations == m->refuse_at ? n / 2 : n;
}

/* The end of an operation: it may have been the last one. */
static int ended(const machine *m)
{
    if (m->n_operations == m->cut_at)
        longjmp(*m->power_cut, 1);
    return m->n_operations == m->refuse_at ? TKWS_E_STORAGE : TKWS_OK;
}

static int flash_program(void *context, size_t offset, const uint8_t *bytes, size_t n_bytes)
{
    machine *m = context;
    size_t unit = m->board.program_bytes;
    CHECK(n_bytes > 0 && within(m, offset, n_bytes));
    CHECK(offset % unit == 0 && n_bytes % unit == 0);
    for (size_t i = 0; i < n_bytes; i++)
        CHECK((m->flash[offset + i] & bytes[i]) == bytes[i]);
    memcpy(m->flash + offset, bytes, powered(m, n_bytes));
    return ended(m);
}

static int flash_erase(void *context, size_t offset)
{
    machine *m = context;
    size_t sector = m->board.sector_bytes;
    CHECK(within(m, offset, sector) && offset % sector == 0);
    memset(m->flash + offset, ERASED, powered(m, sector));
    return ended(m);
}

static int microphone_start(void *context)
{
    machine *m = context;
    CHECK(!m->is_hearing);
    if (m->deaf)
        return TKWS_E_MICROPHONE;
    m->is_hearing = true;
    return TKWS_OK;
}

static int microphone_read(void *context, int16_t *pcm, size_t n_samples)
{
    machine *m = context;
    CHECK(m->is_hearing && n_samples > 0);
    if (m->overrun) {
        m->overrun = false;
        return TKWS_E_OVERRUN;
    }
    size_t n = n_samples < m->n_heard ? n_samples : m->n_heard;
    if (m->is_quiet && n > 0)
        memset(pcm, 0, n * sizeof *pcm);
    else
        maker_fill16(pcm, n, (maker_pattern){MAKER_ANY, m->sound});
    m->sound ^= 1u + (uint32_t)n;
    m->n_heard -= n;
    return (int)n;
}

static void microphone_stop(void *context)
{
    machine *m = context;
    CHECK(m->is_hearing);
    m->is_hearing = false;
}

static size_t rounded(size_t n_bytes)
{
    return (n_bytes + 3) / 4 * 4;
}

/* What the application lays out for a model; the learner's part holds templates and recordings too. */
static size_t exact_bytes(const uint8_t *image, size_t n_image, bool has_microphone)
{
    tkws_model model;
    if (tkws_model_parse(&model, image, n_image) != TKWS_OK)
        return 0;
    tkws_weight_counts n = tkws_model_weight_counts(&model);
    size_t n_learner = tkws_learner_memory_bytes(&model);
    if (n_learner < tkws_templates_memory_bytes(&model))
        n_learner = tkws_templates_memory_bytes(&model);
    if (has_microphone && n_learner < TKWS_APP_RING_SAMPLES * sizeof(int16_t))
        n_learner = TKWS_APP_RING_SAMPLES * sizeof(int16_t);
    return rounded(2 * n.weights) + rounded(2 * n.recurrent) + rounded(2 * n.bias) +
           rounded(2 * n.readout) + rounded(2 * n.readout_bias) +
           rounded(tkws_model_takes_bytes(&model)) + tkws_network_memory_bytes(&model) + n_learner;
}

static void choose_flash(machine *m, uint8_t choice)
{
    static const size_t units[] = {1, 4, 8, 256};
    tkws_board *b = &m->board;
    b->program_bytes = units[choice & 3u];
    b->sector_bytes = (choice & 4u) != 0 ? 1024 : 4096;
    b->slot_bytes = (choice & 0x18u) != 0x18u ? MACHINE_SLOT_BYTES : 0;
    b->image_area_bytes = (choice & 0x60u) != 0x60u ? MACHINE_AREA_BYTES : 0;
    if ((choice & 0x84u) == 0x84u)
        b->slot_bytes = 1024; /* too small for most */
    m->flash_bytes = 2 * b->slot_bytes + 2 * b->image_area_bytes;
    m->flash = check_malloc(m->flash_bytes);
    memset(m->flash, ERASED, m->flash_bytes);
    b->flash_mapped = b->image_area_bytes > 0 ? m->flash : NULL;
}

static void choose_rest(machine *m, uint8_t choice, const uint8_t *image, size_t n_image)
{
    tkws_board *b = &m->board;
    if ((choice & 3u) != 3u) {
        b->microphone_start = microphone_start;
        b->microphone_read = microphone_read;
        b->microphone_stop = microphone_stop;
    }
    if ((choice & 0x1cu) != 0x1cu) {
        b->image = image;
        b->image_bytes = n_image;
    }
    b->serial_bytes = (choice & 0x20u) != 0 ? 1024 : 4096;
    b->memory[0].n_bytes = AMPLE_BYTES;
    if ((choice & 0x40u) != 0)
        b->memory[0].n_bytes = exact_bytes(image, n_image, b->microphone_start != NULL);
    m->is_too_small = (choice & 0xe0u) == 0xe0u && b->memory[0].n_bytes > 0;
    b->memory[0].n_bytes -= m->is_too_small;
    b->memory[0].start = check_malloc(b->memory[0].n_bytes);
    b->n_memories = 1;
    b->ram_bytes = b->memory[0].n_bytes;
}

void machine_make(machine *m, fuzz_input *in, const uint8_t *image, size_t n_image)
{
    memset(m, 0, sizeof *m);
    tkws_board *b = &m->board;
    b->context = m;
    b->name = "fuzzed";
    b->serial_read = line_read;
    b->serial_write = line_write;
    b->flash_read = flash_read;
    b->flash_program = flash_program;
    b->flash_erase = flash_erase;
    choose_flash(m, input_u8(in));
    choose_rest(m, input_u8(in), image, n_image);
    machine_power_up(m);
}

static void on_event(void *context, const char *word, int16_t score_q15)
{
    (void)context;
    CHECK(tkws_name_valid((const uint8_t *)word, strlen(word)) && score_q15 >= 0);
}

/* What is switched is no longer as it was. */
static void led_set(void *context, bool on)
{
    machine *m = context;
    CHECK(m->is_lit != on);
    m->is_lit = on;
}

static void pulse_set(void *context, bool on)
{
    machine *m = context;
    CHECK(m->is_raised != on);
    m->is_raised = on;
}

static bool button_pressed(void *context)
{
    return ((const machine *)context)->is_pressed;
}

void machine_let_alone(machine *m)
{
    tkws_board *b = &m->board;
    m->works_alone = true;
    b->on_event = on_event;
    b->led_set = led_set;
    b->pulse_set = pulse_set;
    b->button_pressed = button_pressed;
    b->quiet_poll_ms = QUIET_POLL_MS;
}

void machine_copy(machine *copy, const machine *m)
{
    *copy = *m;
    copy->board.context = copy;
    copy->flash = check_malloc(m->flash_bytes);
    if (m->flash_bytes > 0)
        memcpy(copy->flash, m->flash, m->flash_bytes);
    copy->board.flash_mapped = m->board.flash_mapped != NULL ? copy->flash : NULL;
    copy->board.memory[0].start = check_malloc(m->board.memory[0].n_bytes);
    copy->refuse_at = 0;
    copy->cut_at = 0;
    machine_power_up(copy);
}

void machine_power_up(machine *m)
{
    memset(m->board.memory[0].start, GARBAGE, m->board.memory[0].n_bytes);
    m->n_line = 0;
    m->closed = false;
    m->n_heard = 0;
    m->overrun = false;
    m->is_hearing = false;
    m->n_text = 0;
    m->is_lit = false;
    m->is_raised = false;
}

void machine_free(machine *m)
{
    free(m->flash);
    free(m->board.memory[0].start);
}
