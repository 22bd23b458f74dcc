# SPDX-License-Identifier: Apache-2.0
"""Speech Commands and one speaker to adapt to: the experiment of the paper (arXiv 2509.13053, 4.4).

All clips of a speaker are held out of training. Of each word that the speaker said a part is the
support, to learn from (none, 1, 3, 5 or all takes a word), the rest the query, to be asked. The
features follow the authors' released program: the clip at full scale, 40 mel bands of 20 Hz to
4 kHz (windows of 30 ms, hops of 10), log(1 + S / max S), the first and second delta beside them,
each of the 120 values divided by its standard deviation over the clip, then over the data. There
the last one is of a batch of 512; here it is of the training clips. There short clips are filled on
both sides; here at the end. Of longer ones the loudest second is taken.

Two ways to split a speaker's clips:

- `published`: at random over file names, 80 % support. Speech Commands holds many recordings under
  several names, so that copies of what was learned are in the query. A word with fewer takes than
  shots is missing from the support, not from the query. The training clips are drawn once, with
  replacement, each word equally often.
- `distinct`: every recording once, in training too; 60 % support (of five takes, which most
  speakers of a word gave, three and two). A word with too few takes is left out of both, and named.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracekws.audio import SAMPLE_RATE, one_second, read_clip
from tracekws.data import (
    SPLITS,
    UNKNOWN,
    Clip,
    Tree,
    read_all,
    read_names,
    read_tree,
    recording_key,
)
from tracekws.errors import DataError
from tracekws.lab.data import (
    SPEECH_COMMANDS,
    Clips,
    Config,
    Configured,
    Figure,
    Split,
    need_folder,
    need_package,
    split_of_three,
)
from tracekws.lab.network import Constants, Dense
from tracekws.names import bytes_of

PAPER_SPEAKER = "c50f55b8"
SPEAKER_LIST = "adaptation_speakers.txt"
"""A speaker a line, beside the tree's lists: held out in place of the paper's one."""
SHOTS = (0, 1, 3, 5, None)
"""Takes of a word to learn from; None is all of the support."""
SHARES = {"published": 0.8, "distinct": 0.6}
"""Part of a word's takes that is support."""
MELS = 40
STEPS = 101
FEATURES = 3 * MELS
BLOCK = 256

Splitting = Literal["distinct", "published"]


def features_of(pcm: NDArray[np.int16]) -> Tensor:
    """Clips of a second, int16 (N, 16000), to float16 (N, STEPS, FEATURES): mel, delta, delta 2.

    Half precision holds them to a thousandth in half of the memory (2.6 GB for the whole set).
    """
    librosa: Any = need_package("librosa")
    blocks = [np.zeros((0, STEPS, FEATURES), np.float16)]
    for start in range(0, len(pcm), BLOCK):
        sound = pcm[start : start + BLOCK].astype(np.float32)
        sound /= np.maximum(np.abs(sound).max(-1, keepdims=True), 1)
        power = librosa.feature.melspectrogram(
            y=sound,
            sr=SAMPLE_RATE,
            n_fft=SAMPLE_RATE * 30 // 1000,
            hop_length=SAMPLE_RATE * 10 // 1000,
            n_mels=MELS,
            fmin=20,
            fmax=4000,
        )
        top = power.max((1, 2), keepdims=True)
        mel = np.log1p(power / np.where(top > 0, top, 1))
        stack = np.stack([mel, *(librosa.feature.delta(mel, order=k) for k in (1, 2))], 1)
        deviation = stack.std(-1, keepdims=True)
        stack /= np.where(deviation > 0, deviation, 1)
        blocks.append(stack.reshape(len(sound), FEATURES, STEPS).swapaxes(1, 2).astype(np.float16))
    return torch.from_numpy(np.concatenate(blocks))


@dataclass(frozen=True)
class Adaptation:
    """One draw of a speaker's clips."""

    speaker: str
    shots: int | None
    """Takes of a word in the support; None is all."""
    support: Clips
    query: Clips
    left_out: tuple[str, ...]
    """Words with too few takes: missing from the support and, if `distinct`, from the query."""
    repeated: int
    """Query clips whose recording is in the support, under another name."""


@dataclass(frozen=True)
class HeldOut:
    """Clips of the speakers who are held out of training."""

    clips: Clips
    names: tuple[Clip, ...]
    recordings: tuple[bytes, ...]
    """Hash of each clip's samples: equal for repeated recordings."""
    speakers: tuple[str, ...]
    splitting: Splitting

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over the names and recordings."""
        sha = hashlib.sha256()
        for name, recording in zip(self.names, self.recordings, strict=True):
            sha.update(bytes_of(f"{name.word}/{name.path.stem}\n") + recording)
        return sha.hexdigest()

    def published(self, repeats: int) -> "HeldOut":
        """These recordings, each under so many names, to be split as published."""
        every = np.tile(np.arange(len(self.names)), repeats)
        names, recordings = self.names * repeats, self.recordings * repeats
        return HeldOut(self.clips.take(every), names, recordings, self.speakers, "published")

    def draw(
        self, speaker: str, shots: int | None, seed: int, words: Collection[str] | None = None
    ) -> Adaptation:
        """Draw support and query of all the speaker's words or of those given.

        For a seed and words the query depends on the shots only by `left_out`.

        Raises:
            DataError: nothing of this speaker was held out.
        """
        of_word: dict[str, list[int]] = defaultdict(list)
        for i, name in enumerate(self.names):
            if name.speaker == speaker and (words is None or name.word in words):
                of_word[name.word].append(i)
        if speaker not in self.speakers:
            raise DataError(
                f"speaker {speaker} is not held out; held out are: {', '.join(self.speakers)}"
            )
        rng = np.random.default_rng(seed)
        support: list[int] = []
        query: list[int] = []
        learnt: set[bytes] = set()
        left_out: list[str] = []
        for word in sorted(of_word):
            takes = rng.permutation(of_word[word]).tolist()
            cut = int(len(takes) * SHARES[self.splitting])
            wanted = cut if shots is None else shots
            enough = cut >= max(wanted, 1) and cut < len(takes)
            if enough:
                support += takes[:wanted]
                learnt |= {self.recordings[i] for i in takes[:wanted]}
            else:
                left_out.append(word)
            if enough or self.splitting == "published":
                query += takes[cut:]
        repeated = sum(self.recordings[i] in learnt for i in query)
        return Adaptation(
            speaker,
            shots,
            self.clips.take(np.array(support, dtype=np.int64)),
            self.clips.take(np.array(query, dtype=np.int64)),
            tuple(left_out),
            repeated,
        )


def read_all_names(clips: Sequence[Clip]) -> tuple[tuple[Clip, ...], NDArray[np.int16]]:
    """Every clip, repeated recordings under each of their names; (N, 16000).

    Raises:
        DataError: one is not readable.
    """
    pcm = np.zeros((len(clips), SAMPLE_RATE), dtype=np.int16)
    for i, clip in enumerate(clips):
        pcm[i] = one_second(read_clip(clip.path))
    return tuple(clips), pcm


def drawn_evenly(labels: Tensor, rng: np.random.Generator) -> NDArray[np.int64]:
    """As many indices as there are labels, with replacement, each class equally likely."""
    weight = 1 / np.bincount(labels.numpy())[labels.numpy()]
    return rng.choice(len(labels), len(labels), p=weight / weight.sum())


def held_out_speakers(tree: Tree, listed: Sequence[str] | None = None) -> tuple[str, ...]:
    """Those listed, else those of the tree's own list, else the paper's.

    Raises:
        DataError: one of them is not in the tree.
    """
    path = tree.root / SPEAKER_LIST
    if listed is None:
        listed = read_names(path) if path.is_file() else [PAPER_SPEAKER]
    speakers = tuple(dict.fromkeys(listed))
    missing = sorted(set(speakers) - {clip.speaker for clip in tree.clips})
    if missing:
        raise DataError(
            f"{tree.root}: no clips of speaker {missing[0]}, who is to be adapted to; list "
            "speakers of the tree, one a line, in a file: lab shots takes it by --speakers, and "
            f"every command as {SPEAKER_LIST} in the tree"
        )
    return speakers


def figures() -> tuple[Figure, ...]:
    """The paper's query accuracy on its speaker, 10 seeds."""
    rows = (("0", 81.62, 2.20), ("1", 91.62, 2.08), ("5", 93.38, 1.95), ("all", 97.30, 1.05))
    return tuple(Figure("tp", mean, spread, f"{shots} shots") for shots, mean, spread in rows)


CONFIGS = {
    "paper": Config(
        network=(Dense(450, recurrent=True),),
        constants=Constants(alpha=0.77, beta=0.977, v_th=0.66, weight_scale=3**-0.5),
        batch=1024,
        epochs=10,
        rate=1e-4,
        origin="the paper's; batch, the fall of the rate and the first weights' spread (that of "
        "torch's Linear) from its released program",
        figures=figures(),
    )
}


@dataclass(frozen=True)
class Commands(Configured):
    """The task."""

    splitting: Splitting = "distinct"
    speakers: tuple[str, ...] | None = None
    """Held out in place of the tree's own list."""
    name: str = "commands"
    summary: str = "Speech Commands, words of many speakers, some held out to be adapted to"
    needs: str = SPEECH_COMMANDS
    configs: Mapping[str, Config] = field(default_factory=lambda: CONFIGS)

    def load(self, data: Path | None, seed: int) -> Split:
        """Train, validate and test without the speakers who are held out; see `prepare`."""
        return self.prepare(data, seed)[0]

    def prepare(self, data: Path | None, seed: int) -> tuple[Split, HeldOut]:
        """Read the tree once; the seed matters for `published` alone.

        Raises:
            DataError: no tree, no lists, a missing speaker, a clip that is not readable, or nothing
                left for a split.
            MissingTool: librosa is not installed.
        """
        tree = read_tree(need_folder(data, self.name, self.needs))
        tree.of(SPLITS[0])  # says what is wrong where there are no lists
        speakers = held_out_speakers(tree, self.speakers)
        if self.splitting == "distinct":
            recordings = read_all(tree.clips)
            names, pcm = recordings.clips, recordings.pcm
        else:
            names, pcm = read_all_names(tree.clips)
        classes = (*sorted({clip.word for clip in names}), UNKNOWN)
        ids = {speaker: i for i, speaker in enumerate(sorted({clip.speaker for clip in names}))}

        def clips_of(chosen: Sequence[int]) -> Clips:
            return Clips(
                features_of(pcm[list(chosen)]),
                torch.tensor([classes.index(names[i].word) for i in chosen], dtype=torch.int64),
                torch.tensor([ids[names[i].speaker] for i in chosen], dtype=torch.int64),
            )

        free = [i for i, clip in enumerate(names) if clip.speaker not in speakers]
        train, validation, test = (
            clips_of([i for i in free if names[i].split == split]) for split in SPLITS
        )
        kept = [i for i, clip in enumerate(names) if clip.speaker in speakers]
        held = clips_of(kept)
        if len(train):
            scale = deviation_of(train.events)
            for part in (train, validation, test, held):
                part.events.div_(scale)
            if self.splitting == "published":
                train = train.take(drawn_evenly(train.labels, np.random.default_rng(seed)))
        keys = tuple(recording_key(pcm[i]) for i in kept)
        split = split_of_three(train, validation, test, classes)
        return split, HeldOut(held, tuple(names[i] for i in kept), keys, speakers, self.splitting)


def deviation_of(events: Tensor) -> Tensor:
    """Standard deviation of each feature over clips and time, float16; 1 where it is 0."""
    total = torch.zeros(2, FEATURES, dtype=torch.float64)
    for start in range(0, len(events), BLOCK):
        values = events[start : start + BLOCK].double()
        total += torch.stack([values.sum((0, 1)), values.square().sum((0, 1))])
    mean, square = total / (events.shape[0] * events.shape[1])
    deviation = (square - mean.square()).clamp(min=0).sqrt()
    return torch.where(deviation > 1e-3, deviation, 1.0).to(events.dtype)
