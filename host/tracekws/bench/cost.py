# SPDX-License-Identifier: Apache-2.0
"""Exact instruction counts of the core on the boards' processors, by QEMU's instruction clock.

Instructions are not cycles: nothing here says how long a part takes. The code is compiled as for
the board and runs on the emulated machine of the same architecture; code for a Cortex-M0+ runs on
the Cortex-M4, whose instructions contain all of its own. (On the RP2040 itself the core lies in
RAM. A call between there and flash takes five instructions more, not counted: 0.01 % in all.)
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracekws.audio import SAMPLE_RATE, read_clip
from tracekws.bench.adapting import METHODS
from tracekws.boards.emulator import command_on_stdio, reports
from tracekws.boards.firmware import build_firmware
from tracekws.boards.parts import BOARDS, FLASHED, MACHINES
from tracekws.core import GUARDED, STEP_SAMPLES, Model
from tracekws.data import Progress
from tracekws.errors import DataError, MissingTool, TraceKwsError
from tracekws.shipped import SPEECH

STEPS_A_SECOND = SAMPLE_RATE // STEP_SAMPLES
FRAMES_A_SECOND = 100
LEAD_SAMPLES = 240
"""Of a sound, before the second that comes first: what a frame has beyond its hop."""
SOUND_SAMPLES = LEAD_SAMPLES + 2 * SAMPLE_RATE
SECONDS_TO_WAIT = 600
KNOWN = {"loop": 2000, "failed": 0}
"""What cost.c says of a loop whose instructions are known: the check of the counter."""
GOALS = {
    "Cortex-M4": {
        "frame": 37_000,
        "total": 6_400_000,
        "with_takes": 7_000_000,
        "with_own_words": 7_000_000,
        "with_learning": 32_000_000,
    },
    "Cortex-M4, newlib": {"total": 6_400_000},
    "Cortex-M0+": {"total": 21_000_000},
}
"""At most, on a processor."""
PEER = (
    "67 million cycles a second of audio: MLPerf Tiny v1.3, streaming wake word, ST on a Cortex-M4"
)
"""Published, for comparison; task and network differ."""
COMPARED = "stm32f405"
"""Board whose code is also counted without DSP instructions, and with another C library."""


@dataclass(frozen=True)
class Target:
    """A board's code, and the machine that runs it."""

    processor: str
    machine: str
    cpu: str = ""
    """Flags in place of those of the machine's own processor."""
    flags: str = ""
    libc: str = "picolibc"


def targets() -> Iterator[tuple[str, Target]]:
    """The boards that are flashed, then those of QEMU alone; beside one its code in other ways."""
    for name in [*FLASHED, *(name for name in BOARDS if name not in FLASHED)]:
        board = BOARDS[name]
        yield name, Target(board.processor, board.counted_on, board.cpu)
        if name == COMPARED:
            plain = Target(f"{board.processor}, plain C", board.counted_on, flags="-DTKWS_NO_DSP")
            yield f"{name}, no DSP", plain
            newlib = Target(f"{board.processor}, newlib", board.counted_on, libc="newlib")
            yield f"{name}, newlib", newlib


TARGETS = dict(targets())


@dataclass(frozen=True)
class Cost:
    """Instructions over one sound: of a second of it, heard, and learnt from as a take."""

    board: str
    processor: str
    machine: str
    """That ran the code."""
    sound: str
    front_end: int
    network: int
    detector: int
    learning: int
    """The steps of a take by the model's own method, the network's part in them."""
    learning_end: int
    """The end of that take: the readout, and what is replayed."""
    traces: int
    """As learning, with Traces Propagation on all weights and no replay."""
    traces_end: int
    templates: int
    """What is heard compared with takes of every word; beside the recognizer."""
    templates_made: int
    """Once, before it listens."""
    own_words: int
    """As templates, with all words of the user's own that there is room for beside them."""
    own_words_made: int

    @property
    def frame(self) -> int:
        """The front end, a frame of 10 ms; rounded up."""
        return -(-self.front_end // FRAMES_A_SECOND)

    @property
    def learning_step(self) -> int:
        """A step of a take by the model's own method; rounded up."""
        return -(-self.learning // STEPS_A_SECOND)

    @property
    def traces_step(self) -> int:
        """A step of a take with Traces Propagation; rounded up."""
        return -(-self.traces // STEPS_A_SECOND)

    @property
    def total(self) -> int:
        """The recognizer, a second of audio."""
        return self.front_end + self.network + self.detector

    @property
    def with_takes(self) -> int:
        """The recognizer with takes of every word, a second of audio."""
        return self.total + self.templates

    @property
    def with_own_words(self) -> int:
        """The same with all words of the user's own that there is room for."""
        return self.total + self.own_words

    @property
    def with_learning(self) -> int:
        """The recognizer, and learning by the method that takes more; the network runs once."""
        return (
            self.front_end
            + self.detector
            + max(self.learning + self.learning_end, self.traces + self.traces_end)
        )

    def summary(self) -> dict[str, Any]:
        """Plain data for --json."""
        derived = (
            "frame",
            "total",
            "with_takes",
            "with_own_words",
            "learning_step",
            "traces_step",
            "with_learning",
        )
        return {**self.__dict__, **{name: getattr(self, name) for name in derived}}


def method_names(model: Model) -> dict[str, str]:
    """The methods behind Cost.learning and Cost.traces, as `bench adapt` calls them."""
    names = {number & ~GUARDED: name for name, number in METHODS.items()}
    own = int(model.header.method)
    return {"learning": names.get(own, str(own)), "traces": "tp"}


def describe(methods: Mapping[str, str]) -> dict[str, str]:
    """What the figures of Cost.summary() are, in the order of a table."""
    return {
        "frame": "front end, a frame of 10 ms",
        "front_end": "front end",
        "network": "network",
        "detector": "detector",
        "total": "recognizer in all",
        "templates": "comparing with takes of every word",
        "with_takes": "recognizer with it",
        "templates_made": "templates, made once",
        "own_words": "comparing with all words of the user's own, too",
        "with_own_words": "recognizer with that",
        "own_words_made": "these templates, made once",
        "learning_step": f"learning, {methods['learning']}: a step",
        "learning_end": "its end of a take",
        "traces_step": f"learning, {methods['traces']}: a step",
        "traces_end": "its end of a take",
        "with_learning": "recognizer and learning",
    }


def verdict(board: str, key: str, most: int) -> str:
    """The goal for a figure on a board, and whether its largest value meets it; empty for none."""
    goal = GOALS.get(TARGETS[board].processor, {}).get(key)
    if goal is None:
        return ""
    return f"{goal:,} {'met' if most <= goal else 'missed'}"


def sounds() -> dict[str, NDArray[np.int16]]:
    """Two seconds each of a synthesiser's speech, noise and silence, int16; the second counts.

    Raises:
        DataError: the speech is missing.
    """
    stream = SPEECH / "stream.flac"
    speech = read_clip(stream)
    if len(speech) < SOUND_SAMPLES:
        raise DataError(f"{stream}: shorter than two seconds")
    # the second that counts is that in which most is said
    energy = np.add.accumulate(speech.astype(np.float64) ** 2)
    first = SOUND_SAMPLES - SAMPLE_RATE
    start = int((energy[first + SAMPLE_RATE - 1 :] - energy[first - 1 : -SAMPLE_RATE]).argmax())
    noise = np.random.default_rng(1).normal(0, 1000, SOUND_SAMPLES)
    return {
        "speech": speech[start : start + SOUND_SAMPLES],
        "noise": np.clip(noise, -32768, 32767).astype(np.int16),
        "silence": np.zeros(SOUND_SAMPLES, np.int16),
    }


def build(target: Target, model: Path, n_sounds: int, folder: Path) -> Path:
    """The program that counts over the first sounds, for a target; built in a folder.

    Raises:
        MissingTool: the compiler is not installed.
        TraceKwsError: it failed, or this is no checkout.
    """
    np.concatenate(list(sounds().values())).astype("<i2").tofile(folder / "cost.pcm")
    settings = {
        "MAIN": "benchmarks/cost.c",
        "MODEL": model.resolve(),
        "LIBC": target.libc,
        "BOARD_FLAGS": f"-DCOST_SOUNDS={n_sounds}u -Wa,-I{folder} {target.flags}",
    } | ({"CPU": target.cpu} if target.cpu else {})
    return build_firmware(target.machine, folder, settings)


def run(target: Target, program: Path, folder: Path) -> list[dict[str, int]]:
    """Numbers of each line that the program prints, "known" first.

    Raises:
        MissingTool: QEMU is not installed.
        TraceKwsError: the program did not end.
    """
    clock = ("-icount", MACHINES[target.machine].clock)
    command = command_on_stdio(target.machine, program, folder / "flash", clock)
    lines = reports(["timeout", str(SECONDS_TO_WAIT), *command])
    return [{name: int(value) for name, value in line.items()} for line in lines]


@cache
def count(target: Target, model: Path) -> tuple[dict[str, int], ...]:
    """Instructions of each part, a sound each; all counted in one run.

    Raises:
        MissingTool: a compiler or QEMU is not installed.
        TraceKwsError: the counter does not count as it should.
    """
    n_sounds = len(sounds())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        known, *lines = run(target, build(target, model, n_sounds, folder), folder)
    right = {"frames": FRAMES_A_SECOND, "steps": STEPS_A_SECOND, "failed": 0}
    checked = [{key: line.get(key) for key in right} for line in lines]
    if known != KNOWN or checked != [right] * n_sounds:
        raise TraceKwsError(f"{target.machine}: the counter cannot be trusted: {known}, {lines}")
    return tuple({key: n for key, n in line.items() if key not in right} for line in lines)


def measure(name: str, model: Path) -> list[Cost]:
    """Count on one target, for every sound.

    Args:
        name: of TARGETS.
        model: image whose network is counted.

    Raises:
        MissingTool, TraceKwsError: as of count().
    """
    target = TARGETS[name]
    return [
        Cost(name, target.processor, target.machine, sound, **counts)
        for sound, counts in zip(sounds(), count(target, model), strict=True)
    ]


def measure_boards(
    wanted: str | None,
    model: Path,
    progress: Progress = lambda done, total: None,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, list[Cost]]:
    """Count on one target, or on all but those whose tools are missing; for every sound.

    Args:
        wanted: of TARGETS; all by default.
        model: image whose network is counted.
        progress: over targets.
        tell: is given which are left out, and why.

    Raises:
        MissingTool: the tools of the one that is wanted are.
        TraceKwsError: as of count(), or none could be counted.
    """
    names = [wanted] if wanted else list(TARGETS)
    rows: dict[str, list[Cost]] = {}
    for done, name in enumerate(names):
        progress(done, len(names))
        try:
            rows[name] = measure(name, model)
        except MissingTool as error:
            if wanted:
                raise
            tell(f"{name} left out: {error}")
    if not rows:
        raise TraceKwsError("no board's code could be counted")
    return rows
