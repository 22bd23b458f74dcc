# SPDX-License-Identifier: Apache-2.0
"""Measure what the README quotes: writes results.json and README.md beside this file.

Usage: python benchmarks/run.py [--page]. A function a measurement; one whose tool is missing says
so and leaves its rows out. --page measures nothing: README.md is written from results.json,
sizes.json and cost.json as they are.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tracekws import cost
from tracekws._core import ffi, lib
from tracekws.core import Model
from tracekws.evaluate import classify

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CORE = ROOT / "firmware" / "core"
MODEL = ROOT / "models" / "base.tkws"
SECONDS = 4
COMPILE = ("-std=c11", "-O2", "-fno-tree-vectorize", f"-I{CORE / 'include'}")

Row = dict[str, Any]


def run(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a command and return what it printed."""
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True)


def machine() -> Row:
    """What the figures were measured on."""
    cpu = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*: (.+)", info.read_text())
        cpu = found.group(1) if found else cpu
    return {
        "cpu": cpu,
        "system": f"{platform.system()} {platform.machine()}",
        "compiler": run("cc", "--version").stdout.splitlines()[0],
        "python": platform.python_version(),
    }


def model_image() -> tuple[str, bytes]:
    """The shipped model, or as long as there is none a random one of its size."""
    if MODEL.exists():
        return f"models/{MODEL.name}", MODEL.read_bytes()
    sys.path.insert(0, str(ROOT / "tests"))
    from images import make_header, make_image, random_arrays

    sizes = {"n_neurons": 196, "n_classes": 12, "window_steps": 50, "n_latent": 196}
    arrays = random_arrays(make_header(**sizes), 0)
    arrays["bias"] -= 430  # about as sparse as a trained network
    return "random weights", make_image(arrays=arrays, **sizes)


def signal() -> np.ndarray:
    """Self-made: a buzzing voice of changing pitch in bursts, in a little noise; 16 kHz int16."""
    rng = np.random.default_rng(1)
    t = np.arange(SECONDS * 16000) / 16000
    pitch = 120 + 40 * np.sin(2 * np.pi * 0.7 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / 16000
    voice = sum(np.sin(k * phase) / k for k in range(1, 25))
    envelope = np.maximum(0, np.sin(2 * np.pi * 1.3 * t)) ** 2
    samples = 6000 * voice * envelope + rng.normal(0, 15, len(t))
    return np.clip(np.round(samples), -32768, 32767).astype(np.int16)


def instructions() -> list[Row]:
    """Instructions by callgrind: x86-64, scalar code, the C that runs on the microcontroller."""
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: no instruction counts", file=sys.stderr)
        return []
    name, image = model_image()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        program, model, pcm = (Path(folder) / part for part in ("instructions", "model", "pcm"))
        sources = sorted((CORE / "src").glob("*.c"))
        run("cc", *COMPILE, "-g", HERE / "instructions.c", *sources, "-o", program)
        model.write_bytes(image)
        pcm.write_bytes(signal().tobytes())
        callgrind = ("valgrind", "--tool=callgrind", "--toggle-collect=measure")
        for part, what, unit in (
            ("frontend", "front end", "second of audio"),
            ("network", "network", "second of audio"),
            ("detector", "detector", "second of audio"),
            ("learn_step", "network and learning, step by step", "second of audio"),
            ("learn_end", "learning at the end of a take", "take"),
        ):
            done = run(
                *(*callgrind, f"--callgrind-out-file={folder}/out"), program, part, model, pcm
            )
            collected = re.search(r"Collected : (\d+)", done.stderr)
            assert collected is not None
            n_steps, fired = done.stdout.split()
            count = int(collected.group(1))
            if unit == "second of audio":
                count = round(count * 50 / int(n_steps))
            rows.append(
                {
                    "what": f"instructions, {what}",
                    "value": count,
                    "unit": f"a {unit}",
                    "note": f"{name}; {float(fired):.1%} of the neurons fire in a step",
                }
            )
    return rows


def memory() -> list[Row]:
    """Bytes of RAM by part, from the sizes that the core states (structs as on this machine)."""
    name, image = model_image()
    model, owner = ffi.new("tkws_model *"), ffi.from_buffer(image)
    if lib.tkws_model_parse(model, owner, len(image)) != 0:
        raise SystemExit(f"{name} is not a model image")
    parts = {
        "front end": ffi.sizeof("tkws_frontend"),
        "network": ffi.sizeof("tkws_network") + lib.tkws_network_memory_bytes(model),
        "detector": ffi.sizeof("tkws_detector"),
        "learner": ffi.sizeof("tkws_learner") + lib.tkws_learner_memory_bytes(model),
        "model": ffi.sizeof("tkws_model"),
        "trainable weights": lib.tkws_model_trainable_bytes(model),
    }
    rows = [{"what": f"RAM, {part}", "value": n, "unit": "bytes"} for part, n in parts.items()]
    total = sum(parts.values())
    note = f"{name}, image of {len(image)} bytes in flash"
    return [*rows, {"what": "RAM, the core in all", "value": total, "unit": "bytes", "note": note}]


def code_size() -> list[Row]:
    """Bytes of code and tables of the core on a Cortex-M4."""
    if shutil.which("arm-none-eabi-gcc") is None:
        print("arm-none-eabi-gcc is not installed: no code size", file=sys.stderr)
        return []
    total = 0
    with tempfile.TemporaryDirectory() as folder:
        for source in sorted((CORE / "src").glob("*.c")):
            output = Path(folder) / f"{source.stem}.o"
            flags = ("-std=c11", "-Os", "-mcpu=cortex-m4", "-mthumb", f"-I{CORE / 'include'}")
            run("arm-none-eabi-gcc", *flags, "-c", source, "-o", output)
            text, data, bss = run("arm-none-eabi-size", output).stdout.splitlines()[1].split()[:3]
            assert (data, bss) == ("0", "0")
            total += int(text)
    note = run("arm-none-eabi-gcc", "--version").stdout.splitlines()[0]
    return [
        {"what": "code and tables, Cortex-M4 -Os", "value": total, "unit": "bytes", "note": note}
    ]


def evaluation_speed() -> list[Row]:
    """Clips a second through front end and network, on one core and on all."""
    name, image = model_image()
    clips = [signal()[:16000]] * 2000
    rows = []
    for workers in (1, os.cpu_count() or 1):
        start = time.perf_counter()
        classify(Model(image), clips, workers, lambda done, total: None)
        rate = round(len(clips) / (time.perf_counter() - start))
        what = f"evaluate, {workers} process{'es' if workers > 1 else ''}"
        rows.append({"what": what, "value": rate, "unit": "clips a second", "note": name})
    return rows


def training_speed() -> list[Row]:
    """Seconds of an epoch of the base model without teachers, on one thread, on random features."""
    try:
        import torch

        from tracekws.train.config import load_config
        from tracekws.train.group import Group
        from tracekws.train.loader import Batch
        from tracekws.train.loop import StudentRun
    except ImportError:
        print("torch is not installed (make setup-train): no training speed", file=sys.stderr)
        return []
    torch.set_num_threads(1)
    config = load_config("base", teachers=0)
    rng = np.random.default_rng(1)
    labels = np.arange(config.batch) % len(config.classes)
    features = rng.integers(0, 40, (len(labels), 49, lib.TKWS_FEATURES)).astype(np.int8)
    batches = [Batch(features, labels)] * (config.clips_per_epoch // config.batch)
    with tempfile.TemporaryDirectory() as folder:
        training = StudentRun(config, Path(folder), "", Group())
        start = time.perf_counter()
        training.train_epoch(batches, len(batches))
        seconds = round(time.perf_counter() - start, 1)
    note = f"{config.neurons} neurons, {config.clips_per_epoch} clips, one thread; torch " + str(
        torch.__version__
    )
    return [{"what": "training", "value": seconds, "unit": "seconds an epoch", "note": note}]


MEASUREMENTS: tuple[Callable[[], list[Row]], ...] = (
    instructions,
    memory,
    code_size,
    evaluation_speed,
    training_speed,
)


def memory_table() -> list[str]:
    """Of sizes.json, a row a board and model."""
    sizes = json.loads((HERE / "sizes.json").read_text())
    lines = [
        "",
        "## Memory of the firmware",
        "",
        "Made by `make sizes`, in bytes; all parts stand in `sizes.json`. RAM is what a device "
        "needs while it learns; flash is the firmware with its model, without slots.",
        "Of the stack: what is reserved, what the deepest call with all interrupts on top needs "
        "by computation, and what a session in emulation was seen to use.",
        "",
        "| board | model | flash | of it image | RAM | of it weights | network | learner "
        "| variables | stack: reserved | computed | seen | slot |",
        f"|---|---|{'---:|' * 11}",
    ]
    for board, models in sizes["boards"].items():
        for name, row in models.items():
            cells = [row[key] for key in ("flash", "image", "ram", "weights", "network", "learner")]
            static = row["ram"] - sum(cells[3:]) - row["stack"]
            stack = [row["stack"], row["stack, worst"], row["stack, used"]]
            numbers = [*cells, static, *stack, row["slot"]]
            lines.append(f"| {board} | {name} | {' | '.join(f'{n:,}' for n in numbers)} |")
    return lines


def cost_tables() -> list[str]:
    """Of cost.json, a table a board."""
    report = json.loads((HERE / "cost.json").read_text())
    lines = [
        "",
        "## Instructions on microcontrollers",
        "",
        "Made by `make cost` (`tracekws bench cost`); the same figures stand in `cost.json`. "
        f"Model: {report['model']['name']}, CRC {report['model']['crc']}.",
        "Exact counts from emulation, of a second of audio but for steps and frames; not cycles.",
        f"Published, for comparison: {cost.PEER}; task and network differ.",
        "The detector is silent while a device learns; `recognizer and learning` has it all the "
        "same, and the method that takes more.",
    ]
    boards = list(dict.fromkeys(row["board"] for row in report["rows"]))
    for board in boards:
        rows = [row for row in report["rows"] if row["board"] == board]
        first = rows[0]
        lines += [
            "",
            f"### {board}: {first['processor']}, on the machine {first['machine']}",
            "",
            f"| instructions | {' | '.join(row['sound'] for row in rows)} | goal |",
            f"|---|{'---:|' * (len(rows) + 1)}",
        ]
        for key, what in cost.describe(report["methods"]).items():
            values = [row[key] for row in rows]
            verdict = cost.verdict(board, key, max(values))
            lines.append(f"| {what} | {' | '.join(f'{v:,}' for v in values)} | {verdict} |")
    return lines


def table(results: Row) -> str:
    """The page of results."""
    where = results["machine"]
    lines = [
        "# Benchmarks",
        "",
        "Made by `make bench`; the same figures stand in `results.json`.",
        "Machine: {cpu}, {system}, {compiler}, Python {python}.".format(**where),
        "Instructions are callgrind's count of scalar x86-64 code (`-O2 -fno-tree-vectorize`): "
        "the same C, not a microcontroller's instruction set.",
        "",
        "| what | value | unit | note |",
        "|---|---:|---|---|",
    ]
    for row in results["rows"]:
        value = f"{row['value']:,}"
        lines.append(f"| {row['what']} | {value} | {row['unit']} | {row.get('note', '')} |")
    return "\n".join([*lines, *memory_table(), *cost_tables()]) + "\n"


def main() -> None:
    """Run every measurement and write both files."""
    if sys.argv[1:] == ["--page"]:
        results = json.loads((HERE / "results.json").read_text())
        (HERE / "README.md").write_text(table(results))
        return
    rows = [row for measurement in MEASUREMENTS for row in measurement()]
    results = {"machine": machine(), "rows": rows}
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "README.md").write_text(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
