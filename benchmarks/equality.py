# SPDX-License-Identifier: Apache-2.0
"""The same bits everywhere: run tests/boards/equality.c on every machine, write equality.json.

Usage: python benchmarks/equality.py [--rounds N] [--small] [TARGET ...]. A round is 1,000 network
steps and 100 learning steps. Every target prints CRC-32s of features, spikes, scores, events,
learned weights and stored slots; all must be those of the first. A target whose tool is missing
says so and is left out. An emulated one takes about half a second a round on an idle machine, and
there are 1,000 rounds by default; the emulated Pico takes about a minute a round, and runs the
first eight, in which each kind of storing comes once. The file says how many each has run.
--small takes a random model of 32 neurons, which is several times faster. The file is written
after each target.
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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from tracekws.device.emulator import command_on_stdio, reports
from tracekws.device.firmware import build_firmware
from tracekws.device.rp2040 import PACKAGE
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
        raise MissingTool(f"{PACKAGE} is not installed")
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


def write(path: Path, model: str, done: dict[str, tuple[list[Line], float]]) -> bool:
    """Write the file; whether all targets are equal."""
    names = [name for name in TARGETS if name in done]
    first = done[names[0]][0]
    rows = {
        name: {"equal": lines == first[: len(lines)], "seconds": round(seconds)} | lines[-1]
        for name, (lines, seconds) in ((name, done[name]) for name in names)
    }
    summary = {
        "model": model,
        "model_crc": first[0]["crc"],
        "system": f"{platform.system()} {platform.machine()}",
        "reports": first[1:],
        "targets": rows,
    }
    path.write_text(json.dumps(summary, indent=1) + "\n")
    return all(row["equal"] for row in rows.values())


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
    done: dict[str, tuple[list[Line], float]] = {}
    equal = True
    os.nice(10)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(max_workers=2) as pool:
        model = small_model(Path(folder)) if wanted.small else MODEL
        job = Job(model, wanted.rounds, max(wanted.rounds // N_REPORTS, 1))
        slowest_first = reversed(wanted.targets or list(TARGETS))
        running = {pool.submit(measure, target, job): target for target in slowest_first}
        for future in as_completed(running):
            target = running[future]
            try:
                done[target] = future.result()
            except MissingTool as reason:
                print(f"{target}: left out: {reason}")
                continue
            equal = write(wanted.output, name, done)
            print(f"{target}: {done[target][1]:.0f} s, {done[target][0][-1]}", flush=True)
    if not equal:
        sys.exit(f"not equal: see {wanted.output}")


if __name__ == "__main__":
    main()
