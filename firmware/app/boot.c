/* SPDX-License-Identifier: Apache-2.0 */
/* The start: where an image's weights and states go in the board's memories, and which image runs. */
#include "app_internal.h"
#include "generation.h"
#include "tracekws/errors.h"

/* What is laid out in the board's memories: the five matrices, the takes, the network, the learner. */
#define N_ARRAYS 8

static bool place(const tkws_board *board, size_t *used, size_t n_bytes, void **at)
{
    size_t n = (n_bytes + 3) / 4 * 4;
    for (size_t m = 0; m < board->n_memories; m++) {
        if (board->memory[m].n_bytes - used[m] < n)
            continue;
        *at = (uint8_t *)board->memory[m].start + used[m];
        used[m] += n;
        return true;
    }
    return false;
}

/* The learner's memory, which is the templates' while the device hears, and the ring of a recording. */
static size_t learner_bytes(const tkws_board *board, const tkws_model *model)
{
    size_t n_bytes = tkws_learner_memory_bytes(model);
    size_t template_bytes = tkws_templates_memory_bytes(model);
    size_t ring_bytes = TKWS_APP_RING_SAMPLES * sizeof(int16_t);
    n_bytes = n_bytes < template_bytes ? template_bytes : n_bytes;
    return board->microphone_start != NULL && n_bytes < ring_bytes ? ring_bytes : n_bytes;
}

/* Where each array of a model goes. @return TKWS_OK, or TKWS_E_MODEL_TOO_LARGE */
static int lay_out(const tkws_board *board, const tkws_model *model, void *at[N_ARRAYS])
{
    tkws_weight_counts n = tkws_model_weight_counts(model);
    const size_t bytes[N_ARRAYS] = {2 * n.recurrent,
                                    2 * n.weights,
                                    2 * n.readout,
                                    2 * n.bias,
                                    2 * n.readout_bias,
                                    tkws_model_takes_bytes(model),
                                    tkws_network_memory_bytes(model),
                                    learner_bytes(board, model)};
    size_t used[TKWS_BOARD_MEMORIES] = {0};
    for (size_t i = 0; i < N_ARRAYS; i++)
        if (!place(board, used, bytes[i], &at[i]))
            return TKWS_E_MODEL_TOO_LARGE;
    return TKWS_OK;
}

int tkws_app_check_image(const tkws_board *board, const uint8_t *image, size_t n_bytes)
{
    void *at[N_ARRAYS] = {NULL};
    tkws_model model;
    int error = tkws_model_parse(&model, image, n_bytes);
    return error == TKWS_OK ? lay_out(board, &model, at) : error;
}

static int start_image(tkws_app *app, const tkws_app_image *image)
{
    void *at[N_ARRAYS] = {NULL};
    int error = tkws_model_parse(&app->model, image->bytes, image->n_bytes);
    if (error == TKWS_OK)
        error = lay_out(app->board, &app->model, at);
    if (error != TKWS_OK)
        return error;
    app->weights.recurrent = at[0];
    app->weights.weights = at[1];
    app->weights.readout = at[2];
    app->weights.bias = at[3];
    app->weights.readout_bias = at[4];
    app->weights.takes = at[5];
    app->learner_memory = at[7];
    app->ring.pcm = at[7];
    app->ring.n_samples = learner_bytes(app->board, &app->model) / sizeof(int16_t);
    error = tkws_recognizer_init(&app->recognizer, &app->model, &app->weights, at[6],
                                 tkws_network_memory_bytes(&app->model));
    if (error == TKWS_OK)
        tkws_app_storage_init(&app->storage, app->board, &app->model, &app->weights);
    return error;
}

void tkws_app_start(tkws_app *app)
{
    tkws_app_image found[TKWS_APP_AREAS + 1];
    size_t n_found = 0;
    app->model_error = TKWS_E_NO_MODEL;
    app->image.area = TKWS_APP_FACTORY;
    app->image.generation = 0;
    app->session = TKWS_APP_IDLE;
    app->changed = false;
    for (uint8_t area = 0; area <= TKWS_APP_FACTORY; area++)
        if (tkws_app_image_find(app->board, area, &found[n_found]))
            n_found++;
    if (n_found > 1 && found[1].area != TKWS_APP_FACTORY &&
        generation_is_newer(found[1].generation, found[0].generation)) {
        tkws_app_image newer = found[1];
        found[1] = found[0];
        found[0] = newer;
    }
    for (size_t i = 0; app->model_error != TKWS_OK && i < n_found; i++) {
        app->model_error = start_image(app, &found[i]);
        if (app->model_error == TKWS_OK)
            app->image = found[i];
    }
}
