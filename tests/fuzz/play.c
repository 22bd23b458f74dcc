/* SPDX-License-Identifier: Apache-2.0 */
#include "play.h"

#include <string.h>

#include "check.h"
#include "maker.h"
#include "oracle.h"
#include "tracekws/bytes.h"
#include "tracekws/crc32.h"
#include "tracekws/errors.h"

#define MAX_STEPS 400
#define MAX_BODY (TKWS_APP_MAX_MESSAGE - TKWS_APP_REQUEST_BODY)
#define TAKE_HEAD 5
#define DATA_HEAD 8
#define NO_CLASS 40
#define MAX_SOUND 4000
#define MAX_NOISE 16

typedef struct {
    device *device;
    fuzz_input *in;
    uint8_t *image; /* that is being loaded; of n_image bytes */
    size_t n_image;
    uint8_t *offered; /* in the request being made */
    size_t n_offered;
    uint8_t command; /* of the request being made */
    oracle_state before;
    oracle_state restored;
} player;

static size_t hello(player *p, uint8_t how, uint8_t *body)
{
    tkws_bytes_put_u16(body, (how & PLAY_WRONG_A) != 0 ? input_u16(p->in) : TKWS_APP_PROTOCOL);
    return 2;
}

static size_t hearing(player *p, uint8_t how, uint8_t *body)
{
    if ((how & PLAY_WRONG_A) == 0)
        return 0;
    tkws_bytes_put_u16(body, input_u16(p->in));
    if ((how & PLAY_OTHER) == 0)
        return 2;
    body[2] = input_u8(p->in);
    return 3;
}

static size_t learn(player *p, uint8_t *body)
{
    tkws_bytes_put_u32(body, input_u16(p->in));
    return 4;
}

static size_t take(player *p, uint8_t how, uint8_t *body)
{
    uint32_t n_classes = p->device->app->model.header.n_classes;
    body[0] = (how & PLAY_OTHER) != 0 ? TKWS_APP_FEATURES : TKWS_APP_PCM;
    if ((how & PLAY_WRONG_C) != 0)
        body[0] = input_u8(p->in);
    tkws_bytes_put_u16(body + 1,
                       (how & PLAY_WRONG_A) != 0 ? input_u8(p->in) : TKWS_APP_MODEL_METHOD);
    tkws_bytes_put_u16(body + 3, (how & PLAY_WRONG_B) != 0 ? input_u16(p->in) : INT16_MAX);
    uint8_t word = input_u8(p->in);
    bool is_class = word < 0xf0 && p->device->app->model_error == TKWS_OK;
    return TAKE_HEAD + maker_label(is_class ? word % n_classes : NO_CLASS, body + TAKE_HEAD);
}

/* A word to teach: a class, one of the user's own, or no name. */
static size_t teach(player *p, uint8_t how, uint8_t *body)
{
    body[0] = (how & PLAY_OTHER) != 0 ? TKWS_APP_FEATURES : TKWS_APP_PCM;
    if ((how & PLAY_WRONG_C) != 0)
        body[0] = input_u8(p->in);
    size_t n = maker_label(input_u8(p->in) % 32u, body + 1);
    if ((how & PLAY_WRONG_A) != 0)
        body[1] = input_u8(p->in);
    return 1 + n;
}

static size_t word(player *p, uint8_t *body)
{
    return maker_label(input_u8(p->in) % 32u, body);
}

/* What it was that was heard: a word, or none. */
static size_t correct(player *p, uint8_t how, uint8_t *body)
{
    return (how & PLAY_OTHER) != 0 ? 0 : word(p, body);
}

/* Words of the user's own alone, or with sounds that are no word. */
static size_t words(uint8_t how, uint8_t *body)
{
    body[0] = (how & PLAY_WRONG_A) != 0 ? 2 : 1;
    return (how & PLAY_OTHER) != 0 ? 1 : 0;
}

/* The part of the image that comes next, or nothing behind its end. */
static size_t image_part(const player *p, uint32_t number, uint8_t *data)
{
    size_t offset = (size_t)number * TKWS_APP_LOAD_BYTES;
    if (offset >= p->n_image)
        return 0;
    size_t n = p->n_image - offset;
    n = n < TKWS_APP_LOAD_BYTES ? n : TKWS_APP_LOAD_BYTES;
    memcpy(data, p->image + offset, n);
    return n;
}

static size_t sound(player *p, uint8_t *data)
{
    int16_t pcm[TKWS_APP_MAX_DATA / 2];
    size_t n = 1u + input_u8(p->in);
    n = n == 1 ? TKWS_APP_MAX_DATA / 2 : n;
    maker_fill16(pcm, n, maker_read_pattern(p->in));
    for (size_t i = 0; i < n; i++)
        tkws_bytes_put_u16(data + 2 * i, (uint32_t)pcm[i]);
    return 2 * n;
}

static size_t features(player *p, uint8_t *data)
{
    int8_t steps[TKWS_APP_MAX_DATA];
    size_t n = TKWS_FEATURES * (size_t)(1 + input_u8(p->in) % (TKWS_APP_MAX_DATA / TKWS_FEATURES));
    maker_fill8(steps, n, maker_read_pattern(p->in));
    memcpy(data, steps, n);
    return n;
}

static size_t data(player *p, uint8_t how, uint8_t *body)
{
    const tkws_app *app = p->device->app;
    tkws_bytes_put_u32(body, (how & PLAY_WRONG_A) != 0 ? input_u8(p->in) : app->next);
    tkws_bytes_put_u32(body + 4, (how & PLAY_WRONG_B) != 0 ? input_u8(p->in) : app->n_events);
    uint8_t *at = body + DATA_HEAD;
    if (app->session == TKWS_APP_LOADING && (how & PLAY_WRONG_C) == 0)
        return DATA_HEAD + image_part(p, tkws_bytes_get_u32(body), at);
    bool of_features = (app->take == TKWS_APP_FEATURES) != ((how & PLAY_OTHER) != 0);
    return DATA_HEAD + (of_features ? features(p, at) : sound(p, at));
}

static size_t read_pcm(player *p, uint8_t how, uint8_t *body)
{
    const tkws_app *app = p->device->app;
    uint32_t heard = (uint32_t)(app->n_samples & UINT32_MAX);
    uint32_t held = (uint32_t)app->ring.n_held;
    uint32_t oldest = heard >= held ? heard - held : 0;
    tkws_bytes_put_u32(body,
                       (how & PLAY_WRONG_A) != 0 ? input_u32(p->in) : oldest + input_u8(p->in));
    tkws_bytes_put_u32(body + 4, (how & PLAY_WRONG_B) != 0 ? input_u32(p->in) : oldest);
    return 8;
}

static size_t weights(player *p, uint8_t how, uint8_t *body)
{
    tkws_bytes_put_u32(body, (how & PLAY_WRONG_A) != 0 ? input_u32(p->in) : 2u * input_u8(p->in));
    tkws_bytes_put_u16(body + 4, (how & PLAY_WRONG_B) != 0 ? input_u16(p->in) : TKWS_APP_MAX_DATA);
    return 6;
}

/* Choose what to load: an image as it is, or one with a byte changed and the CRC made right. */
static size_t load(player *p, uint8_t how, uint8_t *body)
{
    free(p->offered);
    p->offered = maker_known(input_u8(p->in) % MAKER_KNOWN, &p->n_offered);
    if ((how & PLAY_WRONG_C) != 0) {
        p->offered[input_u16(p->in) % p->n_offered] = input_u8(p->in);
        maker_seal(p->offered, p->n_offered);
    }
    uint32_t crc = tkws_crc32(0, p->offered, p->n_offered);
    tkws_bytes_put_u32(body, (how & PLAY_WRONG_A) != 0 ? input_u32(p->in) : (uint32_t)p->n_offered);
    tkws_bytes_put_u32(body + 4, (how & PLAY_WRONG_B) != 0 ? input_u32(p->in) : crc);
    return 8;
}

/* The number of what was seen or is asked for; 0 is right. */
static size_t number(player *p, uint8_t how, uint8_t *body)
{
    tkws_bytes_put_u32(body, (how & PLAY_WRONG_A) != 0 ? input_u8(p->in) : 0);
    return 4;
}

static bool is_request(uint8_t command)
{
    switch (command) {
    case TKWS_APP_HELLO:
    case TKWS_APP_INFO:
    case TKWS_APP_HEALTH:
    case TKWS_APP_LABELS:
    case TKWS_APP_LISTEN:
    case TKWS_APP_CLASSIFY:
    case TKWS_APP_LEARN:
    case TKWS_APP_TAKE:
    case TKWS_APP_DATA:
    case TKWS_APP_TAKE_END:
    case TKWS_APP_END:
    case TKWS_APP_ABORT:
    case TKWS_APP_LIVE:
    case TKWS_APP_POLL:
    case TKWS_APP_RECORD:
    case TKWS_APP_READ_PCM:
    case TKWS_APP_WEIGHTS:
    case TKWS_APP_SAVE:
    case TKWS_APP_UNDO:
    case TKWS_APP_FORGET:
    case TKWS_APP_LOAD:
    case TKWS_APP_WORDS:
    case TKWS_APP_TEACH:
    case TKWS_APP_CORRECT:
    case TKWS_APP_FORGET_WORD:
        return true;
    default:
        return false;
    }
}

static size_t make_body(player *p, uint8_t how, uint8_t *body)
{
    switch (p->command) {
    case TKWS_APP_HELLO:
        return hello(p, how, body);
    case TKWS_APP_LISTEN:
    case TKWS_APP_LIVE:
        return hearing(p, how, body);
    case TKWS_APP_LEARN:
        return learn(p, body);
    case TKWS_APP_TAKE:
        return take(p, how, body);
    case TKWS_APP_TEACH:
        return teach(p, how, body);
    case TKWS_APP_FORGET_WORD:
        return word(p, body);
    case TKWS_APP_CORRECT:
        return correct(p, how, body);
    case TKWS_APP_WORDS:
        return words(how, body);
    case TKWS_APP_DATA:
        return data(p, how, body);
    case TKWS_APP_LABELS:
        return number(p, how, body) / 2;
    case TKWS_APP_POLL:
        return number(p, how, body);
    case TKWS_APP_READ_PCM:
        return read_pcm(p, how, body);
    case TKWS_APP_WEIGHTS:
        return weights(p, how, body);
    case TKWS_APP_LOAD:
        return load(p, how, body);
    default:
        return 0;
    }
}

/* A load has begun: what was offered is sent from now on. */
static void begin_load(player *p)
{
    free(p->image);
    p->image = p->offered;
    p->n_image = p->n_offered;
    p->offered = NULL;
}

/* After a load that succeeded, its image runs. */
static void check_loaded(const player *p, int status)
{
    const tkws_app *app = p->device->app;
    if (p->command != TKWS_APP_END || status != TKWS_OK || p->before.session != TKWS_APP_LOADING)
        return;
    CHECK(app->model_error == TKWS_OK);
    CHECK((app->image.area == TKWS_APP_FACTORY) == (app->load_bytes == 0));
    if (app->load_bytes == 0)
        return;
    CHECK(app->model.crc == tkws_bytes_get_u32(p->image + p->n_image - 4));
}

static void ask(player *p, uint8_t how)
{
    device *d = p->device;
    uint8_t message[TKWS_APP_MAX_FRAME] = {0};
    uint32_t id = (how & PLAY_OLD_ID) != 0 ? tkws_bytes_get_u32(d->request + TKWS_APP_ID_AT)
                                           : device_next_id(d);
    size_t n = make_body(p, how, message + TKWS_APP_REQUEST_BODY);
    if ((how & PLAY_LENGTH) != 0 && (how & PLAY_OTHER) != 0)
        n = input_u16(p->in) % (MAX_BODY + 1);
    message[0] = p->command;
    tkws_bytes_put_u32(message + TKWS_APP_ID_AT, id);
    oracle_note(&p->before, d);
    bool repeats = d->may_repeat && d->n_request == n + TKWS_APP_REQUEST_BODY &&
                   memcmp(message, d->request, d->n_request) == 0;
    int status = device_ask(d, message, TKWS_APP_REQUEST_BODY + n);
    if (repeats)
        return;
    oracle_check_request(d, &p->before, p->command, status);
    if (p->command == TKWS_APP_LOAD && status == TKWS_OK)
        begin_load(p);
    check_loaded(p, status);
}

static void make_noise(player *p)
{
    uint8_t bytes[MAX_NOISE];
    size_t n = input_u8(p->in) % (MAX_NOISE + 1);
    for (size_t i = 0; i < n; i++)
        bytes[i] = input_u8(p->in);
    device_work(p->device, bytes, n);
}

/* A request that comes again gets the same answer, and nothing is done again. */
static void repeat(player *p)
{
    device *d = p->device;
    if (!d->may_repeat)
        return;
    oracle_note(&p->before, d);
    (void)device_ask(d, d->request, d->n_request);
    oracle_check_request(d, &p->before, TKWS_APP_INFO, TKWS_OK);
}

static void befall(player *p, uint8_t what)
{
    machine *m = &p->device->machine;
    switch (what) {
    case PLAY_SOUND:
        m->n_heard += input_u16(p->in) % MAX_SOUND;
        device_work(p->device, NULL, 0);
        break;
    case PLAY_OVERRUN:
        m->overrun = m->is_hearing;
        device_work(p->device, NULL, 0);
        break;
    case PLAY_DEAF:
        m->deaf = !m->deaf;
        break;
    case PLAY_CLOSE:
        device_close(p->device);
        break;
    case PLAY_NOISE:
        make_noise(p);
        break;
    case PLAY_REPEAT:
        repeat(p);
        break;
    case PLAY_RESTART:
        device_restart(p->device);
        break;
    case PLAY_BUTTON:
        m->is_pressed = !m->is_pressed;
        break;
    case PLAY_QUIET:
        m->is_quiet = !m->is_quiet;
        break;
    case PLAY_REFUSE:
        m->refuse_at = m->n_operations + 1 + input_u8(p->in);
        break;
    case PLAY_CUT:
        m->cut_at = m->n_operations + 1 + input_u8(p->in);
        m->tear = input_u8(p->in);
        break;
    default:
        break;
    }
}

static void step(player *p)
{
    uint8_t choice = input_u8(p->in);
    p->command = 0;
    if (choice >= PLAY_WORLD) {
        befall(p, choice % 16);
        return;
    }
    p->command = choice % PLAY_DATA;
    if (!is_request(p->command) && (choice >= PLAY_DATA || p->command == 0))
        p->command = TKWS_APP_DATA;
    ask(p, input_u8(p->in));
}

/* @return whether power failed in it */
static bool is_cut(player *p)
{
    jmp_buf power_cut;
    p->device->machine.power_cut = &power_cut;
    if (setjmp(power_cut) != 0)
        return true;
    step(p);
    return false;
}

/* A request without a body. */
static int ask_simply(player *p, uint8_t command)
{
    oracle_note(&p->before, p->device);
    int status = device_request(p->device, command, NULL, 0);
    oracle_check_request(p->device, &p->before, command, status);
    oracle_check(p->device, &p->restored);
    return status;
}

/* Whether a slot is of a kind that only FORGET erases. */
static bool keeps_a_slot(const tkws_app_storage *storage)
{
    for (size_t slot = 0; slot < TKWS_APP_SLOTS; slot++)
        if (storage->slots[slot].state > TKWS_APP_SLOT_OTHER_MODEL)
            return true;
    return false;
}

/* Whatever has been: with sound flash weights can be saved, and are there at a fresh start. */
static void finish(player *p)
{
    device *d = p->device;
    d->machine.refuse_at = 0;
    d->machine.cut_at = 0;
    CHECK(ask_simply(p, TKWS_APP_ABORT) == TKWS_OK);
    bool can_save = d->machine.board.slot_bytes >= MACHINE_SLOT_BYTES;
    if (d->app->model_error != TKWS_OK || !can_save)
        return;
    d->app->weights.bias[0] = (int16_t)~d->app->weights.bias[0];
    d->app->changed = true;
    if (keeps_a_slot(&d->app->storage))
        CHECK(ask_simply(p, TKWS_APP_FORGET) == TKWS_OK);
    CHECK(ask_simply(p, TKWS_APP_SAVE) == TKWS_OK);
}

void play(device *d, fuzz_input *in)
{
    static player p;
    memset(&p, 0, sizeof p);
    p.device = d;
    p.in = in;
    oracle_check(d, &p.restored);
    for (size_t i = 0; i < MAX_STEPS && in->n_bytes > 0; i++) {
        if (is_cut(&p)) {
            d->machine.cut_at = 0;
            device_restart(d);
            oracle_check_cut(d, p.command, &p.before, &p.restored);
        }
        oracle_check(d, &p.restored);
    }
    finish(&p);
    free(p.image);
    free(p.offered);
}
