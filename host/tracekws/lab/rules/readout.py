# SPDX-License-Identifier: Apache-2.0
"""Only the readout learns: the layers stay as they are.

The local delta rule of the readout that Traces Propagation's experiments use (arXiv 2509.13053):
V -= rate eps_L (softmax(m) - c), at every step. What a rule adds to this is what its hidden layers
learn.
"""

from dataclasses import dataclass

from tracekws.lab.network import Fired
from tracekws.lab.rule import Rule


@dataclass(eq=False, kw_only=True)
class ReadoutOnly(Rule):
    """The readout's delta rule alone."""

    name = "readout"
    paper = "the readout of Pes et al. 2025, arXiv 2509.13053"
    summary = "only the readout learns, by the delta rule"

    def learn(self, fired: list[Fired]) -> None:
        """One step of the delta rule."""
        self.apply(self.delta_rule(fired))
