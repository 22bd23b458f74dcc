/* SPDX-License-Identifier: Apache-2.0 */
/* Learn a take of a word: learn MODEL WORD WEIGHTS < TAKE, int16 samples as for recognize.
 * WEIGHTS is a file: what was learned before is read from it, and what is learned then written to it. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tracekws/errors.h"
#include "tracekws/fx.h"
#include "tracekws/learner.h"
#include "tracekws/recognizer.h"

#define MAX_STEPS 100 /* of a take: two seconds */
#define SEED 1

static uint8_t image[192 * 1024];
static int16_t weights_memory[60 * 1024];
static int32_t network_memory[4 * 1024];
static int32_t learner_memory[4 * 1024];
static uint8_t saved[120 * 1024];
static int8_t take[MAX_STEPS][TKWS_FEATURES];
static tkws_recognizer recognizer;
static tkws_learner learner;

static size_t read_file(const char *path, uint8_t *bytes, size_t room)
{
    FILE *file = fopen(path, "rb");
    size_t n = file != NULL ? fread(bytes, 1, room, file) : 0;
    if (file != NULL)
        (void)fclose(file);
    return n;
}

static int write_file(const char *path, const uint8_t *bytes, size_t n_bytes)
{
    FILE *file = fopen(path, "wb");
    bool good = file != NULL && fwrite(bytes, 1, n_bytes, file) == n_bytes;
    if (file != NULL)
        good = fclose(file) == 0 && good;
    return good ? TKWS_OK : TKWS_E_STORAGE;
}

/* The take as features: learning goes over them several times. @return steps */
static size_t hear_take(void)
{
    size_t n_steps = 0;
    int16_t pcm[160];
    for (size_t n = 1; n > 0;) {
        n = fread(pcm, sizeof *pcm, 160, stdin);
        for (size_t at = 0, used = 0; at < n && n_steps < MAX_STEPS; at += used)
            if (tkws_frontend_push(&recognizer.frontend, pcm + at, n - at, &used, take[n_steps]) ==
                1)
                n_steps++;
    }
    return n_steps;
}

static int learn_once(uint32_t method, uint32_t word, uint32_t scale_q15, size_t n_steps)
{
    int error = tkws_learner_begin(&learner, method, word, scale_q15);
    for (size_t step = 0; error == TKWS_OK && step < n_steps; step++)
        error = tkws_learner_step(&learner, take[step]);
    return error == TKWS_OK ? tkws_learner_end(&learner) : error;
}

/* As often as the model says, each time with smaller steps. Then the take is kept, where the model keeps takes. */
static int learn_take(const tkws_model *model, uint32_t word, size_t n_steps)
{
    int error = TKWS_OK;
    uint32_t n = model->header.passes;
    for (uint32_t left = n; error == TKWS_OK && left > 0; left--)
        error = learn_once(model->header.method, word, (TKWS_Q15_ONE * left + n / 2) / n, n_steps);
    bool is_kept = model->traces.rank == 0 || (model->header.method & TKWS_LEARN_TAKES) != 0;
    return error == TKWS_OK && !is_kept ? learn_once(TKWS_LEARN_TAKES, word, 0, n_steps) : error;
}

int main(int argc, char **argv)
{
    tkws_model model;
    tkws_weights weights;
    if (argc != 4) {
        fputs("usage: learn MODEL WORD WEIGHTS < TAKE, raw samples\n", stderr);
        return 2;
    }
    int error = tkws_model_parse(&model, image, read_file(argv[1], image, sizeof image));
    if (error == TKWS_OK)
        error = tkws_weights_init(&weights, &model, weights_memory, sizeof weights_memory);
    if (error == TKWS_OK)
        error = tkws_recognizer_init(&recognizer, &model, &weights, network_memory,
                                     sizeof network_memory);
    if (error == TKWS_OK)
        error = tkws_learner_init(&learner, &recognizer.network, learner_memory,
                                  sizeof learner_memory, SEED);
    if (error != TKWS_OK)
        return 1;
    size_t n_bytes = tkws_model_trainable_bytes(&model);
    if (read_file(argv[3], saved, sizeof saved) == n_bytes)
        error = tkws_weights_write(&model, &weights, 0, saved, n_bytes);
    int word = tkws_model_class(&model, argv[2], strlen(argv[2]));
    if (error == TKWS_OK)
        error = word < 0 ? word : learn_take(&model, (uint32_t)word, hear_take());
    if (error == TKWS_OK)
        error = tkws_weights_read(&model, &weights, 0, saved, n_bytes);
    if (error == TKWS_OK)
        error = write_file(argv[3], saved, n_bytes);
    if (error == TKWS_OK)
        (void)printf("learned %s\n", argv[2]);
    return error == TKWS_OK ? 0 : 1;
}
