# SPDX-License-Identifier: Apache-2.0
"""Every rule of the lab by its name."""

from tracekws.lab.rule import Rule
from tracekws.lab.rules.bptt import Bptt, BpttDamped
from tracekws.lab.rules.decolle import Decolle
from tracekws.lab.rules.device import DeviceRule
from tracekws.lab.rules.eprop import EProp, EPropRandom
from tracekws.lab.rules.etlp import Etlp
from tracekws.lab.rules.ottt import Ottt
from tracekws.lab.rules.prototype import Prototype
from tracekws.lab.rules.readout import ReadoutOnly
from tracekws.lab.rules.stllr import Stllr
from tracekws.lab.rules.tp import TracesPropagation

ALL: tuple[type[Rule], ...] = (
    TracesPropagation,
    DeviceRule,
    Bptt,
    BpttDamped,
    EProp,
    EPropRandom,
    Ottt,
    Stllr,
    Decolle,
    Etlp,
    ReadoutOnly,
    Prototype,
)
RULES: dict[str, type[Rule]] = {rule.name: rule for rule in ALL}
