# SPDX-License-Identifier: Apache-2.0
"""Fuzz core and application with libFuzzer: writes "fuzzing" of benchmarks/reliability.json.

Usage: python benchmarks/fuzzing.py [--minutes N] [--keep] [TARGET ...]. A target is
tests/fuzz/TARGET.c, built by clang with the address, undefined, integer and implicit-conversion
sanitizers. Two run at a time, so many minutes in all, from what is in tests/fuzz/corpus, from seeds
and from what runs before have found, which is in build/fuzz/found. An input that fails stays in
build/fuzz, and the last lines say how to run it again. --keep puts the least that covers as much
into tests/fuzz/corpus. When targets are named, rows of others stay in the file.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracekws.errors import MissingTool

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "tests"))

from fuzzbuild import (  # noqa: E402
    CORNERS,
    CORPUS,
    FIRMWARE,
    TARGETS,
    Build,
    build_corners,
    build_targets,
)
from fuzzseeds import seeds  # noqa: E402

FILE = HERE / "reliability.json"
FOLDER = ROOT / "build" / "fuzz"
CLANG = "clang-14"
JOBS = 2
SLICES = 2
"""A target runs so many times, that two of them end at the same time."""
PROGRESS_SECONDS = 10
MAX_BYTES = 2048
"""Of an input."""
CHECKS = "address,undefined,integer,implicit-conversion"
FLAGS = ["-O2", "-g", f"-fsanitize={CHECKS}", "-fno-sanitize-recover=all"]
FUZZER = Build(
    CLANG,
    [*FLAGS, "-fno-omit-frame-pointer"],
    ["-fsanitize=fuzzer-no-link", "-fno-sanitize-coverage=trace-cmp"],
    ["-fsanitize=fuzzer"],
    brings_main=True,
)
PROFILE = "-fprofile-instr-generate"
COVERAGE = Build(CLANG, ["-O1"], [PROFILE, "-fcoverage-mapping"], [PROFILE])
OPTIONS = [
    f"-max_len={MAX_BYTES}",
    "-timeout=60",
    "-rss_limit_mb=1024",
    "-print_final_stats=1",
    "-detect_leaks=0",
]
_STATUS = re.compile(r"#(\d+)\s+[A-Z]+\s+cov: (\d+) ft: (\d+)")
_EDGES = re.compile(r"PC tables \((\d+) PCs\)")
_EXECUTIONS = re.compile(r"stat::number_of_executed_units: (\d+)")


@dataclass
class Target:
    """What is known of a target; edges are those of the core and the application."""

    name: str
    executions: int = 0
    seconds: float = 0
    edges: int = 0
    edges_in_all: int = 0
    features: int = 0
    crashes: list[Path] = field(default_factory=list)
    running: int = 0
    """Executions of the present run so far."""

    def take_line(self, line: str) -> None:
        """Read a line of libFuzzer's."""
        if status := _STATUS.match(line):
            self.running = int(status[1])
            self.edges, self.features = int(status[2]), int(status[3])
        elif edges := _EDGES.search(line):
            self.edges_in_all = int(edges[1])
        elif executions := _EXECUTIONS.match(line):
            self.executions += int(executions[1])
            self.running = 0

    def progress(self) -> str:
        """A line for a person."""
        return (
            f"{self.name}: {self.executions + self.running:,} executions, {self.edges} of "
            f"{self.edges_in_all} edges, {self.features:,} features, {len(self.crashes)} crashes"
        )

    def row(self) -> dict[str, Any]:
        """What the file says."""
        return {
            "executions": self.executions,
            "seconds": round(self.seconds),
            "edges": self.edges,
            "edges_in_all": self.edges_in_all,
            "features": self.features,
            "corpus": len(list((CORPUS / self.name).iterdir())),
            "crashes": len(self.crashes),
        }


def environment() -> dict[str, str]:
    """For sanitized programs: where they failed, and little memory kept aside."""
    options = {"ASAN_OPTIONS": "quarantine_size_mb=4", "UBSAN_OPTIONS": "print_stacktrace=1"}
    return os.environ | options


def fuzz(target: Target, program: Path, seconds: int) -> None:
    """Run a target for so long; what fails is noted."""
    found, log = FOLDER / "found" / target.name, FOLDER / f"{target.name}.log"
    prefix = FOLDER / f"{target.name}-"
    command = [program, *OPTIONS, f"-max_total_time={seconds}", f"-artifact_prefix={prefix}"]
    folders = [found, CORPUS / target.name, FOLDER / "seeds" / target.name]
    before = set(FOLDER.glob(f"{target.name}-*-*"))
    start = time.monotonic()
    with (
        log.open("a") as copy,
        subprocess.Popen(
            [str(word) for word in [*command, *folders]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment(),
        ) as running,
    ):
        assert running.stderr is not None
        for line in running.stderr:
            target.take_line(line)
            copy.write(line)
    target.seconds += time.monotonic() - start
    target.crashes += sorted(set(FOLDER.glob(f"{target.name}-*-*")) - before)
    if running.returncode != 0 and not target.crashes:
        raise RuntimeError(f"{target.name} ended with {running.returncode}: see {log}")


def make_folders(names: list[str]) -> None:
    """What the fuzzers read and write, with the seeds in it."""
    for name in names:
        for folder in (FOLDER / "found", FOLDER / "seeds", CORPUS):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds(name)):
            (FOLDER / "seeds" / name / f"seed{number:03}").write_bytes(seed)
        (FOLDER / f"{name}.log").unlink(missing_ok=True)


def fuzz_all(targets: list[Target], programs: dict[str, Path], minutes: float) -> None:
    """Run all targets, two at a time, and say every few seconds how they do."""
    slices = targets * (SLICES if len(targets) > JOBS else 1)
    seconds = max(round(minutes * 60 * min(JOBS, len(slices)) / len(slices)), 1)
    with ThreadPoolExecutor(JOBS) as pool:
        waiting: set[Future[None]] = {
            pool.submit(fuzz, target, programs[target.name], seconds) for target in slices
        }
        try:
            while waiting:
                done, waiting = wait(waiting, PROGRESS_SECONDS)
                print("\n".join(t.progress() for t in targets if t.edges), flush=True)
                for future in done:
                    future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def keep(name: str, program: Path) -> None:
    """Put the least inputs that cover as much as all into the corpus."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        sources = [CORPUS / name, FOLDER / "seeds" / name, FOLDER / "found" / name]
        command = [program, *OPTIONS, "-set_cover_merge=1", "-use_counters=0", folder, *sources]
        run(command, environment())
        shutil.rmtree(CORPUS / name)
        shutil.copytree(folder, CORPUS / name)


def run(command: list[Any], env: dict[str, str] | None = None) -> str:
    """What a program prints. Raises RuntimeError with its last lines when it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", env=env)
    if done.returncode != 0:
        raise RuntimeError("\n".join((done.stdout + done.stderr).splitlines()[-20:]))
    return done.stdout


def tool(name: str) -> str:
    """The path of a tool. Raises MissingTool."""
    path = shutil.which(name)
    if path is None:
        raise MissingTool(f"{name} is not installed")
    return path


def covered_lines() -> dict[str, Any]:
    """Lines of each file of the core and the application that the committed corpora run."""
    profdata, cov = tool("llvm-profdata-14"), tool("llvm-cov-14")
    folder = FOLDER / "coverage"
    programs = build_targets(list(TARGETS), folder, COVERAGE)
    for name, program in programs.items():
        inputs = sorted((CORPUS / name).iterdir())
        run([program, *inputs], os.environ | {"LLVM_PROFILE_FILE": str(folder / f"{name}.raw")})
    merged = folder / "merged"
    run([profdata, "merge", "-o", merged, *(folder / f"{name}.raw" for name in programs)])
    first, *others = programs.values()
    objects = [word for other in others for word in ("-object", other)]
    report = run([cov, "export", "-summary-only", f"-instr-profile={merged}", first, *objects])
    rows = {}
    for file in json.loads(report)["data"][0]["files"]:
        lines, path = file["summary"]["lines"], Path(file["filename"])
        if FIRMWARE in path.parents and lines["count"] > 0:
            row = {"lines": lines["count"], "covered": lines["covered"]}
            rows[str(path.relative_to(FIRMWARE))] = row
    return rows


def corners() -> dict[str, int]:
    """Run the corners: how many, and the largest sum."""
    *lines, total = run([build_corners(FOLDER / "corners", CORNERS)], environment()).splitlines()
    words = total.split()
    return {
        **{name: int(value) for name, value in zip(words[::2], words[1::2], strict=True)},
        "largest_sum": max(int(line.split()[3]) for line in lines),
    }


def write(minutes: float, targets: list[Target]) -> None:
    """Write the file; what else is in it stays."""
    try:
        everything = json.loads(FILE.read_text())
    except FileNotFoundError:
        everything = {}
    rows = everything.get("fuzzing", {}).get("targets", {})
    rows |= {target.name: target.row() for target in targets}
    everything["fuzzing"] = {
        "command": f"make fuzz MINUTES={minutes:g}",
        "compiler": run([tool(CLANG), "--version"]).splitlines()[0],
        "system": f"{platform.system()} {platform.machine()}",
        "targets": {name: rows[name] for name in TARGETS if name in rows},
        "corners": corners(),
        "coverage": covered_lines(),
    }
    FILE.write_text(json.dumps(everything, indent=1, sort_keys=True) + "\n")


def main() -> None:
    """Build, fuzz, write; exit 1 when an input failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all of them by default")
    wanted = parser.parse_args()
    names = wanted.targets or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    targets = [Target(name) for name in names]
    try:
        programs = build_targets(names, FOLDER / "bin", FUZZER)
        make_folders(names)
        fuzz_all(targets, programs, wanted.minutes)
        failed = [(target, crash) for target in targets for crash in target.crashes]
        if wanted.keep and not failed:
            for name in names:
                keep(name, programs[name])
        if not failed:
            write(wanted.minutes, targets)
    except MissingTool as error:
        sys.exit(f"{error}: scripts/install_debian.sh installs it")
    except RuntimeError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped: nothing written; what was found stays in build/fuzz/found")
    for target, crash in failed:
        print(f"{target.name} fails: {programs[target.name]} {crash}")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
