/* SPDX-License-Identifier: Apache-2.0 */
#include "microphone.h"

#include "registers.h"
#include "samples.h"
#include "tracekws/errors.h"

#define PIN_WS 9
#define PIN_CK 13
#define PIN_SD 15
#define FUNCTION_I2S2 5u

/* 1 MHz times 256 by 5 is 51.2 MHz: by 2 * 25 and 64 bits a frame it is 16 kHz. */
#define PLLI2S_N 256u
#define PLLI2S_R 5u
#define I2S_DIVIDER 25u

#define HALF_FRAMES 64u
#define HALF_WORDS (HALF_FRAMES * SAMPLES_FRAME)
#define START_BLOCKS 80u    /* 320 ms: a microphone needs up to 100 until it speaks */
#define START_LOOKS 5000000 /* and when the DMA does not run at all */

static volatile uint16_t buffer[2 * HALF_WORDS]; /* in SRAM, where the DMA reaches it */
static samples heard;

bool microphone_has_clock(void)
{
    RCC_PLLI2SCFGR = PLLI2S_N << 6 | PLLI2S_R << 28;
    RCC_CR |= RCC_CR_PLLI2SON;
    return wait_for(&RCC_CR, RCC_CR_PLLI2SRDY, RCC_CR_PLLI2SRDY);
}

static void stop(void)
{
    SPI2_I2SCFGR = SPI2_I2SCFGR & ~I2SCFGR_I2SE;
    DMA1_S3CR = 0;
    (void)wait_for(&DMA1_S3CR, DMA_SCR_EN, 0);
    DMA1_LIFCR = DMA_LISR_STREAM3;
}

static void start_dma(void)
{
    DMA1_S3PAR = SPI2_DR_ADDRESS;
    DMA1_S3M0AR = (uint32_t)(uintptr_t)buffer;
    DMA1_S3NDTR = 2 * HALF_WORDS;
    DMA1_S3CR = DMA_SCR_HIGH | DMA_SCR_MSIZE_16 | DMA_SCR_PSIZE_16 | DMA_SCR_MINC | DMA_SCR_CIRC |
                DMA_SCR_TCIE | DMA_SCR_HTIE | DMA_SCR_TEIE;
    DMA1_S3CR |= DMA_SCR_EN;
    lower_irq(IRQ_DMA1_STREAM3);
    enable_irq(IRQ_DMA1_STREAM3);
}

int microphone_start(void *context)
{
    (void)context;
    enable_clock(&RCC_AHB1ENR, RCC_AHB1ENR_GPIOB | RCC_AHB1ENR_DMA1);
    enable_clock(&RCC_APB1ENR, RCC_APB1ENR_SPI2);
    stop();
    use_pin_b(PIN_WS, FUNCTION_I2S2, 0);
    use_pin_b(PIN_CK, FUNCTION_I2S2, 0);
    use_pin_b(PIN_SD, FUNCTION_I2S2, PULL_DOWN); /* silent for good when nothing is wired to it */
    samples_reset(&heard);
    start_dma();
    SPI2_I2SPR = I2S_DIVIDER;
    SPI2_CR2 = SPI2_CR2_RXDMAEN;
    SPI2_I2SCFGR = I2SCFGR_I2SMOD | I2SCFGR_MASTER_RECEIVE | I2SCFGR_DATLEN_24 | I2SCFGR_CHLEN_32;
    SPI2_I2SCFGR |= I2SCFGR_I2SE;
    for (uint32_t i = 0; i < START_LOOKS && heard.n_blocks < START_BLOCKS; i++) {
        if (heard.alive) {
            heard.lost = true; /* what was heard until now is not given */
            int16_t none = 0;
            (void)samples_take(&heard, &none, 1);
            return TKWS_OK;
        }
    }
    stop();
    return TKWS_E_MICROPHONE;
}

int microphone_read(void *context, int16_t *pcm, size_t n_samples)
{
    (void)context;
    return samples_take(&heard, pcm, n_samples);
}

void microphone_stop(void *context)
{
    (void)context;
    stop();
    samples_reset(&heard);
}

bool microphone_has_samples(void)
{
    return samples_has_any(&heard);
}

/* Both halves at once: the processor stood still while flash was erased, and one was written over. */
void microphone_dma_handler(void)
{
    uint32_t flags = DMA1_LISR & DMA_LISR_STREAM3;
    DMA1_LIFCR = flags;
    bool first = (flags & DMA_LISR_HTIF3) != 0;
    bool second = (flags & DMA_LISR_TCIF3) != 0;
    if ((first && second) || (flags & DMA_LISR_TEIF3) != 0)
        heard.lost = true;
    else if (first || second)
        samples_put(&heard, buffer + (first ? 0 : HALF_WORDS), HALF_FRAMES);
}
