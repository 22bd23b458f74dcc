# SPDX-License-Identifier: Apache-2.0
"""Where Traces Propagation pays beside learning the readout alone: writes learning.json.

Usage: python benchmarks/learning.py --data DATA --speakers FILE [--foreign TREE] [--draws N]

The experiment is that of `tracekws bench adapt`, with its defaults but for the draws, for base and
small: as recorded, in another room, in noise, each without and with five takes of the speaker's
other words. With --foreign, a tree of another language, also new words: 20 passes, two drawings of
ten words. What the file has for a condition, with the same models and settings, is not run again.
Beside the columns stand the paired differences of each method to readout+replay, with their 95 %
intervals over the speakers. Small also has the readout alone with replay through the layer.
"""

import argparse
import json
import sys
from dataclasses import asdict
from itertools import product
from pathlib import Path

from tracekws import data, files
from tracekws.bench import adapting
from tracekws.bench.adapting import Estimates, Experiment, differences
from tracekws.core import READOUT, SEQUENCES, Model
from tracekws.errors import TraceKwsError

ROOT = Path(__file__).resolve().parents[1]
FILE = Path(__file__).resolve().parent / "learning.json"
BASELINE = "readout+replay"
CONTROL = "readout+feature-replay"
FLAGS = adapting.METHODS | {CONTROL: READOUT | SEQUENCES}
METHODS = {
    "base": (BASELINE, "tp+replay", "tp+feature-replay"),
    "small": (BASELINE, "tp+replay", "tp+feature-replay", CONTROL),
}
"""The control is for the small model, whose image has room for more sequences to rehearse."""
NEW_WORDS_PASSES = 20


def conditions(foreign: bool, draws: int) -> list[tuple[str, Experiment]]:
    """Model and settings of every row."""
    models, negatives = ("base", "small"), (0, 5)
    found = [
        (model, Experiment(draws=draws, negatives=n, changed_sound=sound))
        for n, model, sound in product(negatives, models, ("", "room", "noise"))
    ]
    if foreign:
        found += [
            (model, Experiment(3, NEW_WORDS_PASSES, n, draws, seed, new_words=True))
            for n, model, seed in product(negatives, models, (1, 2))
        ]
    return found


def plain(estimates: Estimates) -> files.JsonObject:
    """Means with their intervals."""
    return {
        name: [round(x, 2) for x in (one.mean, one.low, one.high)] if one else None
        for name, one in estimates.items()
    }


def measure(
    model: Model, tree: data.Tree, listed: list[str] | None, settings: Experiment
) -> files.JsonObject:
    """One row."""
    learner = adapting.learner_of(model, tree, settings)
    people = adapting.read_people(learner, tree, None, listed, settings, lambda done, total: None)
    report = adapting.bench_adapt(learner, people, settings, METHODS[model.name], flags=FLAGS)
    (baseline,) = (row for row in report.rows if row.method == BASELINE)
    return {
        "model": model.identity,
        "settings": asdict(settings),
        "words": list(learner.keywords),
        "speakers": len(people.speakers),
        "data": people.digest,
        "methods": {row.method: plain(row.columns) for row in report.rows},
        f"to_{BASELINE}": {
            row.method: plain(differences(row.columns, baseline.columns)) for row in report.rows
        },
    }


def run(trees: dict[bool, data.Tree], listed: list[str], draws: int, file: Path = FILE) -> None:
    """Measure what is missing; the file is written after each row.

    Args:
        trees: of the model's words and, for True, of new ones, if there is one.
        listed: the speakers of the former.
        draws: of each speaker.
        file: of results.

    Raises:
        DataError: a tree that is not usable.
    """
    known = json.loads(file.read_text()) if file.exists() else []
    rows: list[files.JsonObject] = []

    def write(rest: list[files.JsonObject]) -> None:
        files.write(file, (json.dumps(rows + rest, indent=1) + "\n").encode())

    for name, settings in conditions(True in trees, draws):
        model = Model.load(ROOT / "models" / f"{name}.tkws")
        about = (model.identity, asdict(settings))
        fits = (row for row in known if (row["model"], row["settings"]) == about)
        row = next((row for row in fits if {*METHODS[name]} < {*row["methods"]}), None)
        new = settings.new_words
        rows.append(row or measure(model, trees[new], None if new else listed, settings))
        print(name, settings, rows[-1][f"to_{BASELINE}"]["tp+replay"], flush=True)
        write([row for row in known if row not in rows])
    write([])


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="Speech Commands tree")
    parser.add_argument("--speakers", type=Path, required=True, help="file with the speakers")
    parser.add_argument("--foreign", type=Path, help="tree of words of another language")
    parser.add_argument("--draws", type=int, default=3)
    given = parser.parse_args()
    trees = {False: data.read_tree(given.data)}
    if given.foreign:
        trees[True] = data.read_tree(given.foreign)
    run(trees, data.read_names(given.speakers), given.draws)


if __name__ == "__main__":
    try:
        main()
    except TraceKwsError as error:
        sys.exit(f"error: {error}")
