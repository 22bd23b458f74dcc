/* SPDX-License-Identifier: Apache-2.0 */
/* An I2S microphone (INMP441, ICS-43434 and the like: 24 bits in slots of 32, L/R pin low), 16 kHz.
 *
 * A PIO state machine makes the clocks and shifts in the data; two DMA channels, each of which starts the
 * other, fill the halves of a buffer without end. The interrupt only counts halves.
 *
 * A sample is the microphone's 24-bit value divided by 16, saturated to int16: a gain of 24 dB over its full
 * scale. At the INMP441's -26 dB re full scale for 94 dB SPL, speech of 70 dB SPL then comes in at -26 dB.
 * A DC offset is left in: these microphones have none to speak of, and of a small one only the lowest mel
 * channel (from 60 Hz) hears something. The first quarter of a second may be silence: they start so. */
#include "parts.h"
#include "rp2040.h"
#include "tracekws/errors.h"
#include "tracekws/fx.h"

#define PIN_BIT_CLOCK 16u /* and word select on the next */
#define PIN_WORD_SELECT 17u
#define PIN_DATA 18u

/* Two instructions a bit, 64 bits a sample: 125 MHz / (16 kHz * 128) = 61 + 9/256 exactly. */
#define CLOCK_DIVIDER (61u << 16 | 9u << 8)

/* PIO instructions; sides are the levels of word select and bit clock while one runs. */
#define SIDE(word_select, bit_clock) ((word_select) << 12 | (bit_clock) << 11)
#define IN_PINS_1 0x4001u
#define NOP 0xa042u
#define JMP(to) (0x0000u | (to))
#define JMP_X_DEC(to) (0x0040u | (to))
#define SET_X(value) (0xe020u | (value))
#define SET_PIN_DIRECTIONS(outputs) (0xe080u | (outputs))

/* Data changes after the clock falls and is taken while it is high. The first bit of a slot comes one clock
 * after word select has changed, so what is shifted in is one bit of the right channel's end, then the left
 * channel's upper 31. */
#define PROGRAM_START 7u
#define PROGRAM_END 7u
static const uint16_t program[PROGRAM_END + 1] = {
    IN_PINS_1 | SIDE(0u, 1u),     /* left */
    JMP_X_DEC(0u) | SIDE(0u, 0u), /* 31 times */
    IN_PINS_1 | SIDE(0u, 1u),     /* the 32nd: the word goes to the FIFO */
    SET_X(30u) | SIDE(1u, 0u),    /* right, which is not taken */
    NOP | SIDE(1u, 1u),           JMP_X_DEC(4u) | SIDE(1u, 0u),
    NOP | SIDE(1u, 1u),           SET_X(30u) | SIDE(0u, 0u),
};
#define PIO_SM0_ENABLE (1u << 0)
#define PIO_SM0_RESTART (1u << 4)
#define PIO_SM0_CLKDIV_RESTART (1u << 8)
#define EXECCTRL (PROGRAM_END << 12) /* wraps to 0 */
#define SHIFTCTRL (1u << 16)         /* left, to the FIFO at 32 bits */
#define PINCTRL (2u << 29 | 2u << 26 | PIN_DATA << 15 | PIN_BIT_CLOCK << 10 | PIN_BIT_CLOCK << 5)

#define HALF_SAMPLES 512u /* 32 ms */
#define HALF_ADDRESS_BITS 11u
#define CHANNELS 3u /* DMA channel 0 fills half 0, 1 fills half 1 */
#define CTRL(channel)                                                                              \
    (DMA_ENABLE | DMA_WORDS | DMA_INCREMENT_WRITE | DMA_RING(HALF_ADDRESS_BITS) |                  \
     DMA_CHAIN_TO(1u - (channel)) | DMA_REQUEST(DREQ_PIO0_RX0))
#define PIO_FIFO 4u

__attribute__((section(".dma_buffers"),
               aligned(1u << HALF_ADDRESS_BITS))) static volatile uint32_t halves[2][HALF_SAMPLES];

static struct {
    bool running;
    volatile uint32_t n_filled; /* halves, since the start */
    volatile bool lost;         /* both were filled before the interrupt came */
    uint32_t n_emptied;         /* halves, since the start */
    uint32_t n_taken;           /* samples of the half that is being emptied */
} microphone;

void microphone_interrupt(void)
{
    uint32_t filled = dma[DMA_INTS0] & CHANNELS;
    dma[DMA_INTS0] = filled;
    if (filled == CHANNELS)
        microphone.lost = true;
    microphone.n_filled = microphone.n_filled + 1;
}

bool microphone_is_waiting(void)
{
    return microphone.running && (microphone.lost || microphone.n_filled != microphone.n_emptied);
}

static void start_dma(void)
{
    for (unsigned channel = 0; channel < 2; channel++) {
        dma[DMA_READ(channel)] = (uint32_t)(uintptr_t)&pio0[PIO_RXF0];
        dma[DMA_WRITE(channel)] = (uint32_t)(uintptr_t)halves[channel];
        dma[DMA_COUNT(channel)] = HALF_SAMPLES;
        dma[DMA_CTRL(channel)] = CTRL(channel);
    }
    dma[DMA_INTS0] = CHANNELS;
    dma[DMA_INTE0] = CHANNELS;
    nvic[NVIC_ENABLE] = 1u << IRQ_DMA_0;
    dma[DMA_CTRL_TRIG(0)] = CTRL(0);
}

static void start_pio(void)
{
    for (unsigned i = 0; i <= PROGRAM_END; i++)
        pio0[PIO_INSTR_MEM(i)] = program[i];
    for (unsigned i = 0; i < PIO_FIFO; i++)
        (void)pio0[PIO_RXF0];
    pio0[PIO_SM0_CLKDIV] = CLOCK_DIVIDER;
    pio0[PIO_SM0_EXECCTRL] = EXECCTRL;
    pio0[PIO_SM0_SHIFTCTRL] = SHIFTCTRL;
    pio0[PIO_SM0_PINCTRL] = PINCTRL;
    pio0[PIO_SM0_INSTR] = SET_PIN_DIRECTIONS(3u);
    pio0[PIO_SM0_INSTR] = JMP(PROGRAM_START);
    board_pin(PIN_BIT_CLOCK, GPIO_PIO0, 0);
    board_pin(PIN_WORD_SELECT, GPIO_PIO0, 0);
    board_pin(PIN_DATA, GPIO_PIO0, PAD_PULL_DOWN); /* without a microphone: silence */
    pio0[PIO_CTRL] = PIO_SM0_ENABLE | PIO_SM0_RESTART | PIO_SM0_CLKDIV_RESTART;
}

/* A microphone that is not there cannot be told from silence. */
int microphone_start(void *context)
{
    microphone_stop(context);
    microphone.n_filled = 0;
    microphone.lost = false;
    microphone.n_emptied = 0;
    microphone.n_taken = 0;
    microphone.running = true;
    start_dma();
    start_pio();
    return TKWS_OK;
}

/* Channels first lose their enable bits, so that an aborted one does not start the other; the interrupt is
 * off because an abort may raise it (erratum RP2040-E13). */
void microphone_stop(void *context)
{
    (void)context;
    microphone.running = false;
    pio0[PIO_CTRL] = 0;
    dma[DMA_INTE0] = 0;
    dma[DMA_CTRL(0)] = 0;
    dma[DMA_CTRL(1)] = 0;
    dma[DMA_ABORT] = CHANNELS;
    while (((dma[DMA_CTRL(0)] | dma[DMA_CTRL(1)]) & DMA_BUSY) != 0) {
    }
}

static int16_t to_pcm(uint32_t word)
{
    int32_t value = (int32_t)((word << 1) >> 12); /* the first bit is the right channel's */
    if (value >= 1 << 19)
        value -= 1 << 20;
    return tkws_fx_sat16(value);
}

/* What was lost is made up for by a new start. */
int microphone_read(void *context, int16_t *pcm, size_t n_samples)
{
    const volatile uint32_t *half = halves[microphone.n_emptied % 2];
    size_t n = 0;
    if (!microphone_is_waiting())
        return 0;
    while (n < n_samples && microphone.n_taken + n < HALF_SAMPLES) {
        pcm[n] = to_pcm(half[microphone.n_taken + n]);
        n++;
    }
    if (microphone.lost || microphone.n_filled - microphone.n_emptied > 1) {
        (void)microphone_start(context);
        return TKWS_E_OVERRUN;
    }
    microphone.n_taken += (uint32_t)n;
    if (microphone.n_taken == HALF_SAMPLES) {
        microphone.n_taken = 0;
        microphone.n_emptied++;
    }
    return (int)n;
}
