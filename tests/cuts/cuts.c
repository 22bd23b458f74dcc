/* SPDX-License-Identifier: Apache-2.0 */
/* Power cuts at every flash operation of all that writes, torn in every way, on five geometries.
 *
 * Usage: cuts [--every N] [ID]
 * A case is named GEOMETRY:OPERATION:HISTORY:CUT:TORN, as rp2040:forget:ss:17:3; an ID is that name, or the
 * start of one up to a colon: "rp2040" is all of that geometry. CUT is the flash operation that is cut, and
 * 17+4 a second cut in the 4th operation after the restart. TORN says how cut operations are left.
 * --every runs one case in N, the same ones each time. Without an ID all are run.
 * Prints a line for each case that fails, and the counts of each geometry; exit status 1 when any failed.
 *
 * Each case: the power is cut; the next start must find the state from before the operation or the one after
 * it, and say of no slot that it is empty when anything is in there; so must the start after that. Then a
 * save must work, then a forget, which leaves nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "random.h"
#include "tracekws/bytes.h"
#include "tracekws/crc32.h"
#include "tracekws/errors.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
#define KIB 1024u
#define MAX_FAILURES 20
#define SECOND_CUT_IN 4 /* one case in so many is run again with a second cut */

#define OPERATION_SEED 1000u /* of weights that are learned, apart from a history's */
#define UNSAVED_SEED 1001u
#define LATER_SEED 1002u
#define KEPT_SEED 1003u
#define HEADER_BYTES 32 /* of a slot */
#define WEAR_BYTES 16
#define N_IMAGES 3
#define N_RECOVERED 3

/* --- the matrix ---------------------------------------------------------------------------------- */

/* Program units are the boards' own, and so is whether a slot has one sector or more; but no more than four,
 * and none larger than 32 KiB: more of the same takes longer and shows no more. */
static const geometry geometries[] = {
    /* name, sector, program unit, slot, image area */
    {"virtual", 4 * KIB, 1, 16 * KIB, 4 * KIB},     {"rp2040", 4 * KIB, 256, 16 * KIB, 4 * KIB},
    {"stm32f405", 16 * KIB, 4, 16 * KIB, 16 * KIB}, {"riscv-virt", 32 * KIB, 4, 32 * KIB, 32 * KIB},
    {"small", 1 * KIB, 8, 3 * KIB, 3 * KIB},
};

/* What was done before: s saves weights, t takes, T takes until a log is full and one more time; u undoes, f forgets,
 * l loads, n puts a slot of a newer format in. At the end c leaves unsaved weights in RAM, and k saves takes in the run
 * of the operation. */
static const char *const histories[] = {
    "-", "s",  "ss", "sss", "sc",   "ssc",   "ssu", "ssf", "l",  "ls",  "lss", "lsc", "n",  "ns",
    "t", "tt", "st", "stt", "sttu", "sttuu", "sts", "stc", "sk", "stk", "T",   "Tu",  "nt", "tf",
};

typedef struct bench bench;

typedef struct {
    const char *name;
    int (*run)(bench *b); /* gives the device's status */
    bool erases_all;      /* both slots, whatever they hold */
} operation;

static int run_save(bench *b);
static int run_keep(bench *b);
static int run_undo(bench *b);
static int run_forget_word(bench *b);
static int run_forget(bench *b);
static int run_load(bench *b);

static const operation operations[] = {
    {"save", run_save, false},    {"keep", run_keep, false},
    {"undo", run_undo, false},    {"forget-word", run_forget_word, false},
    {"forget", run_forget, true}, {"load", run_load, true},
};

/* --- one geometry, operation and history --------------------------------------------------------- */

/* A case, and where it starts: what every cut of one operation shares. */
struct bench {
    machine machine;
    jmp_buf end;
    const geometry *geometry;
    const operation *operation;
    const char *history;
    model_image images[N_IMAGES]; /* the factory's, and two to load */

    snapshot before;
    device_state old;
    device_state new;
    unsigned long n_operations; /* of the flash, without a cut */

    unsigned long cut;
    unsigned long second; /* 0 for none */
    uint32_t torn;
    snapshot after_cut;
    device_state recovered[N_RECOVERED];
    unsigned long n_recovery; /* operations of the flash in the start after a cut and another try */
    const device_state *allowed[2 + N_RECOVERED];
    size_t n_allowed;
    const char *problem; /* the first that was found */
};

static void require(bench *b, bool good, const char *what)
{
    if (!good && b->problem == NULL)
        b->problem = what;
}

static int ask(bench *b, uint8_t command)
{
    return machine_ask(&b->machine, command, NULL, 0);
}

static int run_save(bench *b)
{
    machine_change(&b->machine, OPERATION_SEED);
    return ask(b, TKWS_APP_SAVE);
}

static int keep(bench *b, uint32_t seed)
{
    machine_change_takes(&b->machine, seed);
    return ask(b, TKWS_APP_SAVE);
}

static int run_keep(bench *b)
{
    return keep(b, OPERATION_SEED);
}

static int run_forget_word(bench *b)
{
    return machine_ask(&b->machine, TKWS_APP_FORGET_WORD, (const uint8_t *)MACHINE_WORD,
                       strlen(MACHINE_WORD));
}

static int run_undo(bench *b)
{
    return ask(b, TKWS_APP_UNDO);
}

static int run_forget(bench *b)
{
    return ask(b, TKWS_APP_FORGET);
}

static int run_load(bench *b)
{
    bool first_runs = b->machine.app.model.crc == b->images[1].crc;
    return machine_load(&b->machine, &b->images[first_runs ? 2 : 1]);
}

static bool has(const bench *b, char what)
{
    return strchr(b->history, what) != NULL;
}

/* Start, and do what the history does in the run of the operation. */
static void power_on(bench *b)
{
    machine_power_on(&b->machine);
    if (has(b, 'c'))
        machine_change(&b->machine, UNSAVED_SEED);
    if (has(b, 'k'))
        require(b, keep(b, KEPT_SEED) == TKWS_OK, "the history cannot be played");
}

/* Run it until it ends or the flash ends it. @return 0, FLASH_CUT or FLASH_BROKEN_RULE */
static int powered(bench *b, void (*run)(bench *))
{
    switch (setjmp(b->end)) {
    case 0:
        run(b);
        return 0;
    case FLASH_CUT:
        return FLASH_CUT;
    default:
        require(b, false, b->machine.flash.rule);
        return FLASH_BROKEN_RULE;
    }
}

static void look(bench *b, device_state *state)
{
    require(b, machine_look(&b->machine, state) == TKWS_OK, "the device has no model");
}

static bool same(const device_state *a, const device_state *b)
{
    return a->model_crc == b->model_crc && a->generation == b->generation &&
           a->n_weights == b->n_weights && memcmp(a->weights, b->weights, a->n_weights) == 0;
}

static void put_newer_slot(bench *b)
{
    cut_flash *flash = &b->machine.flash;
    uint32_t rng = random_start(UNSAVED_SEED);
    for (size_t i = 0; i < flash->slot_bytes; i++)
        flash->bytes[i] = (uint8_t)(random_bits(&rng) & 0xffu);
    tkws_bytes_put_u32(flash->bytes, TKWS_APP_SLOT_MAGIC);
    tkws_bytes_put_u32(flash->bytes + 4, TKWS_APP_SLOT_FORMAT + 1);
    tkws_bytes_put_u32(flash->bytes + 28, tkws_crc32(0, flash->bytes, 28));
    memcpy(flash->settled, flash->bytes, flash->slot_bytes);
    machine_power_on(&b->machine);
}

static uint32_t erases(const bench *b)
{
    return b->machine.flash.erases[0] + b->machine.flash.erases[1];
}

/* Save takes until a slot is erased for them, which is not the first. */
static int fill_log(bench *b)
{
    int status = keep(b, 0);
    uint32_t n_erases = erases(b);
    for (uint32_t i = 1; status == TKWS_OK && erases(b) == n_erases; i++)
        status = keep(b, i);
    return status;
}

static void play(bench *b)
{
    machine_power_on(&b->machine);
    for (uint32_t i = 0; b->history[i] != 0; i++) {
        int status = TKWS_OK;
        switch (b->history[i]) {
        case 's':
            machine_change(&b->machine, i);
            status = ask(b, TKWS_APP_SAVE);
            break;
        case 't':
            status = keep(b, i);
            break;
        case 'T':
            status = fill_log(b);
            break;
        case 'u':
            status = run_undo(b);
            break;
        case 'f':
            status = run_forget(b);
            break;
        case 'l':
            status = run_load(b);
            break;
        case 'n':
            put_newer_slot(b);
            break;
        default:
            break;
        }
        require(b, status == TKWS_OK, "the history cannot be played");
    }
}

/* --- what must hold ------------------------------------------------------------------------------ */

static bool is_erased(const uint8_t *bytes, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        if (bytes[i] != 0xff)
            return false;
    return true;
}

static size_t whole_units(const bench *b, size_t n_bytes)
{
    size_t unit = b->geometry->program_bytes;
    return (n_bytes + unit - 1) / unit * unit;
}

/* Program units of a slot that hold something, the record of wear's aside, where a cut may leave half a record.
 * The layout is that of storage.h. */
static size_t n_written(const bench *b, size_t slot)
{
    size_t unit = b->geometry->program_bytes;
    size_t wear_at = whole_units(b, HEADER_BYTES);
    size_t body_at = wear_at + whole_units(b, WEAR_BYTES);
    const uint8_t *bytes = b->machine.flash.bytes + slot * b->geometry->slot_bytes;
    size_t n = 0;
    for (size_t at = 0; at < b->geometry->slot_bytes; at += unit)
        n += (at < wear_at || at >= body_at) && !is_erased(bytes + at, unit);
    return n;
}

/* @param most  units that an empty slot may hold all the same */
static void check_admitted(bench *b, const device_state *state, size_t most)
{
    for (size_t slot = 0; slot < TKWS_APP_SLOTS; slot++)
        require(b, state->states[slot] != TKWS_APP_SLOT_EMPTY || n_written(b, slot) <= most,
                "a slot that is said to be empty holds something");
}

/* A cut leaves out the erase that it is in and may lose a record. The other slot's is from its own last erase:
 * one behind, and one more for each undo since. */
static void check_wear(bench *b, const device_state *state)
{
    uint32_t lost = (b->second != 0 ? 4u : 2u) + (has(b, 'u') ? 1u : 0u);
    for (size_t slot = 0; slot < TKWS_APP_SLOTS; slot++) {
        uint32_t begun = b->machine.flash.erases[slot];
        require(b, state->erases[slot] <= begun, "more erases are counted than there were");
        require(b, state->erases[slot] + lost >= begun, "too many erases are not counted");
    }
}

static bool holds(const bench *b, const char *text, size_t n_bytes)
{
    const cut_flash *flash = &b->machine.flash;
    for (size_t at = 0; at + n_bytes <= TKWS_APP_SLOTS * flash->slot_bytes; at++)
        if (memcmp(flash->bytes + at, text, n_bytes) == 0)
            return true;
    return false;
}

static bool knows_word(const device_state *state)
{
    size_t n_bytes = strlen(MACHINE_WORD);
    for (size_t at = 0; at + n_bytes <= state->n_weights; at++)
        if (memcmp(state->weights + at, MACHINE_WORD, n_bytes) == 0)
            return true;
    return false;
}

/* What is not known any more is nowhere in the flash. */
static void check_word(bench *b, const device_state *state)
{
    bool was_known = knows_word(&b->old);
    require(b, !was_known || knows_word(state) || !holds(b, MACHINE_WORD, strlen(MACHINE_WORD)),
            "a word that was forgotten is still there");
}

static void check_state(bench *b, device_state *state)
{
    look(b, state);
    bool known = false;
    for (size_t i = 0; i < b->n_allowed; i++)
        known = known || same(state, b->allowed[i]);
    require(b, known, "the state is neither the old one nor the new one");
    check_admitted(b, state, 0);
    check_wear(b, state);
    if (b->operation->run == run_forget_word)
        check_word(b, state);
}

/* Beside a slot of a newer format there may be no place to save in. */
static bool has_place(const device_state *state)
{
    uint8_t a = state->states[0];
    uint8_t b = state->states[1];
    bool a_is_taken = a == TKWS_APP_SLOT_NEWER_FORMAT || a == TKWS_APP_SLOT_VALID;
    bool b_is_taken = b == TKWS_APP_SLOT_NEWER_FORMAT || b == TKWS_APP_SLOT_VALID;
    bool one_is_newer = a == TKWS_APP_SLOT_NEWER_FORMAT || b == TKWS_APP_SLOT_NEWER_FORMAT;
    return !(one_is_newer && a_is_taken && b_is_taken);
}

/* A load that was cut in its last write can be there at the first start and not at the next, or the other way
 * round, its record being weak: what was saved with one model in between is kept beside the other. */
static bool is_kept(const bench *b, const device_state *saved, const device_state *found)
{
    bool is_there = found->states[0] == TKWS_APP_SLOT_OTHER_MODEL ||
                    found->states[1] == TKWS_APP_SLOT_OTHER_MODEL;
    bool was_loading = b->operation->run == run_load && saved->model_crc != found->model_crc;
    return same(saved, found) || (was_loading && is_there);
}

static void check_saving(bench *b)
{
    device_state before;
    device_state saved;
    device_state found;
    machine_change(&b->machine, LATER_SEED);
    look(b, &before);
    int status = ask(b, TKWS_APP_SAVE);
    look(b, &saved);
    if (status == TKWS_E_NEWER_FORMAT && !has_place(&saved))
        return;
    require(b, status == TKWS_OK, "the next save fails");
    machine_power_on(&b->machine);
    look(b, &found);
    require(b, memcmp(saved.weights, before.weights, before.n_weights) == 0,
            "a save changes the weights");
    require(b, is_kept(b, &saved, &found), "the next save is lost");
}

/* Takes can be saved, are there after a start when weak bits have settled, and can be taken back.
 * @param is_settled  whether they had before: else what is gone back to may be weak itself */
static void check_keeping(bench *b, bool is_settled)
{
    device_state before;
    device_state saved;
    device_state found;
    look(b, &before);
    int status = keep(b, LATER_SEED);
    look(b, &saved);
    if (status == TKWS_E_NEWER_FORMAT && !has_place(&saved))
        return;
    require(b, status == TKWS_OK, "the next save of takes fails");
    flash_settle(&b->machine.flash);
    machine_power_on(&b->machine);
    look(b, &found);
    require(b, is_kept(b, &saved, &found), "the next save of takes is lost");
    if (!is_settled)
        return;
    status = run_undo(b);
    look(b, &found);
    require(b, status == TKWS_OK || (status == TKWS_E_NO_UNDO && has(b, 'n')),
            "takes cannot be taken back");
    require(b, status != TKWS_OK || memcmp(found.weights, before.weights, before.n_weights) == 0,
            "an undo goes elsewhere");
}

static void check_newer_slot(bench *b)
{
    bool kept = memcmp(b->machine.flash.bytes, b->before.bytes, b->geometry->slot_bytes) == 0;
    require(b, kept || !has(b, 'n') || b->operation->erases_all,
            "a slot of a newer format was changed");
}

/* Whether nothing is learned: weights of the model, and no takes. */
static bool is_factory(const bench *b, const device_state *state)
{
    const tkws_model *model = &b->machine.app.model;
    size_t n_weights = state->n_weights - tkws_model_takes_bytes(model);
    for (size_t i = n_weights; i < state->n_weights; i++)
        if (state->weights[i] != 0)
            return false;
    return memcmp(state->weights, model->trainable, n_weights) == 0;
}

static void check_forgetting(bench *b)
{
    for (int starts = 0; starts < 2; starts++) {
        device_state state;
        if (starts == 0)
            require(b, run_forget(b) == TKWS_OK, "a forget fails");
        else
            machine_power_on(&b->machine);
        look(b, &state);
        for (size_t slot = 0; slot < TKWS_APP_SLOTS; slot++)
            require(b, state.states[slot] == TKWS_APP_SLOT_EMPTY && n_written(b, slot) == 0,
                    "a forget leaves something");
        require(b, is_factory(b, &state), "a forget leaves other weights than the model's");
    }
}

/* --- a case -------------------------------------------------------------------------------------- */

static void operate_until_cut(bench *b)
{
    power_on(b);
    machine_cut_at(&b->machine, b->cut, b->torn);
    (void)b->operation->run(b);
}

static void start_settled(bench *b)
{
    machine_power_on(&b->machine);
    flash_settle(&b->machine.flash);
}

/* The start, which may erase, and the same operation again. */
static void recover_until_cut(bench *b)
{
    machine_cut_at(&b->machine, b->second, b->torn + 1);
    start_settled(b);
    (void)b->operation->run(b);
}

static void check_settled(bench *b, device_state *state)
{
    flash_settle(&b->machine.flash);
    check_admitted(b, state, 1); /* the torn one may have looked as if nothing was written */
    if (b->torn % 2 == 0)
        return;
    machine_power_on(&b->machine);
    check_state(b, state);
}

static void aftermath(bench *b)
{
    device_state state;
    machine_cut_at(&b->machine, 0, 0);
    machine_power_on(&b->machine);
    check_state(b, &state);
    if ((b->cut + b->torn / 2) % 2 == 0) /* either of each operation */
        check_keeping(b, false);
    else
        check_settled(b, &state);
    check_saving(b);
    check_keeping(b, true);
    check_newer_slot(b);
    check_forgetting(b);
}

/* What the start after a cut gives, at once and when weak bits have settled, and what another try makes of it:
 * where a cut in that try may end. */
static void recover(bench *b)
{
    machine_cut_at(&b->machine, 0, 0);
    start_settled(b);
    look(b, &b->recovered[0]);
    machine_power_on(&b->machine);
    look(b, &b->recovered[1]);
    snapshot_restore(&b->after_cut, &b->machine);
    machine_cut_at(&b->machine, 0, 0);
    start_settled(b);
    (void)b->operation->run(b);
    b->n_recovery = b->machine.flash.n_operations;
    machine_power_on(&b->machine);
    look(b, &b->recovered[2]);
}

static void allow(bench *b, const device_state *state)
{
    b->allowed[b->n_allowed++] = state;
}

static void cut_first(bench *b)
{
    b->problem = NULL;
    b->n_allowed = 0;
    allow(b, &b->old);
    allow(b, &b->new);
    snapshot_restore(&b->before, &b->machine);
    require(b, powered(b, operate_until_cut) == FLASH_CUT, "the cut does not come");
    snapshot_take(&b->after_cut, &b->machine);
}

static void cut_again(bench *b)
{
    (void)powered(b, recover);
    for (size_t i = 0; i < N_RECOVERED; i++)
        allow(b, &b->recovered[i]);
    snapshot_restore(&b->after_cut, &b->machine);
    if (b->second <= b->n_recovery)
        require(b, powered(b, recover_until_cut) == FLASH_CUT, "the second cut does not come");
}

/* Run the case that is set. @return whether all holds; else problem says what does not */
static bool run_case(bench *b)
{
    cut_first(b);
    if (b->second != 0)
        cut_again(b);
    if (b->problem == NULL)
        (void)powered(b, aftermath);
    return b->problem == NULL;
}

/* --- all cases ----------------------------------------------------------------------------------- */

/* What to run. Names are NULL and cut is 0 where any will do. */
typedef struct {
    char *geometry;
    char *operation;
    char *history;
    unsigned long cut;
    unsigned long second;
    uint32_t torn;
    uint32_t every;
} selection;

typedef struct {
    uint32_t offered; /* that might be chosen */
    unsigned long cuts;
    unsigned long second_cuts;
    unsigned long failures;
} counts;

static void report_failure(const bench *b)
{
    printf("FAIL %s:%s:%s:%lu", b->geometry->name, b->operation->name, b->history, b->cut);
    if (b->second != 0)
        printf("+%lu", b->second);
    printf(":%lu: %s\n", (unsigned long)b->torn, b->problem);
    fflush(stdout);
}

static void count_case(bench *b, counts *n)
{
    bool good = run_case(b);
    n->cuts++;
    n->second_cuts += b->second != 0;
    n->failures += !good;
    if (!good && n->failures <= MAX_FAILURES)
        report_failure(b);
}

/* One case, and for some of them the same with a second cut. */
static void run_cases_of_cut(bench *b, const selection *wanted, counts *n)
{
    uint32_t chance = random_of(~n->offered);
    b->second = wanted->second;
    count_case(b, n);
    if (wanted->cut != 0 || chance % SECOND_CUT_IN != 0 || b->problem != NULL)
        return;
    if (powered(b, recover) == 0 && b->n_recovery > 0) {
        b->second = 1 + chance / SECOND_CUT_IN % b->n_recovery;
        count_case(b, n);
    }
}

static void run_cuts(bench *b, const selection *wanted, counts *n)
{
    for (b->cut = 1; b->cut <= b->n_operations; b->cut++)
        for (b->torn = 0; b->torn < flash_n_tears; b->torn++) {
            bool chosen = random_of(++n->offered) % wanted->every == 0;
            if (wanted->cut == 0 ? chosen : b->cut == wanted->cut && b->torn == wanted->torn)
                run_cases_of_cut(b, wanted, n);
        }
}

static void operate_whole(bench *b)
{
    device_state told;
    machine_power_on(&b->machine);
    look(b, &b->old);
    power_on(b);
    if (has(b, 'k'))
        look(b, &b->old);
    machine_cut_at(&b->machine, 0, 0);
    int status = b->operation->run(b);
    b->n_operations = b->machine.flash.n_operations;
    look(b, &told);
    machine_power_on(&b->machine);
    look(b, &b->new);
    require(b, status == TKWS_OK ? same(&told, &b->new) : b->n_operations == 0,
            "what was acknowledged is lost, or what was refused was done");
    if (b->operation->run == run_forget_word)
        check_word(b, &b->new);
    bool both_empty =
        told.states[0] == TKWS_APP_SLOT_EMPTY && told.states[1] == TKWS_APP_SLOT_EMPTY;
    require(b, both_empty || !b->operation->erases_all, "slots are not empty after their erase");
}

/* Play the history, and run the operation once without a cut. */
static void prepare(bench *b)
{
    b->problem = NULL;
    b->cut = 0;
    b->second = 0;
    flash_make(&b->machine.flash);
    (void)powered(b, play);
    snapshot_take(&b->before, &b->machine);
    (void)powered(b, operate_whole);
}

static bool matches(const char *wanted, const char *name)
{
    return wanted == NULL || strcmp(wanted, name) == 0;
}

static void run_histories(bench *b, const selection *wanted, counts *n)
{
    for (size_t i = 0; i < LENGTH(histories); i++) {
        b->history = histories[i];
        if (!matches(wanted->history, b->history))
            continue;
        prepare(b);
        if (b->problem == NULL) {
            run_cuts(b, wanted, n);
        } else {
            n->failures++;
            report_failure(b);
        }
    }
}

static counts run_geometry(const geometry *sizes, const selection *wanted)
{
    static bench b;
    counts n = {0, 0, 0, 0};
    b.geometry = sizes;
    for (uint32_t i = 0; i < N_IMAGES; i++)
        image_make(&b.images[i], i);
    machine_make(&b.machine, sizes, &b.images[0], &b.end);
    snapshot_make(&b.before, &b.machine);
    snapshot_make(&b.after_cut, &b.machine);
    for (size_t i = 0; i < LENGTH(operations); i++) {
        b.operation = &operations[i];
        if (matches(wanted->operation, b.operation->name))
            run_histories(&b, wanted, &n);
    }
    snapshot_free(&b.after_cut);
    snapshot_free(&b.before);
    machine_free(&b.machine);
    return n;
}

/* --- the command line ---------------------------------------------------------------------------- */

static void parse_cut(selection *wanted, char *text)
{
    char *end = text;
    wanted->cut = strtoul(text, &end, 10);
    if (*end == '+')
        wanted->second = strtoul(end + 1, NULL, 10);
}

/* Cuts id into its names. */
static void parse_id(selection *wanted, char *id)
{
    char *fields[5] = {NULL};
    for (size_t i = 0; i < LENGTH(fields) && id != NULL; i++) {
        fields[i] = id;
        id = strchr(id, ':');
        if (id != NULL)
            *id++ = 0;
    }
    wanted->geometry = fields[0];
    wanted->operation = fields[1];
    wanted->history = fields[2];
    if (fields[4] != NULL) {
        parse_cut(wanted, fields[3]);
        wanted->torn = (uint32_t)strtoul(fields[4], NULL, 10);
    }
}

int main(int argc, char **argv)
{
    selection wanted = {.every = 1};
    unsigned long n_run = 0;
    unsigned long n_failed = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--every") == 0 && i + 1 < argc)
            wanted.every = (uint32_t)strtoul(argv[++i], NULL, 10);
        else
            parse_id(&wanted, argv[i]);
    }
    for (size_t i = 0; wanted.every > 0 && i < LENGTH(geometries); i++) {
        if (!matches(wanted.geometry, geometries[i].name))
            continue;
        counts n = run_geometry(&geometries[i], &wanted);
        printf("geometry %s cuts %lu second_cuts %lu failures %lu\n", geometries[i].name, n.cuts,
               n.second_cuts, n.failures);
        n_run += n.cuts;
        n_failed += n.failures;
    }
    if (n_run == 0) {
        fprintf(stderr, "usage: cuts [--every N] [GEOMETRY[:OPERATION[:HISTORY[:CUT:TORN]]]]\n");
        return 2;
    }
    return n_failed == 0 ? 0 : 1;
}
