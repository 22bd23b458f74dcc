# SPDX-License-Identifier: Apache-2.0
"""Other recognizers on our recordings, beside ours: writes peers.json.

Usage: python benchmarks/peers.py --data SETS --run RUN

in an environment of its own: `pip install -e '.[train]' -r benchmarks/peers.txt`. SETS has gsc,
asc, talk, phrases and sounds (docs/robust.md). RUN has the checkpoint of the teacher that
`tracekws train` made from them, teacher-1.safetensors, and gets that of DS-CNN: start the same
command again, and its training goes on. Parts that peers.json has of this model are not measured
again. Nothing is downloaded: all models of others come in their packages.

Processor time is that of one thread on this machine, for a second of sound, all in one run.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from peer_network import EVERY, NAME, Int8Network, int8_image, train
from peer_streams import Ground, heard_of, read_ground, with_chosen_thresholds
from peer_wake import WAKE_WORDS, WORD, Sphinx, sphinx_columns, wake_columns
from peer_words import Embedding, Warping, right_and_accepted

from tracekws import files
from tracekws.audio import SAMPLE_RATE
from tracekws.bench.sets import PHRASES, SOUNDS, SPEECH, TALK, read_set, read_split
from tracekws.bench.stream import held_back
from tracekws.bench.teaching import bench_teach, draw_pupils
from tracekws.core import Model, Network, detect, features_and_loudness
from tracekws.data import Progress, read_recordings, read_tree
from tracekws.errors import TraceKwsError
from tracekws.train.config import load_config

FILE = Path(__file__).resolve().parent / "peers.json"
SHOTS = (1, 3, 5)
EPOCHS = 30
SPHINX_THRESHOLDS = (1e-5, 1e-1, 1.0, 1e5, 1e10)
SPHINX_MINUTES = 10
"""Of the clean stream."""
FOREIGN = "asc"
OURS = "base"

Row = dict[str, Any]


def told(what: str) -> Progress:
    """Print now and then how far something is."""
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= 10:
            last = time.monotonic()
            print(f"{what}: {done} of {total}", flush=True)

    return tell


def keywords(data: Path, run: Path, model: Model, ground: Ground) -> list[Row]:
    """Ours, DS-CNN and pocketsphinx in the testing speakers' streams."""
    config = load_config(OURS, epochs=EPOCHS)
    image = int8_image(train(data, run, config, told), data, run / f"{NAME}.tflite")
    print("thresholds of the int8 network", flush=True)
    int8 = Int8Network(image, model)
    rows: list[Row] = [
        {"what": OURS, "bytes": len(model.image), **heard_of(Network(model), ground, model)},
        {
            "what": f"{NAME}, int8, {50 // EVERY} times a second",
            "bytes": image.stat().st_size,
            **heard_of(int8, ground, with_chosen_thresholds(int8, ground)),
        },
    ]
    for threshold in SPHINX_THRESHOLDS:
        print(f"pocketsphinx, {threshold:g}", flush=True)
        heard = sphinx_columns(model.keywords, threshold, ground.clean[:SPHINX_MINUTES])
        rows.append(
            {
                "what": f"pocketsphinx, threshold {threshold:g}",
                "clean": heard["heard"],
                "clean_false": heard["false_per_100"],
            }
        )
    return rows


def wake_words(data: Path) -> list[Row]:
    """Wake words of others: recordings of the word, and what is none."""
    phrases = read_set(data / PHRASES, text=True)
    said = [one for one in phrases if set(one.words) == {WORD}]
    other = [one for one in phrases if one.split == "testing" and WORD not in one.words]
    other += [*read_split(data, TALK, "testing"), *read_split(data, SOUNDS, "testing")]
    rows = []
    for name, wake in WAKE_WORDS.items():
        print(name, flush=True)
        rows.append({"what": name, "recordings": len(said), **wake_columns(wake, said, other)})
    return rows


def own_words(data: Path, model: Model) -> list[Row]:
    """Words that no network has, by one, three and five takes: one draw of each speaker."""
    tree = read_tree(data / FOREIGN)
    recordings = read_recordings(tree.clips, told("reading"))
    sounds = held_back(read_tree(data / SPEECH).noises)
    pupils = draw_pupils(recordings, 1, max(SHOTS), 1)
    taught = bench_teach(
        model, recordings, sounds, shots=SHOTS, draws=1, workers=1, progress=told("teaching")
    )
    wanted = ("choice", "clips_at_90", "clips_at_99")
    rows: list[Row] = [
        {"what": OURS, "takes": row.takes, **{name: row.columns[name].mean for name in wanted}}
        for row in taught
    ]
    for way in (Embedding(), Warping()):
        print(way.name, flush=True)
        described = right_and_accepted(way, recordings, pupils, SHOTS)
        rows += [{"what": way.name, "takes": takes, **row} for takes, row in described.items()]
    return rows


def processor_time(model: Model, run: Path, ground: Ground) -> list[Row]:
    """Milliseconds of one thread for a second of the clean stream, each in turn, in one run."""
    pcm, _ = ground.clean[0].mix()
    seconds = len(pcm) / SAMPLE_RATE
    ours, int8 = Network(model), Int8Network(run / f"{NAME}.tflite", model)
    sphinx = Sphinx(model.keywords, 1e-1)
    embedding = Embedding()

    def by(network: Network | Int8Network) -> None:
        steps, loudness = features_and_loudness(pcm, model.front_end)
        detect(model, network.stream(steps), loudness)

    work: dict[str, Callable[[], object]] = {
        OURS: lambda: by(ours),
        f"{NAME}, int8": lambda: by(int8),
        **{name: partial(wake, pcm) for name, wake in WAKE_WORDS.items()},
        embedding.name: lambda: embedding.described(pcm),
        "pocketsphinx": lambda: sphinx.hear(pcm),
    }
    rows = []
    for name, run_it in work.items():
        start = time.process_time()
        run_it()
        spent = time.process_time() - start
        rows.append({"what": name, "ms_a_second": 1000 * spent / seconds})
    return rows


def main() -> None:
    """Measure, and write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of sets")
    parser.add_argument("--run", type=Path, required=True, help="folder of checkpoints")
    given = parser.parse_args()
    model = Model.load(OURS)
    ground = read_ground(model, given.data)
    identity = {"name": model.name, "crc": f"{model.crc:08x}"}
    report = json.loads(FILE.read_text()) if FILE.exists() else {}
    if report.get("model") != identity:
        report = {"model": identity}
    parts: dict[str, Callable[[], list[Row]]] = {
        "keywords": lambda: keywords(given.data, given.run, model, ground),
        "wake_words": lambda: wake_words(given.data),
        "own_words": lambda: own_words(given.data, model),
        "processor": lambda: processor_time(model, given.run, ground),
    }
    for name, measure in parts.items():
        if name not in report:
            report[name] = measure()
            files.write(FILE, (json.dumps(report, indent=1) + "\n").encode())


if __name__ == "__main__":
    try:
        main()
    except TraceKwsError as error:
        sys.exit(f"error: {error}")
