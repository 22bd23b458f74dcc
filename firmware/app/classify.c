/* SPDX-License-Identifier: Apache-2.0 */
/* Classifying: one clip that comes over the line, and its scores. */
#include "app_internal.h"
#include "tracekws/bytes.h"
#include "tracekws/errors.h"

int tkws_app_classify(tkws_app *app, const uint8_t *body, size_t n_body)
{
    (void)body;
    (void)n_body;
    return tkws_app_open_line(app, TKWS_APP_CLASSIFYING);
}

int tkws_app_classify_data(tkws_app *app, uint32_t number, const uint8_t *data, size_t n_bytes)
{
    (void)number;
    int8_t features[TKWS_FEATURES];
    tkws_app_part part = {data, n_bytes};
    while (tkws_app_next_step(app, &part, features)) {
        tkws_recognizer_step(&app->recognizer, features);
        app->n_steps++;
    }
    return TKWS_OK;
}

int tkws_app_classify_end(tkws_app *app)
{
    int32_t scores[TKWS_MAX_CLASSES];
    size_t n_classes = app->model.header.n_classes;
    if (app->n_steps == 0)
        return TKWS_E_TOO_SHORT;
    tkws_recognizer_scores(&app->recognizer, scores);
    size_t best = 0;
    for (size_t c = 1; c < n_classes; c++)
        best = scores[c] > scores[best] ? c : best;
    tkws_bytes_put_u16(tkws_app_reply(app, 2), (uint32_t)best);
    for (size_t c = 0; c < n_classes; c++)
        tkws_bytes_put_u32(tkws_app_reply(app, 4), (uint32_t)scores[c]);
    return TKWS_OK;
}
