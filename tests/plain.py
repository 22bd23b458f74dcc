# SPDX-License-Identifier: Apache-2.0
"""Augmentation that changes nothing: one copy of each clip, as it is."""

from dataclasses import replace

from tracekws.train.config import load_config

PLAIN = replace(
    load_config("base").augment,
    copies=1,
    shift_ms=0,
    tempo=0.0,
    gain_db=(0.0, 0.0),
    equaliser_db=0.0,
    noise_share=0.0,
    talker_share=0.0,
    room_share=0.0,
    mask_share=0.0,
    warp_share=0.0,
    cut_share=0.0,
)
