# SPDX-License-Identifier: Apache-2.0
"""The demonstration: a virtual board hears a voice, learns it, and is restarted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracekws import columns
from tracekws.audio import SAMPLE_RATE, read_clip
from tracekws.bench.stream import Said, belongs, words_hit
from tracekws.boards.virtual import virtual_board
from tracekws.core import Model
from tracekws.device import adapt as adaptation
from tracekws.device.device import Device
from tracekws.device.takes import Take, chunks, read_takes, without_others
from tracekws.errors import DataError
from tracekws.figure import plain, write_figure
from tracekws.files import read_text
from tracekws.names import normalised
from tracekws.recognizer import Event

VOICE = "scot"
"""The voice of the stream, and the one that is taught."""
OWN_WORD = "yellow"
"""A word of the stream that is taught, where the model has room for words of the user's own."""
SENSITIVITY = 1
"""Of listening, as in `tracekws listen --sensitivity`."""
SHOTS = 3
OTHER_SHOTS = 5
SEED = 1


@dataclass(frozen=True)
class Playing:
    """The events of one playing of the stream, each with the word that was said then."""

    events: tuple[Event, ...]
    said: tuple[str | None, ...]
    keywords: int
    right: int
    false: int

    def as_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "keywords_said": self.keywords,
            "keywords_heard": self.right,
            "false_alarms": self.false,
            "events": [
                {**asdict(event), "said": said}
                for event, said in zip(self.events, self.said, strict=True)
            ],
        }


@dataclass(frozen=True)
class Demonstration:
    """Everything that the demonstration measured."""

    model: str
    taught: dict[str, int]
    before: columns.Columns
    after: columns.Columns
    stream_before: Playing
    stream_after: Playing
    own_word: str | None
    """The word that was taught; None where the model has no room, or there are no takes of it."""
    own_word_heard: int
    """How often, of the once that it is said: in the stream, after all was learned."""
    generation_after_restart: int
    weights_survive_restart: bool

    def as_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "model": self.model,
            "taught": self.taught,
            "before": self.before.as_json(),
            "after": self.after.as_json(),
            "stream_before": self.stream_before.as_json(),
            "stream_after": self.stream_after.as_json(),
            "own_word": self.own_word,
            "own_word_heard": self.own_word_heard,
            "generation_after_restart": self.generation_after_restart,
            "weights_survive_restart": self.weights_survive_restart,
        }


def samples(seconds: float) -> int:
    """A time in samples."""
    return round(seconds * SAMPLE_RATE)


def read_said(path: Path) -> list[Said]:
    """Read what a stream says: lines of start and end in seconds, and word.  Raises DataError."""
    try:
        text = normalised(read_text(path))
        rows = [line.split("\t") for line in text.splitlines()]
        return [Said(word, samples(float(start)), samples(float(end))) for start, end, word in rows]
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path}: expected lines of start, end and word") from error


def judge(events: Sequence[Event], said: Sequence[Said], keywords: Sequence[str]) -> Playing:
    """Count the keywords that were heard and the false alarms.

    What counts as heard is the rule of stream.py; each event that hits no word is a false alarm.
    """
    ends = [(event.word, samples(event.end)) for event in events]
    hits = words_hit(ends, said)
    words: list[str | None] = []
    for (_, end), hit in zip(ends, hits, strict=True):
        then = [word.word for word in said if belongs(end, word)]
        words.append(hit.word if hit else then[-1] if then else None)
    wanted = sum(word.word in keywords for word in said)
    right = sum(hit is not None for hit in hits)
    return Playing(tuple(events), tuple(words), wanted, right, len(events) - right)


def split_voice(takes: Sequence[Take], unknown: str) -> tuple[list[Take], list[Take]]:
    """Divide a voice's takes into the first few of each label, to teach, and the rest, to test."""
    learn: list[Take] = []
    test: list[Take] = []
    seen: dict[str, int] = {}
    for take in takes:
        seen[take.label] = seen.get(take.label, 0) + 1
        shots = OTHER_SHOTS if take.label == unknown else SHOTS
        (learn if seen[take.label] <= shots else test).append(take)
    return learn, test


def demonstrate(
    model: Path,
    speech: Path,
    flash: Path,
    *,
    tell: Callable[[str], None],
    progress: adaptation.Progress,
) -> Demonstration:
    """Run the demonstration on a virtual board whose flash is a new file.

    `speech` is laid out as scripts/make_speech.py makes it.  Raises DataError when the speech is
    not usable, ModelError when the model is not, DeviceError and ProtocolError from the board.
    """
    image = Model.load(model)
    unknown, silence = image.labels[image.unknown], image.labels[image.silence]
    pcm = read_clip(speech / "stream.flac")
    said = read_said(speech / "stream.tsv")
    voices = sorted(path.name for path in speech.iterdir() if path.is_dir())
    takes = {voice: read_takes(speech / voice, image.labels, unknown, silence) for voice in voices}
    if VOICE not in takes:
        raise DataError(f"{speech}: the voice {VOICE} is missing")
    learn, test = split_voice(takes.pop(VOICE), unknown)
    learn, left_out = without_others(learn, unknown, image.header.method)
    test += left_out
    others = [take for voice in takes.values() for take in voice]
    own_takes = sorted(speech.glob(f"{OWN_WORD}-*.flac")) if image.own_words else []
    own_word = OWN_WORD if own_takes else None

    def play(device: Device) -> Playing:
        words = [*image.keywords, *device.words()]
        events = []
        for event in device.listen(chunks(pcm), SENSITIVITY):
            events.append(event)
            word = judge([event], said, words).said[0]
            verdict = "right" if word == event.word else f"wrong: it was {word!r}"
            tell(f"  {event.end:6.2f} s  {event.word:6} {event.score:.2f}  {verdict}")
        heard = judge(events, said, words)
        tell(f"  {heard.right} of {heard.keywords} words heard, {heard.false} false alarms")
        taught = [one for one in events if one.word not in image.keywords]  # is counted apart
        right = heard.right - judge(taught, said, words).right
        wanted = sum(word.word in image.keywords for word in said)
        return replace(heard, keywords=wanted, right=right)

    with virtual_board(model, flash) as running, Device.open(running.port) as device:
        about = device.info()
        tell(
            f"a {about.board} board with model {about.model_name}"
            f" ({about.trainable_bytes} bytes that it may learn)"
        )
        tell(
            f"a voice that it has never heard says {len(said)} words, heard at sensitivity"
            f" {SENSITIVITY}:"
        )
        stream_before = play(device)
        n_other = sum(take.label == unknown for take in learn)
        beside = f", {n_other} of other words, {about.passes} passes" if n_other else ""
        tell(f"it is taught that voice: {SHOTS} takes of each keyword{beside}")
        result = adaptation.adapt(
            device, learn, test, others, seed=SEED, config=image.front_end, progress=progress
        )
        generation = result.generation
        if own_word:
            tell(f"and a word that no model knows, {own_word!r}, by {len(own_takes)} takes")
            generation = device.teach(own_word, own_takes).generation
        weights = device.weights()
        tell(f"saved as generation {generation}; the board is killed and started again")
        running.kill()
    with virtual_board(model, flash) as running, Device.open(running.port) as device:
        generation = device.info().generation
        survived = device.weights() == weights
        tell(
            f"generation {generation}, what it learned is"
            f" {'the same to the last bit' if survived else 'NOT the same'}; the same words again:"
        )
        stream_after = play(device)
    return Demonstration(
        f"{image.name} {image.crc:08x}",
        result.learned,
        result.before,
        result.after,
        stream_before,
        stream_after,
        own_word,
        sum(
            event.word == own_word == now
            for event, now in zip(stream_after.events, stream_after.said, strict=True)
        ),
        generation,
        survived,
    )


def middle(word: Said) -> float:
    """The middle of a word, in seconds."""
    return (word.start + word.end) / 2 / SAMPLE_RATE


def picture(
    path: Path, result: Demonstration, pcm: NDArray[np.int16], said: Sequence[Said]
) -> None:
    """Draw the stream with what was heard in it, and the columns before and after.

    Raises DataError when the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=(1.2, 1))
    time = np.arange(len(pcm)) / SAMPLE_RATE
    top.plot(time, pcm / max(1, np.abs(pcm.astype(float)).max()), color="#c3cad2", linewidth=0.4)
    for word in said:
        top.text(middle(word), 1.15, plain(word.word), ha="center", fontsize=9)
    for level, name, heard in (
        (-1.5, "heard before", result.stream_before),
        (-2.1, "heard after", result.stream_after),
    ):
        top.text(-0.2, level, name, ha="right", va="center", fontsize=9, color="#555555")
        # An event comes in the second after its word: draw it below that word.
        for event, spoken in zip(heard.events, heard.said, strict=True):
            places = [word for word in said if word.word == spoken]
            at = middle(places[0]) if places else event.end
            colour = "#2a8f4f" if event.word == spoken else "#c0392b"
            heard_word = plain(event.word)
            top.text(at, level, heard_word, ha="center", va="center", fontsize=9, color=colour)
    top.text(-0.2, 1.15, "said", ha="right", fontsize=9, color="#555555")
    top.set_ylim(-2.5, 1.5)
    top.set_xlim(-2.0, time[-1])
    top.set_yticks([])
    top.set_xlabel("seconds")
    top.spines[["top", "right", "left"]].set_visible(False)
    top.set_title(
        f"a synthesiser's voice says {result.stream_before.keywords} keywords and"
        f" {len(said) - result.stream_before.keywords} other words:"
        f" {result.stream_before.right} keywords heard before, {result.stream_after.right} after"
        f" {sum(result.taught.values())} takes",
        fontsize=10,
    )
    columns.draw(bottom, result.before, result.after)
    write_figure(figure, path)
