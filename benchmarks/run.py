# SPDX-License-Identifier: Apache-2.0
"""Measure what the README quotes: writes results.json and README.md beside this file.

Usage: python benchmarks/run.py [--page]. A function a measurement; one whose tool is missing says
so and leaves its rows out. --page measures nothing: README.md and accuracy.png are written from
the other files beside it and the models' cards as they are.
"""

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tracekws._core import ffi, lib
from tracekws.bench import cost
from tracekws.bench.clips import classify
from tracekws.core import Model
from tracekws.figure import write_figure
from tracekws.files import JsonObject

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CORE = ROOT / "firmware" / "core"
MODELS = ROOT / "models"
MODEL = MODELS / "base.tkws"
SHIPPED = ("base", "small")
COUNTED_ON = "Cortex-M4"
"""Processor whose instructions the picture has."""
SECONDS = 4
COMPILE = ("-std=c11", "-O2", "-fno-tree-vectorize", f"-I{CORE / 'include'}")


def run(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a command and return what it printed."""
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True)


def machine() -> JsonObject:
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
    samples: np.ndarray = 6000 * voice * envelope + rng.normal(0, 15, len(t))
    return np.clip(np.round(samples), -32768, 32767).astype(np.int16)


def instructions() -> list[JsonObject]:
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


def memory() -> list[JsonObject]:
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
        "weights and takes": lib.tkws_model_trainable_bytes(model),
    }
    rows = [{"what": f"RAM, {part}", "value": n, "unit": "bytes"} for part, n in parts.items()]
    total = sum(parts.values())
    note = f"{name}, image of {len(image)} bytes in flash"
    return [*rows, {"what": "RAM, the core in all", "value": total, "unit": "bytes", "note": note}]


def code_size() -> list[JsonObject]:
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


def evaluation_speed() -> list[JsonObject]:
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


def training_speed() -> list[JsonObject]:
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
    batches = [Batch(features, labels, labels, None)] * (config.clips_per_epoch // config.batch)
    with tempfile.TemporaryDirectory() as folder:
        training = StudentRun(config, len(config.classes), Path(folder), "", Group())
        start = time.perf_counter()
        training.train_epoch(batches, len(batches))
        seconds = round(time.perf_counter() - start, 1)
    note = f"{config.neurons} neurons, {config.clips_per_epoch} clips, one thread; torch " + str(
        torch.__version__
    )
    return [{"what": "training", "value": seconds, "unit": "seconds an epoch", "note": note}]


MEASUREMENTS: tuple[Callable[[], list[JsonObject]], ...] = (
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
        "Of the stack: what is reserved, and what the deepest call with all interrupts on top "
        "needs by computation.",
        "",
        "| board | model | flash | of it image | RAM | of it weights | takes | network | learner "
        "| variables | stack: reserved | computed | slot |",
        f"|---|---|{'---:|' * 11}",
    ]
    for board, models in sizes["boards"].items():
        for name, row in models.items():
            keys = ("flash", "image", "ram", "weights", "takes", "network", "learner")
            cells = [row[key] for key in keys]
            static = row["ram"] - sum(cells[3:]) - row["stack"]
            numbers = [*cells, static, row["stack"], row["stack, worst"], row["slot"]]
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


def shipped_models() -> list[JsonObject]:
    """What the cards of the shipped models say."""
    rows = []
    for name in SHIPPED:
        card = json.loads((ROOT / "models" / f"{name}.json").read_text())
        config = card["config"]
        instructions = [
            cost["total"]
            for cost in card.get("cost", [])
            if cost["processor"] == COUNTED_ON and cost["sound"] == "speech"
        ]
        rows.append(
            {
                "model": name,
                "parameters": card["trainable_bytes"] // 2,
                "bytes": card["trainable_bytes"],
                "instructions": instructions[0] if instructions else None,
                "seeds": [config["seed"]],
                "epochs": config["epochs"],
                "validation": [card["results"]["validation"]["accuracy"]],
                "testing": [card["results"]["testing"]["accuracy"]],
                "training_data": card["training_data"],
            }
        )
    return rows


def anchors() -> list[JsonObject]:
    """Of anchors.json, all seeds of a model with the same epochs and clips in one row."""
    path = HERE / "anchors.json"
    groups: dict[tuple[object, ...], JsonObject] = {}
    for row in json.loads(path.read_text()) if path.exists() else []:
        group = groups.setdefault(
            (row["model"], row["epochs"], row["training_data"]),
            {**row, "bytes": row["int8_bytes"], "seeds": [], "validation": [], "testing": []},
        )
        group["seeds"].append(row["seed"])
        for split in ("validation", "testing"):
            group[split].append(row[split])
    return list(groups.values())


def mean(values: list[float]) -> float:
    """Arithmetic mean."""
    return sum(values) / len(values)


def spread(values: list[float]) -> str:
    """Their mean, and the lowest and the highest where there are several."""
    text = f"{mean(values):.2f}"
    return text if len(values) == 1 else f"{text} ({min(values):.2f} to {max(values):.2f})"


def accuracy_table() -> list[str]:
    """Of the shipped models and the anchors, a row a model."""
    lines = [
        "",
        "## Accuracy, size and cost",
        "",
        "![accuracy over bytes of weights, and over instructions](accuracy.png)",
        "",
        "Percent of the clips of words, of validation and testing speakers: the mean, and from the "
        "lowest to the highest seed where there are several. Ours are the shipped images, through "
        "the C core, in int16; their weights are those that can be trained on the device, and the "
        f"instructions are those of a second of speech on a {COUNTED_ON}, front end included.",
        "The anchors are conventional networks, made by `benchmarks/anchors.py` with our features, "
        "augmentation and teachers; the same figures stand in `anchors.json`. They are measured in "
        "floating point; their weights are taken as a byte a parameter, and multiply-adds are "
        "those of one inference of a second, without the front end. "
        "DS-CNN-S is that of arXiv 1711.07128 with steps of 4 x 4 in its first convolution, "
        "BC-ResNet-1 that of arXiv 2106.04140.",
        "",
        "| model | parameters | bytes of weights | instructions | multiply-adds | seeds | epochs "
        "| clips | validation | testing |",
        "|---|---:|---:|---:|---:|---|---:|---|---:|---:|",
    ]
    for row in [*shipped_models(), *anchors()]:
        counts = [row.get(key) for key in ("parameters", "bytes", "instructions", "multiply_adds")]
        cells = [
            row["model"],
            *("-" if count is None else f"{count:,}" for count in counts),
            ", ".join(map(str, sorted(row["seeds"]))),
            row["epochs"],
            row["training_data"],
            *(spread(row[split]) for split in ("validation", "testing")),
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def rules_tables() -> list[str]:
    """Of lab.jsonl, a table a task, the best rule first."""
    lines = (HERE / "lab.jsonl").read_text().splitlines()
    runs = [run for run in map(json.loads, lines) if not run["trial"]]
    page = [
        "",
        "## Learning rules",
        "",
        "Made by `tracekws lab compare`; `lab.jsonl` has every run. Percent on testing: the mean, "
        "and the standard deviation over seeds. Bytes are of the last training batch, with Adam's "
        "moments and sums of gradients; rates are what it was given after the trials on "
        "validation.",
    ]
    for task in dict.fromkeys(run["task"] for run in runs):
        of_task = [run for run in runs if run["task"] == task]
        first = of_task[0]
        rules: dict[str, list[JsonObject]] = {}
        for run in of_task:
            rules.setdefault(run["rule"], []).append(run)
        for rule, own in rules.items():  # of whatever code was run last
            last = own[-1].get("code", "")
            rules[rule] = [run for run in own if run.get("code", "") == last]
        best = sorted(rules.values(), key=lambda own: -mean([run["test"] for run in own]))
        page += [
            "",
            f"`{task}`, {first['epochs']} passes, data {first['data'][:8]}:",
            "",
            "| rule | seeds | validation | testing | bytes kept | rate | of the readout |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        for own in best:
            tests = [run["test"] for run in own]
            deviation = f" ± {statistics.stdev(tests):.1f}" if len(tests) > 1 else ""
            cells = [
                f"`{own[0]['rule']}`",
                len(own),
                f"{mean([run['validation'] for run in own]):.1f}",
                f"{mean(tests):.1f}{deviation}",
                f"{max(run['state_bytes'] for run in own):,}",
                *(f"{own[0]['settings'][name]:.3g}" for name in ("rate", "readout_rate")),
            ]
            page.append(f"| {' | '.join(map(str, cells))} |")
    return page


def learning_table() -> list[str]:
    """Of learning.json, a row a condition."""
    names = ("readout+replay", "tp+replay", "tp+feature-replay", "readout+feature-replay")
    rows = json.loads((HERE / "learning.json").read_text())
    models = dict.fromkeys(f"{row['model']['name']} {row['model']['crc']}" for row in rows)
    page = [
        "",
        "## Where Traces Propagation pays",
        "",
        "Made by `benchmarks/learning.py`; `learning.json` has all columns. Adapting as in the "
        "README, of speakers as recorded, in another room or in noise (both made up), without "
        "and with five takes of their other words learned as unknown; and to ten words of another "
        "language, 20 passes, two drawings of the words. Percent of the speaker's keywords and of "
        "the speaker's other words rejected; then the paired difference to readout+replay in "
        "keywords at the same rejection (that before adapting, of new words 90 %), with its 95 % "
        "interval over speakers, for which the threshold was held as it was: too narrow. "
        f"Of models before those that ship (CRC): {', '.join(models)}.",
        "",
        "| model | input | other words learned | speakers, draws "
        f"| {' | '.join(names)} | {' | '.join(f'{name} to {names[0]}' for name in names[1:])} |",
        f"|---|---|---:|---|{'---:|' * 7}",
    ]
    for row in rows:
        settings, methods = row["settings"], row["methods"]
        equal = "keywords_self_at_same_rejection"
        both = [
            f"{own['keywords_self'][0]:.1f}, {own['unknown_self'][0]:.1f}" if own else "-"
            for own in map(methods.get, names)
        ]
        differences = [row["to_readout+replay"].get(name) for name in names[1:]]
        gains = [
            "{:+.1f} ({:+.1f} to {:+.1f})".format(*own[equal]) if own else "-"
            for own in differences
        ]
        words = f"new words {settings['seed']}" if settings["new_words"] else ""
        cells = [
            row["model"]["name"],
            words or settings["changed_sound"] or "as recorded",
            settings["negatives"],
            f"{row['speakers']}, {settings['draws']}",
            *both,
            *gains,
        ]
        page.append(f"| {' | '.join(map(str, cells))} |")
    return page


def fuzzing_tables() -> list[str]:
    """Of "fuzzing" in reliability.json: a row a target, and a row a file."""
    report = json.loads((HERE / "reliability.json").read_text())["fuzzing"]
    lines = [
        "",
        "## Fuzzing",
        "",
        f"Made by `{report['command']}` ([docs/reliability.md](../docs/reliability.md)); the same "
        "figures stand in `reliability.json`. Edges and features are those of core and "
        "application, as libFuzzer counts them. Edges in all have those to the reports of the "
        "sanitizers in them, which nothing may reach, and what a target does not use.",
        "",
        "| target | executions | seconds | edges | in all | features | kept inputs | crashes |",
        f"|---|{'---:|' * 7}",
    ]
    columns = ("executions", "seconds", "edges", "edges_in_all", "features", "corpus", "crashes")
    for name, row in sorted(report["targets"].items()):
        lines.append(f"| {name} | {' | '.join(f'{row[key]:,}' for key in columns)} |")
    lines += ["", "| file | lines | run by the kept inputs |", "|---|---:|---:|"]
    for name, row in sorted(report["coverage"].items()):
        if row["lines"]:  # a table of constants has none
            lines.append(f"| {name} | {row['lines']} | {row['covered'] / row['lines']:.1%} |")
    corners = report["corners"]
    lines += [
        "",
        f"Corners: {corners['models']:,} models, {corners['sums']:,} sums; the largest is "
        f"{corners['largest_sum']:,} of {2**31 - 1:,}.",
    ]
    return lines


def accuracy_picture(path: Path) -> None:
    """Draw accuracy over bytes of weights, all models, and over instructions, ours.

    tried.json has what the cards of other models said, with the commits that have them, if any.
    """
    from matplotlib.figure import Figure

    ours, others = shipped_models(), anchors()
    tried = [
        {**row, "model": "", **{split: [row[split]] for split in ("validation", "testing")}}
        for row in json.loads((HERE / "tried.json").read_text())
    ]
    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    colours = {"validation": "tab:blue", "testing": "tab:orange"}

    def draw(
        axes: Any, key: str, unit: int, rows: list[JsonObject], marker: str, size: int
    ) -> None:
        for row in rows:
            if row[key] is None:
                continue
            for split, colour in colours.items():
                values = row[split]
                x, y = row[key] / unit, mean(values)
                axes.plot([x, x], [min(values), max(values)], color=colour, linewidth=1)
                axes.plot(x, y, marker, color=colour, markersize=size)
                axes.annotate(row["model"], (x, y), (6, 4), textcoords="offset points", fontsize=8)

    draw(left, "bytes", 1000, tried, ".", 6)
    draw(left, "bytes", 1000, others, "^", 7)
    draw(left, "bytes", 1000, ours, "o", 10)
    draw(right, "instructions", 10**6, ours, "o", 10)
    left.set_xlabel("1000 bytes of weights: ours int16; anchors (triangles) a byte a parameter")
    right.set_xlabel(f"million instructions of a second of speech, {COUNTED_ON}; ours alone")
    left.set_ylabel("percent of the clips of words")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.set_xlim(0, 1.2 * axes.get_xlim()[1])
    for split, colour in colours.items():
        right.plot([], [], "s", color=colour, label=split)
    right.legend(loc="lower right")
    left.set_title("shipped models large, earlier ones as dots")
    write_figure(figure, path)


def table(results: JsonObject) -> str:
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
    tables = (accuracy_table, rules_tables, learning_table, memory_table, cost_tables)
    parts = (*tables, fuzzing_tables)
    return "\n".join([*lines, *(line for part in parts for line in part())]) + "\n"


def write_page(results: JsonObject) -> None:
    """Write README.md and its picture."""
    (HERE / "README.md").write_text(table(results))
    accuracy_picture(HERE / "accuracy.png")


def main() -> None:
    """Run every measurement and write the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--page", action="store_true", help="write the page anew, measure nothing")
    if parser.parse_args().page:
        write_page(json.loads((HERE / "results.json").read_text()))
        return
    rows = [row for measurement in MEASUREMENTS for row in measurement()]
    results = {"machine": machine(), "rows": rows}
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    write_page(results)
    print(table(results))


if __name__ == "__main__":
    main()
