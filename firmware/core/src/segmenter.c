/* SPDX-License-Identifier: Apache-2.0 */
#include "tracekws/segmenter.h"

#include <string.h>

void tkws_segmenter_init(tkws_segmenter *segmenter)
{
    memset(segmenter, 0, sizeof *segmenter);
    segmenter->quiet = UINT16_MAX;
}

static void follow(tkws_segmenter *s, int32_t loudness)
{
    if (!s->has_floor)
        s->floor = loudness;
    s->has_floor = true;
    if (loudness < s->floor)
        s->floor -= (s->floor - loudness) * TKWS_FLOOR_FALL_Q8 / 256;
    else if (loudness - s->floor < TKWS_FLOOR_RISE)
        s->floor = loudness;
    else
        s->floor += TKWS_FLOOR_RISE;
}

static bool is_speech(tkws_segmenter *s, int32_t loudness)
{
    if (loudness > s->floor + TKWS_SPEECH_ABOVE) {
        s->hang = TKWS_SPEECH_HANG;
        return true;
    }
    if (s->hang == 0)
        return false;
    s->hang--;
    return true;
}

static void count(uint16_t *steps)
{
    if (*steps < UINT16_MAX)
        ++*steps;
}

void tkws_segmenter_step(tkws_segmenter *segmenter, int32_t loudness)
{
    if (loudness < TKWS_FLOOR_LEAST)
        loudness = TKWS_FLOOR_LEAST;
    follow(segmenter, loudness);
    if (!is_speech(segmenter, loudness)) {
        count(&segmenter->quiet);
        return;
    }
    if (segmenter->quiet > 0) {
        segmenter->before = segmenter->quiet;
        segmenter->run = 0;
        segmenter->quiet = 0;
    }
    count(&segmenter->run);
}

bool tkws_segmenter_ended(const tkws_segmenter *segmenter)
{
    return segmenter->run > 0 && segmenter->quiet + TKWS_SPEECH_HANG == TKWS_PAUSE;
}

bool tkws_segmenter_stood_alone(const tkws_segmenter *segmenter)
{
    const tkws_segmenter *s = segmenter;
    const int hang = TKWS_SPEECH_HANG; /* these steps of a run were quiet */
    return s->run > 0 && s->quiet > 0 && s->run - hang <= TKWS_RUN_LONGEST &&
           s->before + hang >= TKWS_PAUSE && s->quiet + hang >= TKWS_PAUSE &&
           s->quiet <= TKWS_RUN_LATE;
}
