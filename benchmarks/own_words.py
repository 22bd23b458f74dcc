# SPDX-License-Identifier: Apache-2.0
"""Models of own words by `tracekws train --config quick`, measured on speakers they do not know.

Writes benchmarks/own_words.json. Each set has five words that `base` is no model of, a hundred
clips each of training speakers, those with the most takes first. It is trained twice: from these
clips alone, and with forty clips each of every second other word of the data. What is heard is the
testing speakers' words, and those other words that neither training had.

    python benchmarks/own_words.py --data DATA --run runs/own_words
"""

import argparse
import json
import resource
import time
from pathlib import Path

from tracekws import data, files
from tracekws.bench.clips import classify
from tracekws.bench.stream import held_back
from tracekws.bench.streams import CLEAN_DB, NOISY_DB, bench_speech, minutes_of
from tracekws.core import Model
from tracekws.data import Clip, Recordings, Tree, read_recordings
from tracekws.train.config import load_config
from tracekws.train.defaults import DETECTOR, LEARNING
from tracekws.train.pipeline import Job, train

SETS = {
    "a": ("backward", "bed", "cat", "eight", "five"),
    "b": ("forward", "four", "happy", "one", "three"),
    "c": ("two", "zero", "backward", "cat", "happy"),
}
OWN, OTHERS, TESTED = 100, 40, 40
"""Clips of a word, of an other word that is learned, and of one that is heard."""
OUT = Path(__file__).parent / "own_words.json"


def most_takes(clips: list[Clip], count: int) -> list[Clip]:
    """So many clips, of the speakers who said the word most often."""
    takes = [clip.speaker for clip in clips]
    return sorted(clips, key=lambda c: (-takes.count(c.speaker), c.speaker, c.key))[:count]


def write_tree(folder: Path, clips: list[Clip]) -> None:
    """Links to clips, in the form of a tree."""
    for clip in clips:
        link = folder / clip.word / clip.speaker / clip.path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(clip.path.resolve())


def cpu_seconds() -> float:
    """Of this process and those that it has waited for."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = [resource.getrusage(kind) for kind in kinds]
    return sum(one.ru_utime + one.ru_stime for one in used)


def heard(model: Model, tested: Recordings, tree: Tree) -> dict[str, object]:
    """What a model hears of clips, one by one and in streams."""
    guess = classify(model, [*tested.pcm], 1, lambda done, total: None)
    truth = [model.class_of(clip.word) for clip in tested.clips]
    mine = [g == t for g, t in zip(guess, truth, strict=True) if t != model.unknown]
    away = (model.unknown, model.silence)
    other = [g in away for g, t in zip(guess, truth, strict=True) if t == model.unknown]
    minutes = minutes_of(tested, model.keywords)
    sounds = held_back(tree.noises)
    streams = [
        bench_speech(model, tested, sounds, minutes, ratio, workers=1).summary()
        for ratio in (CLEAN_DB, NOISY_DB)
    ]
    return {
        "clips_right_percent": 100 * sum(map(bool, mine)) / len(mine),
        "clips": len(mine),
        "other_clips_rejected_percent": 100 * sum(map(bool, other)) / len(other),
        "other_clips": len(other),
        "streams": streams,
    }


def measure(
    root: Path, tree: Tree, name: str, words: tuple[str, ...], with_others: bool
) -> dict[str, object]:
    """Train one set, and hear it."""
    there = sorted({clip.word for clip in tree.clips} - {*words})
    learned, strange = there[::2], there[1::2]
    of = {word: [c for c in tree.of("training") if c.word == word] for word in (*words, *learned)}
    clips = [clip for word in words for clip in most_takes(of[word], OWN)]
    speakers = len({clip.speaker for clip in clips})
    if with_others:
        clips += [clip for word in learned for clip in most_takes(of[word], OTHERS)]
    folder = root / f"{name}{'-others' if with_others else ''}"
    write_tree(folder / "tree", clips)
    config = load_config("quick", words=[*words])
    job = Job(folder / "tree", folder / "run", folder / "mine.tkws", frozenset(), 1, 1, "quick")
    resumed = (job.run / "checkpoint.safetensors").exists()
    begun, used = time.monotonic(), cpu_seconds()
    told: list[str] = []
    made = train(
        job,
        config,
        LEARNING,
        DETECTOR,
        lambda text: lambda done, total: None,
        lambda epoch: None,
        told.append,
    )
    assert made is not None
    assert made.worth is not None
    seconds, cpu = time.monotonic() - begun, cpu_seconds() - used
    testing = {w: [c for c in tree.of("testing") if c.word == w] for w in (*words, *strange)}
    chosen = [clip for word in words for clip in testing[word]]
    chosen += [clip for word in strange for clip in testing[word][:TESTED]]
    return {
        "set": name,
        "words": [*words],
        "with_others": with_others,
        "speakers": speakers,
        "seconds": None if resumed else round(seconds),
        "cpu_seconds": None if resumed else round(cpu),
        "told": told,
        "held_out": made.worth.summary(),
        "tested_speakers": len({clip.speaker for clip in chosen}),
        **heard(made.model, read_recordings(chosen), tree),
    }


def main() -> None:
    """Measure what is not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--again", action="store_true", help="measure all again")
    given = parser.parse_args()
    tree = data.read_tree(given.data)
    rows = [] if given.again or not OUT.exists() else json.loads(OUT.read_text())["rows"]
    done = {(row["set"], row["with_others"]) for row in rows}
    for with_others in (False, True):
        for name, words in SETS.items():
            if (name, with_others) not in done:
                rows.append(measure(given.run, tree, name, words, with_others))
                content = json.dumps({"rows": rows}, indent=1) + "\n"
                files.write(OUT, content.encode())


if __name__ == "__main__":
    main()
