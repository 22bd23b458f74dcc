# SPDX-License-Identifier: Apache-2.0
"""A model on talk: how often it hears a word, of those that the text has and of others.

Each sentence is heard by itself, from rest. An event whose word is in the sentence's text is
counted apart: it is no false alarm, nor is it a command.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tracekws.audio import SAMPLE_RATE
from tracekws.bench.intervals import rate
from tracekws.bench.listen import Plain, listen
from tracekws.bench.sets import Recording
from tracekws.core import Model
from tracekws.data import Progress
from tracekws.sensitivity import LEVELS, odds_q8


@dataclass(frozen=True)
class Count:
    """Events in talk, by the word heard."""

    false: dict[str, int]
    said: dict[str, int]
    """Of words that are in the sentence's text."""


@dataclass(frozen=True)
class Talk:
    """What is heard in the sentences of a split; a count for each of LEVELS."""

    split: str
    sentences: int
    speakers: int
    hours: float
    levels: tuple[Count, ...]

    def summary(self) -> dict[str, Any]:
        """Plain data for --json."""
        own = self.levels[LEVELS.index(0)]
        return {
            "split": self.split,
            "sentences": self.sentences,
            "speakers": self.speakers,
            "hours": self.hours,
            "false_alarms": sum(own.false.values()),
            "false_alarms_per_hour": rate(sum(own.false.values()), self.hours),
            "events_of_words_said": sum(own.said.values()),
            "rows": [
                {"word": word, "false_alarms": count, "said": own.said[word]}
                for word, count in own.false.items()
            ],
            "levels": [
                {
                    "sensitivity": level,
                    "false_alarms_per_hour": rate(sum(at.false.values()), self.hours),
                    "events_of_words_said": sum(at.said.values()),
                }
                for level, at in zip(LEVELS, self.levels, strict=True)
            ],
        }


def count(
    events: Sequence[Sequence[tuple[str, int]]],
    sentences: Sequence[Recording],
    keywords: Sequence[str],
) -> Count:
    """Count the events of each sentence."""
    false = dict.fromkeys(keywords, 0)
    said = dict.fromkeys(keywords, 0)
    for heard, sentence in zip(events, sentences, strict=True):
        for word, _ in heard:
            (said if word.lower() in sentence.words else false)[word] += 1
    return Count(false, said)


def bench_talk(
    model: Model,
    sentences: Sequence[Recording],
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
    weights: bytes | None = None,
    isolated: bool | None = None,
) -> list[Talk]:
    """Measure a model on talk, split by split, in the order of the table.

    Args:
        model: the model.
        sentences: of read_set(), with their text.
        workers: processes; all cores by default.
        progress: over sentences.
        weights: what the model has learned; its own by default.
        isolated: whether only words that stand by themselves are heard; as the model says by
            default.
    """
    odds = [odds_q8(level) for level in LEVELS]
    parts = [Plain(one.sound) for one in sentences]
    heard = listen(model, parts, odds, workers, progress, weights, isolated)
    talks = []
    for split in dict.fromkeys(sentence.split for sentence in sentences):
        rows = [i for i, sentence in enumerate(sentences) if sentence.split == split]
        mine = [sentences[i] for i in rows]
        talks.append(
            Talk(
                split,
                len(mine),
                len({sentence.speaker for sentence in mine}),
                sum(sentence.sound.samples for sentence in mine) / SAMPLE_RATE / 3600,
                tuple(
                    count([heard[i].events[level] for i in rows], mine, model.keywords)
                    for level in range(len(LEVELS))
                ),
            )
        )
    return talks
