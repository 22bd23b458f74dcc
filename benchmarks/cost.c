/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the instructions of the core's parts over sounds, on an emulated processor. In the place of the
 * firmware's main.c; host/tracekws/cost.py builds it, and puts the sounds into cost.pcm: so many of the same
 * length, one behind the other.
 *
 * A line a sound tells the network steps and the instructions of all of them, a part at a time. */
#include "app.h"
#include "bare.h"
#include "report.h"
#include "tracekws/errors.h"

#define MAX_STEPS 150u
#define LEARN_STEPS 50u
#define FULL_SCALE_Q15 32767u

__asm__(".section .rodata.cost_pcm, \"a\"\n"
        ".balign 4\n"
        ".global cost_pcm\n"
        "cost_pcm: .incbin \"cost.pcm\"\n"
        ".text\n");
extern const int16_t cost_pcm[];

static tkws_board board;
static tkws_app app;
static int8_t features[MAX_STEPS][TKWS_FEATURES];
static uint32_t own; /* instructions of reading the counter */

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

/* A frame at a time, as an audio driver gives them. @return network steps, their features in `features` */
static uint32_t count_frontend(const int16_t *pcm, uint32_t n_samples, uint32_t *total)
{
    uint32_t n_steps = 0;
    tkws_frontend_reset(&app.recognizer.frontend);
    for (uint32_t at = 0; at + TKWS_HOP <= n_samples && n_steps < MAX_STEPS; at += TKWS_HOP) {
        size_t used = 0;
        board_feed_watchdog();
        uint32_t first = counter();
        int step = tkws_frontend_push(&app.recognizer.frontend, pcm + at, TKWS_HOP, &used,
                                      features[n_steps]);
        *total += since(first);
        n_steps += step != 0;
    }
    return n_steps;
}

static void count_recognizer(uint32_t n_steps, uint32_t *network, uint32_t *detector)
{
    tkws_network_reset(&app.recognizer.network);
    tkws_detector_init(&app.recognizer.detector, &app.model);
    for (uint32_t i = 0; i < n_steps; i++) {
        int32_t scores[TKWS_MAX_CLASSES];
        tkws_event event;
        board_feed_watchdog();
        uint32_t first = counter();
        tkws_network_step(&app.recognizer.network, features[i]);
        tkws_network_scores(&app.recognizer.network, scores);
        *network += since(first);
        first = counter();
        (void)tkws_detector_step(&app.recognizer.detector, scores, &event);
        *detector += since(first);
    }
}

/* A take of a second; the network's step is in each of its own. */
static void count_learning(uint32_t method, uint32_t *steps, uint32_t *end)
{
    *steps = 0;
    (void)tkws_learner_begin(&app.learner, method, 0, FULL_SCALE_Q15);
    for (uint32_t i = 0; i < LEARN_STEPS; i++) {
        board_feed_watchdog();
        uint32_t first = counter();
        (void)tkws_learner_step(&app.learner, features[i]);
        *steps += since(first);
    }
    uint32_t first = counter();
    (void)tkws_learner_end(&app.learner);
    *end = since(first);
}

static void measure(const int16_t *pcm)
{
    uint32_t front_end = 0;
    uint32_t network = 0;
    uint32_t detector = 0;
    uint32_t learning = 0;
    uint32_t end = 0;
    uint32_t n_steps = count_frontend(pcm, COST_SAMPLES, &front_end);
    count_recognizer(n_steps, &network, &detector);
    report_text(&board, "sound");
    report_number(&board, "steps", n_steps, 10);
    report_number(&board, "front_end", front_end, 10);
    report_number(&board, "network", network, 10);
    report_number(&board, "detector", detector, 10);
    count_learning(app.model.header.method, &learning, &end);
    report_number(&board, "learn_steps", LEARN_STEPS, 10);
    report_number(&board, "learn", learning, 10);
    report_number(&board, "learn_end", end, 10);
    count_learning(TKWS_LEARN_READOUT | TKWS_LEARN_TRACES, &learning, &end);
    report_number(&board, "traces", learning, 10);
    report_number(&board, "traces_end", end, 10);
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
    int error = tkws_app_init(&app, &board);
    if (error == TKWS_OK)
        error = tkws_learner_init(&app.learner, &app.recognizer.network, app.learner_memory,
                                  tkws_learner_memory_bytes(&app.model), 1);
    report_text(&board, "known");
    report_number(&board, "loop", loop(2000) - loop(1000), 10); /* 2,000 if the counter is right */
    report_number(&board, "failed", (uint32_t)-error, 10);
    report_text(&board, "\n");
    for (uint32_t i = 0; error == TKWS_OK && i < COST_SOUNDS; i++)
        measure(cost_pcm + i * COST_SAMPLES);
    report_text(&board, "end\n");
    return 0;
}
