# SPDX-License-Identifier: Apache-2.0
"""Cut the power everywhere: writes "power_cuts" into reliability.json.

Usage: python benchmarks/cuts.py. Runs every case of build/cuts/cuts, which it builds, and thirty
cuts on each emulated board that has flash of its own. A board whose compiler or emulator is missing
is left out. Exit status 1 when a case failed: its name is printed, and build/cuts/cuts NAME runs it
alone.
"""

import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tracekws.errors import MissingTool

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "boards")]

from boardcuts import BOARDS, CutBoard, cut_everywhere  # noqa: E402

from powercuts import GEOMETRIES, build_cuts, run_cuts  # noqa: E402

FILE = HERE / "reliability.json"
CUTS_ON_A_BOARD = 30


def in_memory(folder: Path) -> dict[str, dict[str, int]]:
    """Cuts, second cuts and failures of each geometry; two run at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    program = build_cuts(folder)
    found = {}
    with ThreadPoolExecutor(max_workers=2) as pool:
        results = pool.map(lambda name: run_cuts(program, name), GEOMETRIES)
        for name, (counts, failed) in zip(GEOMETRIES, results, strict=True):
            found[name] = counts
            print(f"{name}: {counts}", *failed, sep="\n", flush=True)
    return found


def on_board(name: str) -> dict[str, int] | None:
    """Cuts and failures on an emulated board; None when it is left out."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            board = CutBoard(name, Path(folder))
        except MissingTool as reason:
            print(f"{name}: left out: {reason}")
            return None
        n_cuts, failed = cut_everywhere(board, CUTS_ON_A_BOARD)
    counts = {"cuts": n_cuts, "failures": len(failed)}
    print(f"{name}, emulated: {counts}", *failed, sep="\n", flush=True)
    return counts


def write(key: str, value: Any) -> None:
    """Replace one key of the file, others stay."""
    known = json.loads(FILE.read_text()) if FILE.is_file() else {}
    known[key] = value
    FILE.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def main() -> None:
    """Run all; write the file."""
    geometries = in_memory(ROOT / "build" / "cuts")
    boards = {name: counts for name in BOARDS if (counts := on_board(name)) is not None}
    totals = {
        name: sum(counts[name] for counts in geometries.values())
        for name in ("cuts", "second_cuts", "failures")
    }
    write("power_cuts", totals | {"geometries": geometries, "boards": boards})
    if any(counts["failures"] for counts in (totals, *boards.values())):
        sys.exit(1)


if __name__ == "__main__":
    main()
