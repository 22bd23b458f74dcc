# SPDX-License-Identifier: Apache-2.0
"""Every rule of the lab by its name."""

from tracekws.lab.rule import Rule
from tracekws.lab.rules.bptt import Bptt
from tracekws.lab.rules.device import DeviceRule
from tracekws.lab.rules.eprop import EProp, EPropRandom
from tracekws.lab.rules.prototype import Prototype
from tracekws.lab.rules.readout import ReadoutOnly
from tracekws.lab.rules.tp import TracesPropagation

ALL: tuple[type[Rule], ...] = (
    Bptt,
    TracesPropagation,
    DeviceRule,
    EProp,
    EPropRandom,
    ReadoutOnly,
    Prototype,
)
RULES: dict[str, type[Rule]] = {rule.name: rule for rule in ALL}
