# SPDX-License-Identifier: Apache-2.0
"""The same bits everywhere: run tests/boards/equality.c on every machine, write equality.json.

Usage: python benchmarks/equality.py [--rounds N] [--small] [TARGET ...]. A round is 1,000 network
steps and 100 learning steps. Every target prints CRC-32s of features, spikes, scores, events,
learned weights and stored slots; all must be those of the first. A target whose tool is missing
says so and is left out. An emulated one takes about half a second a round on an idle machine, and
there are 1,000 rounds by default; the emulated Pico takes about a minute a round, and runs the
first eight, in which each kind of storing comes once. The file says how many each has run.
Takes are kept and heard where the model has section trac.
--small takes a random model of 32 neurons, which is several times faster. The file is written
after each target; when targets are named, rows of others stay in it, if they are of the same
sources, model and rounds.
"""

import argparse
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tracekws.boards.emulator import command_on_stdio, reports
from tracekws.boards.firmware import build_firmware
from tracekws.boards.rp2040 import PACKAGE
from tracekws.errors import MissingTool

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MODEL = ROOT / "models" / "base.tkws"
TESTS = ROOT / "tests" / "boards"
FIRMWARE = ROOT / "firmware"
N_REPORTS = 40
PICO_ROUNDS = 8
"""The others report after so many, too."""
INCLUDES = ("core/include", "app", "boards", "boards/bare")

Line = dict[str, str]
"""What a report says: rounds, network_steps, ..., and a CRC-32 a stage."""


@dataclass(frozen=True)
class Job:
    """What to run: so many rounds of a model, a report after every `report` and PICO_ROUNDS."""

    model: Path
    rounds: int
    report: int

    @property
    def flags(self) -> list[str]:
        """For the compiler."""
        numbers = {"ROUNDS": self.rounds, "REPORT": self.report, "EARLY": PICO_ROUNDS}
        return [f"-D{name}={number}u" for name, number in numbers.items()]


def run(*command: object) -> str:
    """Run a command; what it printed. Raises RuntimeError with its output when it fails."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command}\n{done.stdout}{done.stderr}")
    return done.stdout


def native(compiler: str, *flags: str) -> Callable[[Job, Path], list[str]]:
    """A target on this machine."""

    def build(job: Job, folder: Path) -> list[str]:
        if shutil.which(compiler) is None:
            raise MissingTool(f"{compiler} is not installed")
        shutil.copy(job.model, folder / "image.tkws")
        sources = [*FIRMWARE.glob("core/src/*.c"), *FIRMWARE.glob("app/*.c")]
        program = folder / "equality"
        run(
            *(compiler, "-std=c11", *flags, *job.flags, f"-Wa,-I{folder}"),
            *(f"-I{FIRMWARE / name}" for name in INCLUDES),
            *(*sorted(sources), FIRMWARE / "boards" / "bare" / "image.S"),
            *(TESTS / "equality.c", TESTS / "native.c", "-o", program),
        )
        return [str(program)]

    return build


def build(board: str, job: Job, folder: Path, cpu: str | None = None) -> Path:
    """The script for a board; `cpu` replaces the compiler's flags of the board."""
    settings = {
        "MAIN": "tests/boards/equality.c",
        "MODEL": job.model,
        "BOARD_FLAGS": " ".join(job.flags),
    } | ({"CPU": cpu} if cpu else {})
    return build_firmware(board, folder, settings)


def emulated(board: str, cpu: str | None = None) -> Callable[[Job, Path], list[str]]:
    """A target in QEMU."""

    def prepare(job: Job, folder: Path) -> list[str]:
        program = build(board, job, folder, cpu)
        return command_on_stdio(board, program, folder / "flash")

    return prepare


def pico(job: Job, folder: Path) -> list[str]:
    """The firmware of the Raspberry Pi Pico, in rp2040py, for the first rounds."""
    if importlib.util.find_spec("rp2040py") is None:
        raise MissingTool(f"the emulated Pico needs {PACKAGE}: make setup-test")
    job = replace(job, rounds=min(job.rounds, PICO_ROUNDS))
    firmware = build("rp2040", job, folder).with_suffix(".uf2")
    return [sys.executable, str(TESTS / "print_pico.py"), str(firmware)]


TARGETS: dict[str, Callable[[Job, Path], list[str]]] = {
    "native, gcc -O3": native("gcc", "-O3"),
    "native, clang -O3": native("clang-14", "-O3"),
    "Cortex-M4": emulated("mps2-an386"),
    "RV32IMAC": emulated("riscv-virt"),
    # code without the instructions that these parts lack, on the emulated Cortex-M4
    "code for Cortex-M0+": emulated("mps2-an386", "-mcpu=cortex-m0plus -mthumb"),
    "code for Cortex-M3 (no DSP instructions)": emulated("mps2-an386", "-mcpu=cortex-m3 -mthumb"),
    "native, gcc -O0": native("gcc", "-O0"),
    "native, clang -O0": native("clang-14", "-O0"),
    "RP2040": pico,
}
"""How each is built: gives the command that prints the reports."""


def measure(name: str, job: Job) -> tuple[list[Line], float]:
    """Build and run a target; its reports and the seconds that they took."""
    with tempfile.TemporaryDirectory() as folder:
        command = TARGETS[name](job, Path(folder))
        start = time.monotonic()
        lines = reports(command)
    if lines[-1].get("failed") != "0":
        raise RuntimeError(f"{name}: error -{lines[-1].get('failed')}")
    return lines, time.monotonic() - start


def small_model(folder: Path) -> Path:
    """A random model of 32 neurons."""
    sys.path.insert(0, str(ROOT / "tests"))
    from images import make_image

    path = folder / "small.tkws"
    sizes = {"n_neurons": 32, "n_classes": 12, "window_steps": 50, "n_latent": 24}
    path.write_bytes(make_image(seed=1, **sizes))
    return path


def sources_crc() -> str:
    """CRC-32 of what the results come from: core, application and script."""
    names = ("core/include/**/*", "core/src/*", "app/*")
    files = {path for name in names for path in FIRMWARE.glob(name) if path.is_file()}
    crc = zlib.crc32((TESTS / "equality.c").read_bytes())
    for path in sorted(files):
        crc = zlib.crc32(path.read_bytes(), crc)
    return f"{crc:08x}"


@dataclass
class Results:
    """What the file says."""

    model: str
    rounds: int
    sources_crc: str
    system: str
    model_crc: str = ""
    reports: list[Line] = field(default_factory=list)
    """A line for each number of rounds, of the target that was the first to get there."""
    targets: dict[str, dict[str, Any]] = field(default_factory=dict)

    def take_from(self, path: Path) -> None:
        """Take what a file has of the same sources, model and rounds, if it is one."""
        try:
            other = Results(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return
        key = ("model", "rounds", "sources_crc")
        if all(getattr(self, name) == getattr(other, name) for name in key):
            self.model_crc, self.reports, self.targets = (
                other.model_crc,
                other.reports,
                other.targets,
            )

    def add(self, target: str, lines: list[Line], seconds: float) -> None:
        """Add what a target has printed."""
        self.model_crc = self.model_crc or lines[0]["crc"]
        known = {line["rounds"]: line for line in self.reports}
        equal = lines[0]["crc"] == self.model_crc
        for line in lines[1:]:
            equal = equal and line == known.setdefault(line["rounds"], line)
        self.reports = sorted(known.values(), key=lambda line: int(line["rounds"]))
        self.targets[target] = {"equal": equal, "seconds": round(seconds)} | lines[-1]
        self.targets = {name: self.targets[name] for name in TARGETS if name in self.targets}

    def write(self, path: Path) -> None:
        """Write the file."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def main() -> None:
    """Run the targets, two at a time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--output", type=Path, default=HERE / "equality.json")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all of them by default")
    wanted = parser.parse_args()
    if unknown := [target for target in wanted.targets if target not in TARGETS]:
        known = ", ".join(TARGETS)
        parser.error(f"no such target: {', '.join(unknown)}; there are {known}")
    name = "random, 32 neurons" if wanted.small else f"models/{MODEL.name}"
    system = f"{platform.system()} {platform.machine()}"
    results = Results(name, wanted.rounds, sources_crc(), system)
    if wanted.targets:
        results.take_from(wanted.output)
    os.nice(10)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(max_workers=2) as pool:
        model = small_model(Path(folder)) if wanted.small else MODEL
        job = Job(model, wanted.rounds, max(wanted.rounds // N_REPORTS, 1))
        slowest_first = reversed(wanted.targets or list(TARGETS))
        running = {pool.submit(measure, target, job): target for target in slowest_first}
        for future in as_completed(running):
            target = running[future]
            try:
                lines, seconds = future.result()
            except MissingTool as reason:
                print(f"{target}: left out: {reason}")
                continue
            results.add(target, lines, seconds)
            results.write(wanted.output)
            print(f"{target}: {seconds:.0f} s, {lines[-1]}", flush=True)
    if not all(row["equal"] for row in results.targets.values()):
        sys.exit(f"not equal: see {wanted.output}")


if __name__ == "__main__":
    main()
