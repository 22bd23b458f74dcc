/* SPDX-License-Identifier: Apache-2.0 */
/* Hear words: recognize MODEL < SOUND, int16 samples, little endian, 16 kHz, mono. */
#include <stdio.h>

#include "tracekws/errors.h"
#include "tracekws/recognizer.h"

/* All memory is the caller's. On a microcontroller the image is const, in flash. */
static uint8_t image[192 * 1024];
static int16_t weights_memory[60 * 1024];
static int32_t network_memory[4 * 1024];
static tkws_recognizer recognizer;

int main(int argc, char **argv)
{
    tkws_model model;
    tkws_weights weights;
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL) {
        fputs("usage: recognize MODEL < SOUND, raw samples\n", stderr);
        return 2;
    }
    int error = tkws_model_parse(&model, image, fread(image, 1, sizeof image, file));
    if (error == TKWS_OK)
        error = tkws_weights_init(&weights, &model, weights_memory, sizeof weights_memory);
    if (error == TKWS_OK)
        error = tkws_recognizer_init(&recognizer, &model, &weights, network_memory,
                                     sizeof network_memory);
    int16_t pcm[160];
    for (size_t n = 1; error == TKWS_OK && n > 0;) {
        n = fread(pcm, sizeof *pcm, 160, stdin);
        tkws_event event;
        for (size_t at = 0, used = 0; at < n; at += used)
            if (tkws_recognizer_push(&recognizer, pcm + at, n - at, &used, &event) == 1)
                printf("%s %.3f s\n", tkws_model_label(&model, event.word),
                       (double)event.end_sample / TKWS_SAMPLE_RATE);
    }
    (void)fclose(file);
    return error == TKWS_OK ? 0 : 1;
}
