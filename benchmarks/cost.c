/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the instructions of the core's parts over sounds, on an emulated processor. In the place of the
 * firmware's main.c; host/tracekws/bench/cost.py builds it, and puts the sounds into cost.pcm: COST_SOUNDS, one
 * behind the other. The second half of each is counted; in the first the parts get to what is usual: full
 * windows, running means.
 *
 * A line a sound tells the frames and the network steps that were counted, and their instructions, a part at
 * a time. */
#include <string.h>

#include "app.h"
#include "bare.h"
#include "report.h"
#include "tracekws/errors.h"
#include "tracekws/own.h"

#ifndef COST_FRAMES
#define COST_FRAMES 100u /* counted: a second */
#endif
#define STEPS (COST_FRAMES / TKWS_STACK)
#define OVERLAP (TKWS_WINDOW - TKWS_HOP) /* behind it each hop completes a frame */
#define SOUND_SAMPLES (OVERLAP + 2u * COST_FRAMES * TKWS_HOP)
#define FULL_SCALE_Q15 32767u

__asm__(".section .rodata.cost_pcm, \"a\"\n"
        ".balign 4\n"
        ".global cost_pcm\n"
        "cost_pcm: .incbin \"cost.pcm\"\n"
        ".text\n");
extern const int16_t cost_pcm[];

static tkws_board board;
static tkws_app app;
static int8_t features[2 * STEPS][TKWS_FEATURES];
static int32_t loudness[2 * STEPS];
static uint32_t own; /* instructions of reading the counter */
static int error;    /* the first that there was */

#if defined(__riscv)

/* QEMU counts instructions with -icount shift=0. */
static uint32_t counter(void)
{
    uint32_t count;
    __asm__ volatile("csrr %0, minstret" : "=r"(count)::"memory");
    return count;
}

static void start_counter(void)
{
    __asm__ volatile("csrci mstatus, 8"); /* interrupts would be counted */
}

static uint32_t between(uint32_t first, uint32_t last)
{
    return last - first;
}

#else

/* TIMER0 of the MPS2, 25 MHz, counts down. With -icount shift=10 an instruction is 1,024 ns: 25.6 ticks. */
static volatile uint32_t *const timer = (volatile uint32_t *)0x40000000;

static uint32_t counter(void)
{
    return timer[1];
}

static void start_counter(void)
{
    __asm__ volatile("cpsid i"); /* interrupts would be counted */
    timer[2] = 0xffffffffu;
    timer[1] = 0xffffffffu;
    timer[0] = 1;
}

static uint32_t between(uint32_t first, uint32_t last)
{
    return (uint32_t)(((uint64_t)(first - last) * 10 + 128) / 256);
}

#endif

/* Instructions since `first`, without those of counting. */
static uint32_t since(uint32_t first)
{
    return between(first, counter()) - own;
}

static void check(int result)
{
    if (error == TKWS_OK)
        error = result;
}

/* A hop at a time, as an audio driver gives them. @return steps counted; the features of all are kept */
static uint32_t count_frontend(const int16_t *pcm, uint32_t *counted)
{
    tkws_frontend *frontend = &app.recognizer.frontend;
    uint32_t n_steps = 0;
    size_t used = 0;
    tkws_frontend_reset(frontend);
    (void)tkws_frontend_push(frontend, pcm, OVERLAP, &used, features[0]);
    pcm += OVERLAP;
    for (uint32_t frame = 0; frame < 2 * COST_FRAMES; frame++) {
        board_feed_watchdog();
        uint32_t first = counter();
        int step = tkws_frontend_push(frontend, pcm, TKWS_HOP, &used, features[frame / TKWS_STACK]);
        uint32_t count = since(first);
        loudness[frame / TKWS_STACK] = frontend->loudness;
        pcm += TKWS_HOP;
        if (frame < COST_FRAMES)
            continue;
        *counted += count;
        n_steps += step == 1;
    }
    return n_steps;
}

static void count_recognizer(uint32_t *network, uint32_t *detector)
{
    tkws_network_reset(&app.recognizer.network);
    tkws_detector_init(&app.recognizer.detector, &app.model);
    for (uint32_t step = 0; step < 2 * STEPS; step++) {
        int32_t scores[TKWS_MAX_CLASSES];
        tkws_event event;
        board_feed_watchdog();
        uint32_t first = counter();
        tkws_network_step(&app.recognizer.network, features[step]);
        tkws_network_scores(&app.recognizer.network, scores);
        uint32_t count = since(first);
        first = counter();
        (void)tkws_detector_step(&app.recognizer.detector, scores, loudness[step], &event);
        uint32_t detector_count = since(first);
        if (step < STEPS)
            continue;
        *network += count;
        *detector += detector_count;
    }
}

/* The second half as a take. The network's step is in each of its own. */
static void count_take(uint32_t method, const char *name, const char *end_name)
{
    uint32_t steps = 0;
    check(tkws_learner_begin(&app.learner, method, 0, FULL_SCALE_Q15));
    for (uint32_t step = STEPS; step < 2 * STEPS; step++) {
        board_feed_watchdog();
        uint32_t first = counter();
        int result = tkws_learner_step(&app.learner, features[step]);
        steps += since(first);
        check(result);
    }
    uint32_t first = counter();
    int result = tkws_learner_end(&app.learner);
    uint32_t end = since(first);
    check(result);
    report_number(&board, name, steps, 10);
    report_number(&board, end_name, end, 10);
}

/* Take the second half, and give every class its trace, or every word that there is room for. */
static void keep_takes(bool all)
{
    size_t row = tkws_model_take_bytes(&app.model);
    size_t n = all ? tkws_model_words(&app.model) : app.model.header.n_classes;
    for (size_t w = app.model.header.n_classes; w < tkws_model_words(&app.model); w++)
        tkws_own_forget(&app.model, &app.weights, w);
    for (size_t w = app.model.header.n_classes; w < n; w++) {
        char name = (char)('a' + (char)(w - app.model.header.n_classes));
        check(tkws_own_add(&app.model, &app.weights, &name, 1) == (int)w ? TKWS_OK : TKWS_E_STATE);
    }
    check(tkws_learner_begin(&app.learner, TKWS_LEARN_TAKES, 0, 0));
    for (uint32_t step = STEPS; step < 2 * STEPS; step++)
        check(tkws_learner_step(&app.learner, features[step]));
    check(tkws_learner_end(&app.learner));
    for (size_t c = 1; c < n; c++)
        memcpy(app.weights.takes + c * row, app.weights.takes, row);
}

/* Templates of all classes, or of words of the user's own, too: made once, then compared in each step of the second
 * half; zeros where the image keeps no takes. */
static void count_templates(bool all, const char *name, const char *made_name)
{
    uint32_t steps = 0;
    uint32_t made = 0;
    bool keeps = app.model.traces.rank > 0;
    if (keeps) {
        keep_takes(all);
        size_t n_bytes = tkws_templates_memory_bytes(&app.model);
        uint32_t first = counter();
        int result = tkws_templates_init(&app.templates, &app.model, &app.weights,
                                         app.learner_memory, n_bytes);
        made = since(first);
        check(result);
    }
    for (uint32_t step = 0; keeps && step < 2 * STEPS; step++) {
        int32_t scores[TKWS_MAX_CLASSES] = {0};
        int32_t cosine = 0;
        board_feed_watchdog();
        tkws_network_step(&app.recognizer.network, features[step]);
        uint32_t first = counter();
        tkws_templates_step(&app.templates, &app.recognizer.network);
        tkws_templates_add(&app.templates, scores);
        if (app.templates.has_own)
            (void)tkws_templates_own(&app.templates, 0, &cosine);
        uint32_t count = since(first);
        steps += step < STEPS ? 0 : count;
    }
    report_number(&board, name, steps, 10);
    report_number(&board, made_name, made, 10);
}

static void measure(const int16_t *pcm)
{
    uint32_t front_end = 0;
    uint32_t network = 0;
    uint32_t detector = 0;
    uint32_t n_steps = count_frontend(pcm, &front_end);
    count_recognizer(&network, &detector);
    report_text(&board, "sound");
    report_number(&board, "frames", COST_FRAMES, 10);
    report_number(&board, "steps", n_steps, 10);
    report_number(&board, "front_end", front_end, 10);
    report_number(&board, "network", network, 10);
    report_number(&board, "detector", detector, 10);
    count_take(app.model.header.method, "learning", "learning_end");
    count_take(TKWS_LEARN_READOUT | TKWS_LEARN_TRACES, "traces", "traces_end");
    count_templates(false, "templates", "templates_made");
    count_templates(true, "own_words", "own_words_made");
    report_number(&board, "failed", (uint32_t)-error, 10);
    report_text(&board, "\n");
}

/* A loop of two instructions, n times. */
__attribute__((noinline)) static uint32_t loop(uint32_t n)
{
    uint32_t first = counter();
#if defined(__riscv)
    __asm__ volatile("1: addi %0, %0, -1\nbnez %0, 1b\n" : "+r"(n));
#else
    __asm__ volatile(".syntax unified\n1: subs %0, %0, #1\nbne 1b\n" : "+l"(n)::"cc");
#endif
    return since(first);
}

int main(void)
{
    board_start(&board);
    board.image = tkws_image_start;
    board.image_bytes = (size_t)(tkws_image_end - tkws_image_start);
    start_counter();
    uint32_t first = counter();
    own = between(first, counter());
    check(tkws_app_init(&app, &board));
    if (error == TKWS_OK)
        check(tkws_learner_init(&app.learner, &app.recognizer.network, app.learner_memory,
                                tkws_learner_memory_bytes(&app.model), 1));
    report_text(&board, "known");
    report_number(&board, "loop", loop(2000) - loop(1000), 10); /* 2,000 if the counter is right */
    report_number(&board, "failed", (uint32_t)-error, 10);
    report_text(&board, "\n");
    for (uint32_t i = 0; error == TKWS_OK && i < COST_SOUNDS; i++)
        measure(cost_pcm + (size_t)i * SOUND_SAMPLES);
    report_text(&board, "end\n");
    return 0;
}
