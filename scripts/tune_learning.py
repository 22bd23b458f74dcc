#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Try constants of learning on tuning speakers: one row of the four columns for each setting.

Use a model that was trained without these speakers (tracekws train --exclude-speakers FILE).

Example: scripts/tune_learning.py tuning.tkws --data speech_commands
    --speakers tuning_speakers.txt --method readout+replay --readout 0.2 0.4 --latent 2 4
"""

import argparse
import itertools
import json
from dataclasses import replace
from pathlib import Path

from tracekws import data, modelfile
from tracekws.bench import adapting
from tracekws.core import Model
from tracekws.train.defaults import LEARNING


def main() -> None:
    """Print a JSON line for each setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--speakers", type=Path, required=True)
    parser.add_argument("--method", nargs="+", default=["readout+replay"])
    parser.add_argument("--readout", nargs="+", type=float, default=[LEARNING.readout_rate])
    parser.add_argument("--traces", nargs="+", type=float, default=[LEARNING.traces_rate])
    parser.add_argument("--latent", nargs="+", type=int, default=[LEARNING.latent_per_take])
    parser.add_argument("--sequences", nargs="+", type=int, default=[LEARNING.sequences_per_take])
    parser.add_argument("--passes", nargs="+", type=int, default=[LEARNING.passes])
    parser.add_argument("--negatives", type=int, default=0)
    parser.add_argument("--draws", type=int, default=1)
    args = parser.parse_args()
    model = Model.load(args.model)
    tree = data.read_tree(args.data)
    settings = adapting.Experiment(draws=args.draws, negatives=args.negatives)
    speakers = data.read_names(args.speakers)
    people = adapting.read_people(model, tree, None, speakers, settings, lambda done, total: None)
    for readout, traces, latent, sequences, passes in itertools.product(
        args.readout, args.traces, args.latent, args.sequences, args.passes
    ):
        learning = replace(
            LEARNING,
            readout_rate=readout,
            traces_rate=traces,
            latent_per_take=latent,
            sequences_per_take=sequences,
        )
        tuned = Model(modelfile.with_learning(model, learning))
        report = adapting.bench_adapt(
            tuned, people, replace(settings, passes=passes), tuple(args.method)
        )
        for row in report.rows:
            columns = {name: e and round(e.mean, 2) for name, e in row.gain.items()}
            setting = {
                "method": row.method,
                "readout": readout,
                "traces": traces,
                "latent": latent,
                "sequences": sequences,
                "passes": passes,
            }
            print(json.dumps(setting | columns), flush=True)


if __name__ == "__main__":
    main()
