# SPDX-License-Identifier: Apache-2.0
"""Exact instruction counts of the core on the boards' processors, by QEMU's instruction clock.

Instructions are not cycles: nothing here says how long a part takes. The code is compiled as for
the board and runs on the emulated machine of the same architecture; code for a Cortex-M0+ runs on
the Cortex-M4, whose instructions contain all of its own.
"""

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE, read_clip
from tracekws.core import STEP_SAMPLES
from tracekws.device.emulator import command_on_stdio, reports
from tracekws.device.firmware import ROOT, build_firmware
from tracekws.errors import DataError, TraceKwsError

SPEECH = ROOT / "examples" / "speech" / "stream.flac"
STEPS_A_SECOND = SAMPLE_RATE // STEP_SAMPLES
SECONDS_TO_WAIT = 600
KNOWN = {"loop": 2000, "failed": 0}
"""What cost.c says of a loop whose instructions are known: the check of the counter."""
CLOCK = {"mps2-an386": "shift=10,sleep=off", "riscv-virt": "shift=0,sleep=off"}


@dataclass(frozen=True)
class Target:
    """A board's code, and the machine that runs it."""

    processor: str
    machine: str
    cpu: str = ""
    """Flags in place of those of the machine's own processor."""
    flags: str = ""


TARGETS = {
    "stm32f405": Target("Cortex-M4", "mps2-an386"),
    "stm32f405, no DSP": Target("Cortex-M4, plain C", "mps2-an386", flags="-DTKWS_NO_DSP"),
    "rp2040": Target("Cortex-M0+", "mps2-an386", "-mcpu=cortex-m0plus -mthumb"),
    "mps2-an386": Target("Cortex-M4", "mps2-an386"),
    "riscv-virt": Target("RV32IMAC", "riscv-virt"),
}


@dataclass(frozen=True)
class Cost:
    """Instructions over one sound: of a second of audio, and of a step of learning."""

    board: str
    processor: str
    sound: str
    front_end: int
    network: int
    detector: int
    learning_step: int
    """A step of a take by the model's own method, the network's step in it."""
    traces_step: int
    """The same with Traces Propagation on all weights."""
    traces_end: int

    @property
    def total(self) -> int:
        """The recognizer, a second of audio."""
        return self.front_end + self.network + self.detector

    @property
    def with_learning(self) -> int:
        """Front end, network and Traces Propagation, a second of audio that is a take."""
        return self.front_end + STEPS_A_SECOND * self.traces_step + self.traces_end

    def summary(self) -> dict[str, object]:
        """Plain data for --json."""
        return {**self.__dict__, "total": self.total, "with_learning": self.with_learning}


def sounds() -> dict[str, NDArray[np.int16]]:
    """A second each of a synthesiser's speech, noise and silence, int16.

    Raises:
        DataError: the speech of the checkout is missing.
    """
    speech = read_clip(SPEECH)
    if len(speech) < 2 * SAMPLE_RATE:
        raise DataError(f"{SPEECH}: shorter than two seconds")
    # where most is said in a second
    energy = np.add.accumulate(speech.astype(np.float64) ** 2)
    start = int((energy[SAMPLE_RATE:] - energy[:-SAMPLE_RATE]).argmax())
    noise = np.random.default_rng(1).normal(0, 1000, SAMPLE_RATE)
    return {
        "speech": speech[start : start + SAMPLE_RATE],
        "noise": np.clip(noise, -32768, 32767).astype(np.int16),
        "silence": np.zeros(SAMPLE_RATE, np.int16),
    }


@cache
def count(target: Target, model: Path) -> tuple[dict[str, int], ...]:
    """What cost.c prints on a target, a line a sound.

    Raises:
        TraceKwsError: a tool is missing, or the counter does not count as it should.
    """
    heard = list(sounds().values())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        np.concatenate(heard).astype("<i2").tofile(folder / "cost.pcm")
        flags = f"-DCOST_SAMPLES={SAMPLE_RATE}u -DCOST_SOUNDS={len(heard)}u -Wa,-I{folder}"
        program = build_firmware(
            target.machine,
            folder,
            {
                "MAIN": "benchmarks/cost.c",
                "MODEL": model.resolve(),
                "BOARD_FLAGS": f"{flags} {target.flags}",
            }
            | ({"CPU": target.cpu} if target.cpu else {}),
        )
        clock = ("-icount", CLOCK[target.machine])
        command = command_on_stdio(target.machine, program, folder / "flash", clock)
        known, *lines = (
            {name: int(value) for name, value in line.items()}
            for line in reports(["timeout", str(SECONDS_TO_WAIT), *command])
        )
    if known != KNOWN or len(lines) != len(heard):
        raise TraceKwsError(f"{target.machine}: the counter cannot be trusted: {known}")
    return tuple(lines)


def measure(name: str, model: Path) -> list[Cost]:
    """Count on one target, for every sound.

    Args:
        name: of TARGETS.
        model: image whose network is counted.

    Raises:
        TraceKwsError: as of count().
    """
    target = TARGETS[name]
    costs = []
    for sound, line in zip(sounds(), count(target, model), strict=True):
        steps, taken = line["steps"], line["learn_steps"]
        costs.append(
            Cost(
                name,
                target.processor,
                sound,
                line["front_end"],
                line["network"] * STEPS_A_SECOND // steps,
                line["detector"] * STEPS_A_SECOND // steps,
                line["learn"] // taken,
                line["traces"] // taken,
                line["traces_end"],
            )
        )
    return costs
