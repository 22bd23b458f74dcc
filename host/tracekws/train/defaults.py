# SPDX-License-Identifier: Apache-2.0
"""Constants of learning and detection that a trained model gets."""

from tracekws.core import LATENT, READOUT
from tracekws.modelfile import Detector, Learning

LEARNING = Learning(
    method=READOUT | LATENT,
    traces_rate=3e-4 * 14 * 0.4,
    readout_rate=1.0,
    readout_bias_rate=0.01,
)
DETECTOR = Detector()
