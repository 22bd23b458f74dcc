# SPDX-License-Identifier: Apache-2.0
"""Constants of learning and detection that a trained model gets.

Those of learning were chosen by scripts/tune_learning.py on tuning speakers, with a model that was
trained without them.
"""

from tracekws.core import TAKES
from tracekws.modelfile import Detector, Learning

LEARNING = Learning(
    method=TAKES,
    traces_rate=2.8e-4,
    readout_rate=1.0,
    readout_bias_rate=0.01,
    passes=1,
    latent_per_take=4,
)
DETECTOR = Detector()
