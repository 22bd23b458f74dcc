/* SPDX-License-Identifier: Apache-2.0 */
/** @file registers.h  The registers of an STM32F405 that this board uses (reference manual RM0090). */
#ifndef TKWS_STM32F405_REGISTERS_H
#define TKWS_STM32F405_REGISTERS_H

#include <stdbool.h>
#include <stdint.h>

/* NOLINTNEXTLINE(performance-no-int-to-ptr): that is what a register is */
#define REGISTER(address) (*(volatile uint32_t *)(address))

#define RCC_CR REGISTER(0x40023800u)
#define RCC_CR_HSION (1u << 0)
#define RCC_CR_HSIRDY (1u << 1)
#define RCC_CR_HSEON (1u << 16)
#define RCC_CR_HSERDY (1u << 17)
#define RCC_CR_HSEBYP (1u << 18)
#define RCC_CR_CSSON (1u << 19)
#define RCC_CR_PLLON (1u << 24)
#define RCC_CR_PLLRDY (1u << 25)
#define RCC_CR_PLLI2SON (1u << 26)
#define RCC_CR_PLLI2SRDY (1u << 27)
#define RCC_PLLCFGR REGISTER(0x40023804u)
#define RCC_PLLCFGR_HSE (1u << 22)
#define RCC_CFGR REGISTER(0x40023808u)
#define RCC_CFGR_SW_PLL 2u
#define RCC_CFGR_SWS 0xcu
#define RCC_CFGR_SWS_PLL 8u
#define RCC_CFGR_APB1_BY_4 (5u << 10)
#define RCC_CFGR_APB2_BY_2 (4u << 13)
#define RCC_AHB1ENR REGISTER(0x40023830u)
#define RCC_AHB1ENR_GPIOB (1u << 1)
#define RCC_AHB1ENR_DMA1 (1u << 21)
#define RCC_APB1ENR REGISTER(0x40023840u)
#define RCC_APB1ENR_SPI2 (1u << 14)
#define RCC_APB1ENR_USART3 (1u << 18)
#define RCC_CSR REGISTER(0x40023874u)
#define RCC_CSR_RMVF (1u << 24)
#define RCC_CSR_BORRSTF (1u << 25)
#define RCC_CSR_PINRSTF (1u << 26)
#define RCC_CSR_PORRSTF (1u << 27)
#define RCC_CSR_SFTRSTF (1u << 28)
#define RCC_CSR_IWDGRSTF (1u << 29)
#define RCC_CSR_WWDGRSTF (1u << 30)
#define RCC_PLLI2SCFGR REGISTER(0x40023884u)

#define GPIOB_MODER REGISTER(0x40020400u)
#define GPIOB_OSPEEDR REGISTER(0x40020408u)
#define GPIOB_PUPDR REGISTER(0x4002040cu)
#define GPIOB_IDR REGISTER(0x40020410u)
#define GPIOB_BSRR REGISTER(0x40020418u)
#define GPIOB_AFRH REGISTER(0x40020424u)
#define PULL_UP 1u
#define PULL_DOWN 2u

#define USART3_SR REGISTER(0x40004800u)
#define USART3_DR REGISTER(0x40004804u)
#define USART3_BRR REGISTER(0x40004808u)
#define USART3_CR1 REGISTER(0x4000480cu)
#define USART_SR_ORE (1u << 3)
#define USART_SR_RXNE (1u << 5)
#define USART_SR_TXE (1u << 7)
#define USART_CR1_RE (1u << 2)
#define USART_CR1_TE (1u << 3)
#define USART_CR1_RXNEIE (1u << 5)
#define USART_CR1_UE (1u << 13)

#define SPI2_CR2 REGISTER(0x40003804u)
#define SPI2_CR2_RXDMAEN 1u
#define SPI2_DR_ADDRESS 0x4000380cu
#define SPI2_I2SCFGR REGISTER(0x4000381cu)
#define SPI2_I2SPR REGISTER(0x40003820u)
#define I2SCFGR_CHLEN_32 (1u << 0)
#define I2SCFGR_DATLEN_24 (1u << 1)
#define I2SCFGR_MASTER_RECEIVE (3u << 8)
#define I2SCFGR_I2SE (1u << 10)
#define I2SCFGR_I2SMOD (1u << 11)

/* Stream 3 of DMA1, whose channel 0 is what SPI2 receives. */
#define DMA1_LISR REGISTER(0x40026000u)
#define DMA1_LIFCR REGISTER(0x40026008u)
#define DMA_LISR_TEIF3 (1u << 25)
#define DMA_LISR_HTIF3 (1u << 26)
#define DMA_LISR_TCIF3 (1u << 27)
#define DMA_LISR_STREAM3 (0x3du << 22)
#define DMA1_S3CR REGISTER(0x40026058u)
#define DMA1_S3NDTR REGISTER(0x4002605cu)
#define DMA1_S3PAR REGISTER(0x40026060u)
#define DMA1_S3M0AR REGISTER(0x40026064u)
#define DMA_SCR_EN (1u << 0)
#define DMA_SCR_TEIE (1u << 2)
#define DMA_SCR_HTIE (1u << 3)
#define DMA_SCR_TCIE (1u << 4)
#define DMA_SCR_CIRC (1u << 8)
#define DMA_SCR_MINC (1u << 10)
#define DMA_SCR_PSIZE_16 (1u << 11)
#define DMA_SCR_MSIZE_16 (1u << 13)
#define DMA_SCR_HIGH (2u << 16)

#define IWDG_KR REGISTER(0x40003000u)
#define IWDG_PR REGISTER(0x40003004u)
#define IWDG_RLR REGISTER(0x40003008u)
#define IWDG_SR REGISTER(0x4000300cu)

#define FLASH_BASE 0x40023c00u

#define SYST_CSR REGISTER(0xe000e010u)
#define SYST_RVR REGISTER(0xe000e014u)
#define SYST_CVR REGISTER(0xe000e018u)
#define NVIC_ISER(i) REGISTER(0xe000e100u + 4u * (i))
#define NVIC_ICER(i) REGISTER(0xe000e180u + 4u * (i))
#define NVIC_ICPR(i) REGISTER(0xe000e280u + 4u * (i))
#define NVIC_IPR(i) REGISTER(0xe000e400u + 4u * (i))
#define SCB_VTOR REGISTER(0xe000ed08u)
#define DBGMCU_IDCODE REGISTER(0xe0042000u)
#define DBGMCU_REVISION_A 0x1000u

#define IRQ_DMA1_STREAM3 14u
#define IRQ_USART3 39u
#define N_IRQS 82

/** Wait until the bits of a register under mask are as wanted; every part answers in a small part of this.
 *  @return whether they are, before the patience ends (tens of milliseconds) */
static inline bool wait_for(const volatile uint32_t *where, uint32_t mask, uint32_t wanted)
{
    for (uint32_t i = 0; i < 200000; i++)
        if ((*where & mask) == wanted)
            return true;
    return false;
}

/** Let a peripheral's clock run. It is there two cycles later, hence the look. */
static inline void enable_clock(volatile uint32_t *enables, uint32_t bits)
{
    *enables |= bits;
    (void)*enables;
}

/** Give a pin of port B, 8 to 15, to a peripheral. */
static inline void use_pin_b(unsigned pin, uint32_t function, uint32_t pull)
{
    GPIOB_AFRH = (GPIOB_AFRH & ~(15u << 4 * (pin - 8))) | function << 4 * (pin - 8);
    GPIOB_OSPEEDR = (GPIOB_OSPEEDR & ~(3u << 2 * pin)) | 1u << 2 * pin;
    GPIOB_PUPDR = (GPIOB_PUPDR & ~(3u << 2 * pin)) | pull << 2 * pin;
    GPIOB_MODER = (GPIOB_MODER & ~(3u << 2 * pin)) | 2u << 2 * pin;
}

/** Make a pin of port B one that the processor drives, low at first. */
static inline void drive_pin_b(unsigned pin)
{
    GPIOB_BSRR = 1u << (pin + 16);
    GPIOB_MODER = (GPIOB_MODER & ~(3u << 2 * pin)) | 1u << 2 * pin;
}

/** Make a pin of port B one that the processor reads, pulled up. */
static inline void read_pin_b(unsigned pin)
{
    GPIOB_PUPDR = (GPIOB_PUPDR & ~(3u << 2 * pin)) | PULL_UP << 2 * pin;
    GPIOB_MODER = GPIOB_MODER & ~(3u << 2 * pin);
}

static inline void enable_irq(unsigned irq)
{
    NVIC_ISER(irq / 32) = 1u << irq % 32;
}

/** Lower than the serial line's, whose bytes come every 11 microseconds. */
static inline void lower_irq(unsigned irq)
{
    NVIC_IPR(irq / 4) |= 0x10u << 8 * (irq % 4);
}

#endif
