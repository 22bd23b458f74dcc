/* SPDX-License-Identifier: Apache-2.0 */
/* The model image, as it is in its file. */
    .section .image, "a"
    .balign 4
    .global tkws_image_start
    .global tkws_image_end
tkws_image_start:
    .incbin "image.tkws"
tkws_image_end:

    .section .note.GNU-stack, "", %progbits
