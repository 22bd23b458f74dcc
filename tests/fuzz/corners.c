/* SPDX-License-Identifier: Apache-2.0 */
/* Models at the corners of what the parser accepts, fed with extremes: every sum of the core at its largest.
 * Each is compared with the same in 64 bits, and the program ends at the first that does not fit.
 * Prints "FILE LINE BITS LARGEST" for each place in the source, then "models N steps N sums N". */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "maker.h"
#include "tracekws/errors.h"
#include "tracekws/frontend.h"
#include "tracekws/fx.h"
#include "tracekws/learner.h"
#include "tracekws/own.h"
#include "tracekws/rng.h"
#include "tracekws/templates.h"

#define MAX_FILES 16
#define MAX_LINES 500
#define N_FIELDS (sizeof(tkws_model_header) / sizeof(uint32_t))
#define N_CONVOLUTION 2 /* choices of section Conv, beside its arrays */
#define N_TRACES 6      /* choices of sections trac and ownw and of takes, beside their arrays */
#define N_CHOICES (N_FIELDS + MAKER_PARTS + N_TRACES + N_CONVOLUTION)
#define FIELD(name) (offsetof(tkws_model_header, name) / sizeof(uint32_t))
#define FEW 3 /* of what makes a model large */
#define FEW_STEPS 16
#define RANDOM_CORNERS 600
#define RANDOM_SOUNDS 300
#define FULL INT16_MAX

static struct {
    const char *file;
    uint64_t largest[MAX_LINES];
    unsigned n_bits[MAX_LINES]; /* 0 where nothing was seen */
} seen[MAX_FILES];

static uint64_t n_models;
static uint64_t n_steps;
static uint64_t n_sums;

void tkws_fx_check(int64_t exact, unsigned n_bits, const char *file, int line)
{
    uint64_t size = exact < 0 ? (uint64_t)-exact : (uint64_t)exact;
    int64_t limit = INT64_C(1) << (n_bits - 1);
    size_t i = 0;
    while (seen[i].file != file && seen[i].file != NULL)
        i++;
    seen[i].file = file;
    n_sums++;
    if (exact >= limit || exact < -limit) {
        printf("%s:%d: %" PRId64 " does not fit %u bits\n", file, line, exact, n_bits);
        exit(1);
    }
    if (size >= seen[i].largest[line]) {
        seen[i].largest[line] = size;
        seen[i].n_bits[line] = n_bits;
    }
}

static void print_seen(void)
{
    for (size_t i = 0; i < MAX_FILES && seen[i].file != NULL; i++)
        for (size_t line = 0; line < MAX_LINES; line++)
            if (seen[i].n_bits[line] != 0)
                printf("%s %zu %u %" PRIu64 "\n", seen[i].file, line, seen[i].n_bits[line],
                       seen[i].largest[line]);
    printf("models %" PRIu64 " steps %" PRIu64 " sums %" PRIu64 "\n", n_models, n_steps, n_sums);
}

/* A model with its weights and memory. */
typedef struct {
    tkws_model model;
    tkws_weights weights;
    tkws_network network;
    tkws_learner learner;
    tkws_templates templates;
    void *memory[10];
} corner;

static void *kept(corner *k, size_t at, size_t n_bytes)
{
    k->memory[at] = check_malloc(n_bytes);
    return k->memory[at];
}

static void make(corner *k, const tkws_model_header *header, const maker_content *content)
{
    size_t n_image = 0;
    memset(k, 0, sizeof *k);
    k->memory[0] = maker_image(header, content, &n_image);
    CHECK(tkws_model_parse(&k->model, k->memory[0], n_image) == TKWS_OK);
    tkws_weight_counts n = tkws_model_weight_counts(&k->model);
    k->weights.weights = kept(k, 1, 2 * n.weights);
    k->weights.recurrent = kept(k, 2, 2 * n.recurrent);
    k->weights.bias = kept(k, 3, 2 * n.bias);
    k->weights.readout = kept(k, 4, 2 * n.readout);
    k->weights.readout_bias = kept(k, 5, 2 * n.readout_bias);
    k->weights.takes = kept(k, 8, tkws_model_takes_bytes(&k->model));
    tkws_weights_load(&k->model, &k->weights);
    size_t n_network = tkws_network_memory_bytes(&k->model);
    size_t n_learner = tkws_learner_memory_bytes(&k->model);
    CHECK(tkws_network_init(&k->network, &k->model, &k->weights, kept(k, 6, n_network),
                            n_network) == TKWS_OK);
    CHECK(tkws_learner_init(&k->learner, &k->network, kept(k, 7, n_learner), n_learner, 1) ==
          TKWS_OK);
    n_models++;
}

static void discard(corner *k)
{
    for (size_t i = 0; i < sizeof k->memory / sizeof k->memory[0]; i++)
        free(k->memory[i]);
}

/* Takes of every class, all of whose rates are the same; those of a middle in turn with the highest. */
static void compare(corner *k, uint8_t rate)
{
    size_t n_row = tkws_model_take_bytes(&k->model);
    size_t n = tkws_templates_memory_bytes(&k->model);
    size_t n_words = tkws_model_words(&k->model);
    for (size_t w = k->model.header.n_classes; w < n_words; w++) {
        uint8_t name[TKWS_NAME_BYTES];
        size_t n_name = maker_label((uint32_t)w, name);
        tkws_own_forget(&k->model, &k->weights, w);
        CHECK(tkws_own_add(&k->model, &k->weights, (const char *)name, n_name) == (int)w);
        tkws_own_set_agreement(&k->model, &k->weights, w, rate > 0 ? INT16_MAX : INT16_MIN);
    }
    for (size_t i = 0; i < n_words * n_row; i++)
        k->weights.takes[i] = i % n_row % 2 == 1 || rate != UINT8_MAX / 2 ? rate : UINT8_MAX;
    for (size_t w = 0; w < n_words; w++)
        k->weights.takes[w * n_row] = (uint8_t)(1 + w % 2);
    free(k->memory[9]);
    CHECK(tkws_templates_init(&k->templates, &k->model, &k->weights, kept(k, 9, n), n) == TKWS_OK);
}

static void hear(corner *k, uint8_t kind, size_t n)
{
    int8_t features[TKWS_FEATURES];
    int32_t scores[TKWS_MAX_CLASSES];
    for (size_t i = 0; i < n; i++) {
        maker_fill8(features, TKWS_FEATURES, (maker_pattern){kind, (uint32_t)i});
        tkws_network_step(&k->network, features);
        tkws_network_scores(&k->network, scores);
        tkws_templates_step(&k->templates, &k->network);
        tkws_templates_add(&k->templates, scores);
        int32_t cosine = 0;
        (void)tkws_templates_own(&k->templates, i % 2 != 0 ? INT16_MAX : INT16_MIN, &cosine);
        n_steps++;
    }
}

static void learn(corner *k, uint8_t kind, uint32_t label, size_t n)
{
    int8_t features[TKWS_FEATURES];
    CHECK(tkws_learner_begin(&k->learner, TKWS_LEARN_ALL, label, FULL) == TKWS_OK);
    for (size_t i = 0; i < n; i++) {
        maker_fill8(features, TKWS_FEATURES, (maker_pattern){kind, (uint32_t)i});
        CHECK(tkws_learner_step(&k->learner, features) == TKWS_OK);
        n_steps++;
    }
    CHECK(tkws_learner_end(&k->learner) == TKWS_OK);
}

/* A take of a word, which the guard may refuse. */
static void guard(corner *k, uint8_t kind, uint32_t word, size_t n)
{
    int8_t features[TKWS_FEATURES];
    uint32_t method = TKWS_LEARN_TAKES | TKWS_LEARN_GUARDED;
    CHECK(tkws_learner_begin(&k->learner, method, word, 0) == TKWS_OK);
    for (size_t i = 0; i < n; i++) {
        maker_fill8(features, TKWS_FEATURES, (maker_pattern){kind, (uint32_t)i});
        CHECK(tkws_learner_step(&k->learner, features) == TKWS_OK);
    }
    int result = tkws_learner_end(&k->learner);
    CHECK(result == TKWS_OK || result == TKWS_E_UNLIKE);
}

/* A take of the last word of the user's own, beside those that it has. */
static void teach(corner *k, uint8_t kind, size_t n)
{
    int8_t features[TKWS_FEATURES];
    uint32_t word = (uint32_t)tkws_model_words(&k->model) - 1;
    guard(k, kind, word, n);
    guard(k, kind, 0, n);
    CHECK(tkws_learner_begin(&k->learner, TKWS_LEARN_TAKES, word, 0) == TKWS_OK);
    for (size_t i = 0; i < n; i++) {
        maker_fill8(features, TKWS_FEATURES, (maker_pattern){kind, (uint32_t)i});
        CHECK(tkws_learner_step(&k->learner, features) == TKWS_OK);
    }
    CHECK(tkws_learner_end(&k->learner) == TKWS_OK);
}

/* The least or the most that the parser accepts in a field, given the others. */
static uint32_t end_of(const tkws_model_header *header, size_t field, bool is_most)
{
    uint32_t fields[N_FIELDS];
    tkws_model_header h;
    memcpy(fields, header, sizeof fields);
    uint32_t good = fields[field];
    uint64_t step = UINT64_C(1) << 31;
    for (; step > 0; step /= 2) {
        if (is_most ? step > UINT32_MAX - good : step > good)
            continue;
        fields[field] = (uint32_t)(is_most ? good + step : good - step);
        memcpy(&h, fields, sizeof h);
        if (tkws_model_image_bytes(&h) > 0)
            good = fields[field];
    }
    return good;
}

static void go_to_end(tkws_model_header *header, size_t field, bool is_most)
{
    uint32_t fields[N_FIELDS];
    memcpy(fields, header, sizeof fields);
    fields[field] = end_of(header, field, is_most);
    memcpy(header, fields, sizeof fields);
}

/* Section trac at its ends. */
static void go_to_ends(tkws_trace_form *form, const bool is_most[N_TRACES])
{
    form->rank = is_most[0] ? TKWS_MAX_RANK : 1;
    form->along_q = is_most[1] ? 15 : 7;
    form->weight_q10 = is_most[2] ? UINT16_MAX : 0;
    form->floor_q15 = is_most[3] ? FULL : 0;
}

/* Section ownw at one end. */
static void go_to_end_of_own(tkws_own_form *form, bool is_most)
{
    int16_t share = is_most ? FULL : 0;
    form->n_words = is_most ? TKWS_MAX_OWN : 1;
    form->least_q15 = share;
    form->agreement_q15 = share;
    form->single_q15 = share;
    form->rival_q15 = share;
}

/* A model of few neurons: each number, and all of each array, at the one end or the other. */
static void try_corner(const bool is_most[N_CHOICES])
{
    static const uint8_t kinds[] = {MAKER_HIGHEST, MAKER_LOWEST, MAKER_EXTREMES};
    tkws_model_header header;
    maker_content content = {.first = 0, .n_extra = 0};
    corner k;
    maker_known_header(0, &header);
    for (size_t field = 0; field < N_FIELDS; field++)
        go_to_end(&header, field, is_most[field]);
    header.n_neurons = header.n_neurons < FEW ? header.n_neurons : FEW;
    header.n_latent = header.n_latent < FEW ? header.n_latent : FEW;
    header.n_sequences = header.n_sequences < FEW ? header.n_sequences : FEW;
    header.sequence_steps = header.sequence_steps < FEW ? header.sequence_steps : FEW;
    for (size_t i = 0; i < MAKER_PARTS; i++)
        content.parts[i].kind = is_most[N_FIELDS + i] ? MAKER_HIGHEST : MAKER_LOWEST;
    const bool *of_traces = is_most + N_FIELDS + MAKER_PARTS;
    go_to_ends(&content.traces, of_traces);
    go_to_end_of_own(&content.own, of_traces[5]);
    const bool *of_convolution = of_traces + N_TRACES;
    if (of_convolution[0]) /* the largest patch */
        content.convolution = maker_shape(0, of_convolution[1] ? 15 : 4);
    make(&k, &header, &content);
    for (size_t i = 0; i < sizeof kinds; i++) {
        compare(&k, i == 0 ? UINT8_MAX / 2 : of_traces[4] ? UINT8_MAX : 0);
        hear(&k, kinds[i], FEW_STEPS);
        learn(&k, kinds[i], (uint32_t)i, FEW_STEPS);
        teach(&k, kinds[i], FEW_STEPS);
    }
    discard(&k);
}

/* All at one end, all but one, and any at either end. */
static void try_all_corners(void)
{
    bool is_most[N_CHOICES];
    tkws_rng rng;
    tkws_rng_seed(&rng, 1);
    for (unsigned end = 0; end < 2; end++) {
        for (size_t i = 0; i < N_CHOICES; i++)
            is_most[i] = end != 0;
        try_corner(is_most);
        for (size_t i = 0; i < N_CHOICES; i++) {
            is_most[i] = end == 0;
            try_corner(is_most);
            is_most[i] = end != 0;
        }
    }
    for (size_t n = 0; n < RANDOM_CORNERS; n++) {
        for (size_t i = 0; i < N_CHOICES; i++)
            is_most[i] = tkws_rng_below(&rng, 2) != 0;
        try_corner(is_most);
    }
}

/* All learning at the most that the parser accepts, nothing else but zeros. */
static void make_eager(tkws_model_header *header, maker_content *content)
{
    maker_known_header(1, header);
    for (size_t field = 0; field < N_FIELDS; field++)
        if (field >= FIELD(contrast_gain_q8) && field <= FIELD(rate_readout_bias))
            go_to_end(header, field, true);
    header->trace_decay_q15 = 0; /* traces follow at once */
    for (size_t i = 0; i < MAKER_PARTS; i++)
        content->parts[i] = (maker_pattern){MAKER_ZERO, 0};
    content->first = 0;
    content->n_extra = 0;
    go_to_end_of_own(&content->own, true);
    go_to_ends(&content->traces, (const bool[N_TRACES]){true, false, true, false, false, false});
}

/* A model whose neurons fire in every step, with readout and recurrent weights all at one end: the window's
 * sum and the recurrent current are at their largest. */
static void try_large(uint32_t n_neurons, uint32_t window_steps, uint8_t end)
{
    tkws_model_header header;
    maker_content content;
    corner k;
    make_eager(&header, &content);
    header.n_neurons = n_neurons;
    header.window_steps = window_steps;
    header.threshold = 1;
    header.membrane_q = 14;
    header.weight_q = 10; /* not shifted, as recurrent ones: inputs outweigh everything */
    header.recurrent_q = 14;
    for (size_t i = 0; i < MAKER_PARTS; i++)
        content.parts[i].kind = MAKER_HIGHEST;
    content.parts[MAKER_READOUT].kind = end;
    content.parts[MAKER_READOUT_BIAS].kind = end;
    content.parts[MAKER_RECURRENT].kind = end;
    content.parts[MAKER_ALONG].kind = end;
    make(&k, &header, &content);
    compare(&k, end == MAKER_HIGHEST ? UINT8_MAX : 0);
    hear(&k, MAKER_HIGHEST, window_steps + 2);
    learn(&k, MAKER_HIGHEST, 0, 2);
    discard(&k);
}

/* The longest window that the parser accepts for so many neurons; 0 for too many. */
static uint32_t longest_window(uint32_t n_neurons)
{
    tkws_model_header header;
    maker_known_header(0, &header);
    header.n_neurons = n_neurons;
    header.window_steps = 1;
    if (tkws_model_image_bytes(&header) == 0)
        return 0;
    return end_of(&header, FIELD(window_steps), true);
}

static void try_all_large(void)
{
    uint32_t most = 0;
    uint32_t largest = 1;
    for (uint32_t n = 1; longest_window(n) > 0; n++) {
        if (n * longest_window(n) > largest * longest_window(largest))
            largest = n;
        most = n;
    }
    const uint32_t sizes[] = {1, largest, most};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        try_large(sizes[i], longest_window(sizes[i]), MAKER_HIGHEST);
        try_large(sizes[i], longest_window(sizes[i]), MAKER_LOWEST);
    }
}

/* One number of the target matrix. */
static void set_target(const corner *k, size_t word, size_t neuron, int16_t value)
{
    size_t at = (size_t)(k->model.target - k->model.image) +
                2 * (word * k->model.header.n_neurons + neuron);
    uint8_t *number = (uint8_t *)k->memory[0] + at;
    number[0] = (uint8_t)((uint16_t)value & 0xffu);
    number[1] = (uint8_t)((uint16_t)value >> 8);
}

/* The fastest learning: the first neuron is at its threshold, and only the bank of the word drives it; all
 * else that was heard is another word's. */
static void try_fast_learning(uint8_t taps)
{
    tkws_model_header header;
    maker_content content;
    corner k;
    make_eager(&header, &content);
    content.parts[MAKER_TAPS].kind = taps;
    content.parts[MAKER_BIAS].kind = MAKER_HIGHEST;
    make(&k, &header, &content);
    k.weights.bias[0] = (int16_t)header.threshold;
    set_target(&k, 0, 0, FULL);
    for (size_t neuron = 1; neuron < header.n_neurons; neuron++)
        set_target(&k, 1, neuron, FULL);
    learn(&k, MAKER_HIGHEST, 0, 1);
    discard(&k);
}

static void listen(tkws_frontend *frontend, const int16_t *pcm, size_t n)
{
    int8_t features[TKWS_FEATURES];
    tkws_frontend_reset(frontend);
    while (n > 0) {
        size_t n_used = 0;
        (void)tkws_frontend_push(frontend, pcm, n, &n_used, features);
        pcm += n_used;
        n -= n_used;
    }
}

/* Square waves of the frequency of every bin, which are what gives the most of it, loud and faint. */
static void try_sounds(tkws_frontend *frontend)
{
    static const int16_t levels[] = {FULL, 255, 1};
    int16_t pcm[TKWS_WINDOW + TKWS_HOP];
    const size_t n = sizeof pcm / sizeof pcm[0];
    for (size_t bin = 0; bin <= TKWS_FFT / 2; bin++)
        for (size_t level = 0; level < sizeof levels / sizeof levels[0]; level++)
            for (size_t turn = 0; turn < TKWS_FFT; turn += TKWS_FFT / 4) {
                for (size_t i = 0; i < n; i++) {
                    bool up = (i * bin + turn) % TKWS_FFT < TKWS_FFT / 2;
                    pcm[i] = (int16_t)(up ? levels[level] : -levels[level] - 1);
                }
                listen(frontend, pcm, n);
            }
    for (uint32_t seed = 0; seed < RANDOM_SOUNDS; seed++) {
        maker_fill16(pcm, n, (maker_pattern){MAKER_EXTREMES, seed});
        listen(frontend, pcm, n);
    }
}

static void try_energies(tkws_frontend *frontend)
{
    static const uint64_t energies[] = {0, 1, INT64_MAX};
    uint64_t energy[TKWS_CHANNELS];
    int8_t features[TKWS_CHANNELS];
    for (size_t first = 0; first < 3; first++)
        for (size_t second = 0; second < 3; second++) {
            tkws_frontend_reset(frontend);
            for (size_t c = 0; c < TKWS_CHANNELS; c++)
                energy[c] = energies[first];
            tkws_frontend_normalise(frontend, energy, features);
            for (size_t c = 0; c < TKWS_CHANNELS; c++)
                energy[c] = energies[second];
            tkws_frontend_normalise(frontend, energy, features);
        }
}

static void try_frontends(void)
{
    tkws_frontend frontend;
    for (unsigned ends = 0; ends < 8; ends++) {
        CHECK(tkws_frontend_init(&frontend, (ends & 1u) != 0 ? FULL : 0, (ends & 2u) != 0 ? 12 : 1,
                                 1, (ends & 4u) != 0 ? UINT32_MAX : 1) == TKWS_OK);
        try_energies(&frontend);
    }
    try_sounds(&frontend);
}

int main(void)
{
    try_all_corners();
    try_all_large();
    try_fast_learning(MAKER_HIGHEST);
    try_fast_learning(MAKER_LOWEST);
    try_frontends();
    print_seen();
    return 0;
}
