/* SPDX-License-Identifier: Apache-2.0 */
/* Runs one part of the core over a signal inside measure(), where callgrind counts.
 *
 * Usage: instructions PART IMAGE PCM    PART: frontend network detector learn_step learn_end
 * Prints the network steps that measure() ran over, and the share of neurons that fired. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tracekws/learner.h"
#include "tracekws/recognizer.h"

#define MAX_STEPS 1000

static tkws_model model;
static tkws_frontend frontend;
static tkws_network network;
static tkws_detector detector;
static tkws_learner learner;
static int8_t features[MAX_STEPS][TKWS_FEATURES];
static int32_t loudness[MAX_STEPS];
static int32_t scores[MAX_STEPS][TKWS_MAX_CLASSES];

static void *allocate(size_t n_bytes)
{
    void *memory = calloc(1, n_bytes);
    if (memory == NULL)
        exit(1);
    return memory;
}

static uint8_t *read_file(const char *path, size_t *n_bytes)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    *n_bytes = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = allocate(*n_bytes);
    if (fread(bytes, 1, *n_bytes, file) != *n_bytes)
        exit(1);
    fclose(file);
    return bytes;
}

static size_t run_frontend(const int16_t *pcm, size_t n_samples)
{
    size_t n_steps = 0;
    size_t n_consumed = 0;
    while (n_steps < MAX_STEPS &&
           tkws_frontend_push(&frontend, pcm, n_samples, &n_consumed, features[n_steps]) == 1) {
        loudness[n_steps] = frontend.loudness;
        n_steps++;
        pcm += n_consumed;
        n_samples -= n_consumed;
    }
    return n_steps;
}

static void run_network(size_t n_steps)
{
    for (size_t t = 0; t < n_steps; t++) {
        tkws_network_step(&network, features[t]);
        tkws_network_scores(&network, scores[t]);
    }
}

static void run_detector(size_t n_steps)
{
    tkws_event event;
    for (size_t t = 0; t < n_steps; t++)
        (void)tkws_detector_step(&detector, scores[t], loudness[t], &event);
}

static void run_learner(size_t n_steps)
{
    for (size_t t = 0; t < n_steps; t++)
        (void)tkws_learner_step(&learner, features[t]);
}

/* Callgrind counts in here only. */
__attribute__((noinline)) static size_t measure(const char *part, const int16_t *pcm,
                                                size_t n_samples, size_t n_steps)
{
    if (part[0] == 'f')
        return run_frontend(pcm, n_samples);
    if (part[0] == 'n')
        run_network(n_steps);
    else if (part[0] == 'd')
        run_detector(n_steps);
    else if (strcmp(part, "learn_step") == 0)
        run_learner(n_steps);
    else
        (void)tkws_learner_end(&learner);
    return n_steps;
}

static double share_that_fires(size_t n_steps)
{
    size_t n_fired = 0;
    tkws_network_reset(&network);
    for (size_t t = 0; t < n_steps; t++) {
        tkws_network_step(&network, features[t]);
        n_fired += network.n_spikes;
    }
    return (double)n_fired / (double)(n_steps * model.header.n_neurons);
}

static void start(const uint8_t *image, size_t n_bytes)
{
    if (tkws_model_parse(&model, image, n_bytes) != 0) {
        fprintf(stderr, "not a model image\n");
        exit(1);
    }
    tkws_weight_counts n = tkws_model_weight_counts(&model);
    tkws_weights weights = {allocate(2 * n.weights),      allocate(2 * n.recurrent),
                            allocate(2 * n.bias),         allocate(2 * n.readout),
                            allocate(2 * n.readout_bias), allocate(tkws_model_takes_bytes(&model))};
    tkws_weights_load(&model, &weights);
    size_t network_bytes = tkws_network_memory_bytes(&model);
    size_t learner_bytes = tkws_learner_memory_bytes(&model);
    (void)tkws_network_init(&network, &model, &weights, allocate(network_bytes), network_bytes);
    (void)tkws_learner_init(&learner, &network, allocate(learner_bytes), learner_bytes, 1);
    tkws_detector_init(&detector, &model);
    (void)tkws_frontend_init(&frontend, (int16_t)model.header.alpha_q15, model.header.mean_shift,
                             model.header.fall_shift, model.header.energy_floor);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    size_t image_bytes = 0;
    size_t pcm_bytes = 0;
    uint8_t *image = read_file(argv[2], &image_bytes);
    int16_t *pcm = (void *)read_file(argv[3], &pcm_bytes);
    const char *part = argv[1];
    start(image, image_bytes);
    size_t n_steps = 0;
    if (part[0] != 'f') {
        n_steps = run_frontend(pcm, pcm_bytes / 2);
        if (part[0] == 'd')
            run_network(n_steps);
        if (part[0] == 'l')
            (void)tkws_learner_begin(&learner, model.header.method, 0, 32767);
        if (strcmp(part, "learn_end") == 0)
            run_learner(n_steps);
    }
    n_steps = measure(part, pcm, pcm_bytes / 2, n_steps);
    printf("%zu %.4f\n", n_steps, share_that_fires(n_steps));
    return 0;
}
