# SPDX-License-Identifier: Apache-2.0
"""How often good takes are refused or warned of, and bad ones found: writes inspection.json.

Usage: python benchmarks/inspection.py --data DATA --speakers FILE

Good takes are the clips of the listed speakers of a Speech Commands tree, who recorded many words;
beside them stand 3,000 clips of all other speakers, as a crowd records them. Bad takes are made of
the listed speakers' clips. For takes of another word up to four takes of each word of a speaker are
a folder; in each of its words in turn lies one take of another word.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracekws import data, files
from tracekws.audio import SAMPLE_RATE, read_clip
from tracekws.bench.scenes import trimmed
from tracekws.core import Model
from tracekws.errors import TraceKwsError
from tracekws.inspection import KINDS, faults, odd_ones

FILE = Path(__file__).resolve().parent / "inspection.json"
CROWD = 3000
SPOILT = 400
FOLDER_TAKES = 4
ROOM_RMS = 8.0
Pcm = NDArray[np.int16]
Maker = Callable[[Pcm, np.random.Generator], NDArray[np.floating[Any]]]


def without_padding(pcm: Pcm) -> Pcm:
    """A clip as it was recorded: without the zeros that were put behind it."""
    (sound,) = np.nonzero(pcm)
    return pcm[: max(SAMPLE_RATE // 10, sound[-1] + 1)] if len(sound) else pcm


def room(samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A quiet room."""
    return rng.normal(0, ROOM_RMS, samples)


def overdriven(db: float) -> Maker:
    """A clip so much louder than what fits."""
    return lambda pcm, rng: pcm * (32767 / np.abs(pcm.astype(int)).max() * 10 ** (db / 20))


def quieter(db: float) -> Maker:
    """A clip so much quieter."""
    return lambda pcm, rng: pcm * 10 ** (-db / 20)


def click(pcm: Pcm, rng: np.random.Generator) -> NDArray[np.float64]:
    """Ten milliseconds of a constant."""
    out = room(SAMPLE_RATE, rng)
    out[8000:8160] += 9000
    return out


def start_cut(pcm: Pcm, rng: np.random.Generator) -> NDArray[np.float64]:
    """Two fifths of a word are missing at its start."""
    word = trimmed(pcm)
    return np.concatenate([word[len(word) * 2 // 5 :], room(6000, rng)])


def end_cut(pcm: Pcm, rng: np.random.Generator) -> NDArray[np.float64]:
    """Two fifths of a word are missing at its end."""
    word = trimmed(pcm)
    return np.concatenate([room(6000, rng), word[: len(word) * 3 // 5]])


def said_twice(pcm: Pcm, rng: np.random.Generator) -> NDArray[np.float64]:
    """A word, 0.25 to 0.6 s of a room, and the word again."""
    word = trimmed(pcm)
    pause = room(int(rng.uniform(0.25, 0.6) * SAMPLE_RATE), rng)
    return np.concatenate([room(1600, rng), word, pause, word, room(1600, rng)])


BAD: dict[str, Maker] = {
    "nothing but a converter's noise": lambda pcm, rng: rng.normal(0, 2, SAMPLE_RATE),
    "hiss of any level": lambda pcm, rng: rng.normal(0, 10 ** rng.uniform(1, 3.9), SAMPLE_RATE),
    "a click": click,
    "45 dB quieter": quieter(45),
    "55 dB quieter": quieter(55),
    "6 dB louder than fits": overdriven(6),
    "20 dB louder than fits": overdriven(20),
    "an offset of a tenth": lambda pcm, rng: pcm * 0.8 + 3277,
    "cut at the start": start_cut,
    "cut at the end": end_cut,
    "the word twice": said_twice,
}


def clip16(samples: NDArray[np.floating[Any]]) -> Pcm:
    """Samples as int16."""
    pcm: Pcm = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
    return pcm


def shares(found: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    """Takes, and of them in percent: refused, warned of, and by kind."""
    refused = [any(KINDS[kind].severe for kind in kinds) for kinds in found]
    warned = [bool(kinds) and not no for kinds, no in zip(found, refused, strict=True)]
    by_kind = Counter(kind for kinds in found for kind in kinds)
    return {
        "takes": len(found),
        "refused": round(100 * float(np.mean(refused)), 2),
        "warned": round(100 * float(np.mean(warned)), 2),
        "kinds": {kind: round(100 * by_kind[kind] / len(found), 2) for kind in sorted(by_kind)},
    }


def comparisons(recordings: data.Recordings, model: Model) -> dict[str, Any]:
    """How often a good take is unlike the others of its word, and one of another word is."""
    rng = np.random.default_rng(0)
    by_speaker: dict[str, dict[str, list[int]]] = {}
    for i, clip in enumerate(recordings.clips):
        by_speaker.setdefault(clip.speaker, {}).setdefault(clip.word, []).append(i)
    good = flagged = wrong = found = named = beside = 0
    for words in by_speaker.values():
        folder = {
            word: rng.permutation(mine)[:FOLDER_TAKES]
            for word, mine in sorted(words.items())
            if len(mine) >= FOLDER_TAKES - 1
        }
        if len(folder) < 2:
            continue
        rows = [(word, int(i)) for word, mine in folder.items() for i in mine]
        said, pcm = [word for word, _ in rows], [recordings.pcm[i] for _, i in rows]
        usual = odd_ones(said, pcm, model)
        good += len(said)
        flagged += len(usual)
        for word in folder:
            other = str(rng.choice([name for name in folder if name != word]))
            at = said.index(other)
            odd = odd_ones([*said[:at], word, *said[at + 1 :]], pcm, model)
            wrong += 1
            found += at in odd
            named += odd.get(at) == other
            beside += len(set(odd) - set(usual) - {at})
    return {
        "good_takes": good,
        "good_flagged": round(100 * flagged / good, 2),
        "of_another_word": wrong,
        "found": round(100 * found / wrong, 2),
        "named": round(100 * named / wrong, 2),
        "further_takes_flagged_a_folder": round(beside / wrong, 2),
    }


def measure(tree: data.Tree, speakers: frozenset[str], model: Model) -> dict[str, Any]:
    """All figures."""
    rng = np.random.default_rng(0)
    mine = [clip for clip in tree.clips if clip.speaker in speakers]
    rest = [clip for clip in tree.clips if clip.speaker not in speakers]
    rest = [rest[i] for i in rng.permutation(len(rest))[:CROWD]]
    own, crowd = data.read_recordings(mine), data.read_recordings(rest)
    found = [faults(without_padding(pcm)) for pcm in own.pcm]
    of_crowd = [faults(without_padding(pcm)) for pcm in crowd.pcm]
    good = [pcm for pcm, kinds in zip(own.pcm, found, strict=True) if not kinds]
    good = [good[i] for i in rng.permutation(len(good))[:SPOILT]]
    spoilt = {
        name: shares([faults(clip16(make(pcm, rng))) for pcm in good]) for name, make in BAD.items()
    }
    noise = [read_clip(path) for path in tree.noises]
    seconds = data.silence_clips(noise)
    return {
        "model": model.identity,
        "speakers": len(speakers),
        "data": own.digest,
        "good": shares(found),
        "crowd": shares(of_crowd),
        "spoilt": spoilt | {"seconds of noise recordings": shares([*map(faults, seconds)])},
        "unlike": comparisons(own, model),
    }


def main() -> None:
    """Measure, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="Speech Commands tree")
    parser.add_argument("--speakers", type=Path, required=True, help="names of those to listen to")
    given = parser.parse_args()
    try:
        names = frozenset(data.read_names(given.speakers))
        result = measure(data.read_tree(given.data), names, Model.load("base"))
        files.write(FILE, (json.dumps(result, indent=2) + "\n").encode())
    except TraceKwsError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
