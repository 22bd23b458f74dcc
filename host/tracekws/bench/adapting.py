# SPDX-License-Identifier: Apache-2.0
"""What adapting to a speaker gains and costs: every method, many speakers, all columns.

Each speaker's takes of a keyword are divided at random into support, which is learned, and query,
which is tested. Beside the speaker's keywords stand the speaker's other words, to be rejected,
keywords and other words of other speakers, which must not suffer, and, from a tree of their own,
words that the model was not trained on, not even as unknown. Because a method can buy keywords with
rejection, keywords are also given at the unadapted rejection: a threshold on the margin between the
best keyword and the best of unknown and silence is moved until the pooled rejection is as before.

What a user gets is a stream: own_streams.py says which are heard, and at which false alarms they
are compared. Clips stand beside it, at the rejections of REJECTIONS, too.

Two harder cases: the speakers' recordings may be changed (changed_sound.py), and the words may be
others than the model's (modelfile.with_words), which then hears next to none of them before it
adapts; so that for them the threshold is moved to a rejection that is given.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tracekws import modelfile
from tracekws.bench.changed_sound import SNR_DB, in_a_room, in_noise
from tracekws.bench.own_streams import (
    DrawStreams,
    Ears,
    Heard,
    Listening,
    Streaming,
    StreamSums,
    columns_of,
    hear,
    own_minutes,
    read_listening,
)
from tracekws.bench.sets import Recording, read_testing
from tracekws.bench.streams import CLEAN_DB
from tracekws.columns import CAPTIONS, are_right
from tracekws.core import (
    GUARDED,
    LATENT,
    READOUT,
    SEQUENCES,
    TAKES,
    TRACES,
    Model,
    features,
)
from tracekws.data import (
    CLIP_SAMPLES,
    Clip,
    Episode,
    Progress,
    Recordings,
    Stage,
    Tree,
    episode,
    read_names,
    read_noise,
    read_recordings,
    read_tree,
)
from tracekws.errors import DataError
from tracekws.learner import Learner, keeps, schedule
from tracekws.names import bytes_of, is_name
from tracekws.parallel import spread
from tracekws.renditions import take_features
from tracekws.sensitivity import odds_q8

METHODS = {
    "none": 0,
    "takes": TAKES | GUARDED,
    "readout": READOUT,
    "readout+replay": READOUT | LATENT,
    "tp": READOUT | TRACES,
    "tp+replay": READOUT | TRACES | LATENT,
    "tp+feature-replay": READOUT | TRACES | SEQUENCES,
    "readout+replay+takes": READOUT | LATENT | TAKES,
    "tp+replay+takes": READOUT | TRACES | LATENT | TAKES,
}
SAME_REJECTION = "keywords_self_at_same_rejection"
REJECTIONS = (0.9, 0.92, 0.95, 0.98, 0.99)
"""Shares of the speakers' other words that are rejected, at which clips are compared."""
OTHER_KEYWORDS, OTHER_UNKNOWN = 300, 200
OUTSIDE = 200
STREAMED = 2000
"""Clips of others, at most, that their streams are made of."""
FIXED_SEED = (1, 0)
"""Of the draw of other speakers' clips, whatever the seed of the experiment."""
MIN_WORDS = 5
"""Words with enough takes that a speaker must have to be chosen without a list."""
NEW_WORDS_REJECTION = 0.9
RESAMPLES = 2000


def methods_for(model: Model, methods: Mapping[str, int] = METHODS) -> list[str]:
    """The methods that a model can learn by: one without section trac keeps no takes."""
    keeps = model.c.traces.rank > 0
    return [name for name, flags in methods.items() if keeps or not flags & TAKES]


class Adapting(Protocol):
    """Whatever learns from takes and is then tested: the core's Learner, or another."""

    def take(self, features: NDArray[np.int8], label: int, method: int, scale_q15: int) -> object:
        """Learn from one take (steps, 80) by a method's flags, with its rates scaled."""

    def scores_of(self, clips: NDArray[np.int8]) -> NDArray[np.int32]:
        """Scores (N, classes) of clips (N, steps, 80), each heard from rest."""


Maker = Callable[[Model, str, int], Adapting]
"""Makes what learns by a method of this name, with this seed."""


def core_learner(model: Model, method: str, seed: int) -> Adapting:
    """The C core, which is told the method with each take."""
    return Learner(model, seed)


@dataclass(frozen=True)
class Experiment:
    """An experiment."""

    shots: int = 3
    passes: int = 5
    negatives: int = 0
    draws: int = 10
    seed: int = 1
    changed_sound: str = ""
    """Of the speakers' recordings, "" or one of CHANGES of changed_sound.py."""
    new_words: bool = False
    """Whether the words are others than the model's: see learner_of()."""
    snr: float = CLEAN_DB
    """Of the streams that are heard, speech over background in dB; takes are as they are."""
    sensitivity: int = 0
    """Of the detector, where it hears as it ships."""

    @property
    def rejection(self) -> float | None:
        """Share to which the threshold is moved; None for that before adapting."""
        return NEW_WORDS_REJECTION if self.new_words else None


@dataclass(frozen=True)
class People:
    """Who is adapted to and who must not suffer, with all features; indices are into clips."""

    clips: tuple[Clip, ...]
    pcm: NDArray[np.int16]
    features: NDArray[np.int8]
    speakers: tuple[str, ...]
    others: tuple[int, ...]
    outside: NDArray[np.int8]
    """Features of words that the model was not trained on."""
    words_left_out: int
    """Words of these speakers with too few takes."""
    speakers_left_out: tuple[str, ...]
    """Speakers of the list with too few takes of every word."""
    repeats: int
    bad: tuple[str, ...]
    """Why files were left out."""
    long: int
    """Clips longer than a second, of which the loudest second is taken."""
    digest: str
    listening: Listening | None = None
    """Streams; None where only clips are heard."""


@dataclass(frozen=True)
class DrawOutcome:
    """One method on one draw of one speaker."""

    right: NDArray[np.int64]
    """(columns,) clips heard right or rejected."""
    total: NDArray[np.int64]
    """(columns,) clips."""
    keyword_margin: NDArray[np.int64]
    """Margins of the query clips; the least integer where the best keyword is the wrong one."""
    unknown_margin: NDArray[np.int64]
    streams: DrawStreams | None = None


def takes_by_word(clips: Sequence[Clip], speaker: str) -> dict[str, int]:
    """How many takes of each word a speaker has."""
    counts: dict[str, int] = {}
    for clip in clips:
        if clip.speaker == speaker:
            counts[clip.word] = counts.get(clip.word, 0) + 1
    return counts


def choose_speakers(
    clips: Sequence[Clip], keywords: Sequence[str], shots: int, listed: Sequence[str] | None
) -> tuple[tuple[str, ...], int]:
    """Speakers with enough takes, and how many of their words have too few.

    `clips` are distinct recordings, so that a take that is there twice counts once.

    Raises:
        DataError: there is nobody to adapt to.
    """
    chosen, left_out = [], 0
    least = min(MIN_WORDS, len(keywords)) if listed is None else 1
    for speaker in sorted({clip.speaker for clip in clips} - {""}) if listed is None else listed:
        counts = takes_by_word(clips, speaker)
        words = [word for word in keywords if counts.get(word, 0) > shots]
        if len(words) >= least:
            chosen.append(speaker)
            left_out += len(keywords) - len(words)
    if not chosen:
        who = "no speaker" if listed is None else "none of the listed speakers"
        what = f"{least} keywords" if least > 1 else "a keyword"
        raise DataError(
            f"{who} has {shots + 1} takes of {what} ({' '.join(keywords)}): choose fewer --shots"
        )
    return tuple(chosen), left_out


def clips_of(tree: Tree, listed: Sequence[str]) -> list[Clip]:
    """Clips of the listed speakers.

    Raises:
        DataError: the tree does not have all of them.
    """
    there = {clip.speaker for clip in tree.clips}
    strange = [speaker for speaker in listed if speaker not in there]
    if strange or not listed:
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
        names = ", ".join(strange[:3]) + more if strange else "nobody"
        raise DataError(
            f"{tree.root}: the list of speakers names {names}, of whom there are no clips; "
            f"correct the list, or name their tree with --data"
        )
    wanted = set(listed)
    return [clip for clip in tree.clips if clip.speaker in wanted]


def draw_clips(clips: Sequence[Clip], count: int, rng: np.random.Generator) -> list[Clip]:
    """So many of the clips, or all there are, in their order."""
    return [clips[i] for i in sorted(rng.permutation(len(clips))[:count])]


def choose_others(clips: Sequence[Clip], keywords: Sequence[str]) -> list[Clip]:
    """Fixed clips of other speakers: 300 of keywords and 200 of other words, or all there are."""
    rng = np.random.default_rng(FIXED_SEED)
    chosen = []
    for wanted, count in ((True, OTHER_KEYWORDS), (False, OTHER_UNKNOWN)):
        fitting = [clip for clip in clips if (clip.word in keywords) == wanted]
        chosen += draw_clips(fitting, count, rng)
    return chosen


def source_clips(tree: Tree) -> Sequence[Clip]:
    """Clips of speakers who do not adapt."""
    return tree.of("validation") if tree.has_lists else tree.clips


def random_of(name: str, seed: int) -> np.random.Generator:
    """Random numbers by a name and a seed."""
    return np.random.default_rng([seed, *hashlib.sha256(bytes_of(name)).digest()])


def learner_of(model: Model, tree: Tree, settings: Experiment) -> Model:
    """The model that learns: itself, or with new words of the tree in the place of its own.

    Raises:
        DataError: the tree has too few words that an image has room for.
    """
    if not settings.new_words:
        return model
    there = {clip.word for clip in tree.clips} - set(model.labels)
    words = sorted(word for word in there if is_name(word))
    count = len(model.keywords)
    if len(words) < count:
        raise DataError(f"{tree.root}: {len(words)} new words, and {model.name} has {count}")
    rng = random_of("new words", settings.seed)
    return Model(modelfile.with_words(model, sorted(rng.permutation(words)[:count].tolist())))


def changed(
    recordings: Recordings, speakers: Sequence[str], tree: Tree, settings: Experiment, part: str
) -> NDArray[np.int16]:
    """The samples (clips, 16000), those of the speakers as they sound in the room or the noise.

    A speaker's room, or level of noise, follows from the speaker's name and the seed; noise is of
    the part for "training" or "evaluation" of its recordings. In a tree without lists some speakers
    are the others of each other, and heard there as changed, too.

    Raises:
        DataError: noise is wanted, and the tree has none that is long enough.
    """
    pcm = recordings.pcm.copy()
    noises: list[NDArray[np.int16]] = []
    snr_db = SNR_DB.get(settings.changed_sound)
    if snr_db:
        noises = [n for n in read_noise(tree.noises, part) if len(n) >= CLIP_SAMPLES]
        if not noises:
            raise DataError(f"{tree.root}: no noise recordings of 5 seconds in _background_noise_")
    of = np.array([clip.speaker for clip in recordings.clips])
    for speaker in speakers:
        rng = random_of(speaker, settings.seed)
        own = of == speaker
        if snr_db:
            pcm[own] = in_noise(pcm[own], noises, snr_db, rng)
        else:
            pcm[own] = in_a_room(pcm[own], rng)
    return pcm


def read_people(
    model: Model,
    tree: Tree,
    others_tree: Tree | None,
    listed: Sequence[str] | None,
    settings: Experiment,
    progress: Progress,
    outside: Tree | None = None,
    noise_part: str = "evaluation",
    talk: Sequence[Recording] | None = None,
) -> People:
    """Read the clips of the speakers and of the others.

    Args:
        model: gives the keywords and the front end.
        tree: the data set with the speakers.
        others_tree: the data set with the others; tree by default.
        listed: the speakers; by default those of the testing split (all, without lists) with enough
            takes of at least 5 keywords.
        settings: shots and changed_sound matter here.
        progress: of reading.
        outside: a data set of words that the model was not trained on, whatever their names.
        noise_part: of the noise recordings, where the changed sound is noise.
        talk: sentences of others, perhaps none; without it only clips are heard, and no streams.

    Raises:
        DataError: there is nobody to adapt to, a listed speaker is not there, or no noise is.
    """
    if listed is not None:
        listed = list(dict.fromkeys(listed))
        pool = clips_of(tree, listed)
    else:
        pool = list(tree.of("testing") if tree.has_lists else tree.clips)
    source = others_tree or tree
    others = choose_others(source_clips(source), model.keywords)
    read = read_recordings(list(dict.fromkeys([*pool, *others])), progress)
    mine = set(pool)
    speakers, left_out = choose_speakers(
        [clip for clip in read.clips if clip in mine], model.keywords, settings.shots, listed
    )
    fixed = set(others)
    used = [
        i
        for i, clip in enumerate(read.clips)
        if clip in fixed or (clip in mine and clip.speaker in speakers)
    ]
    recordings = replace(read, clips=tuple(read.clips[i] for i in used), pcm=read.pcm[used])
    if settings.changed_sound:
        recordings = replace(
            recordings, pcm=changed(recordings, speakers, tree, settings, noise_part)
        )
    drawn = partial(np.random.default_rng, FIXED_SEED)
    strange = read_recordings(draw_clips(outside.clips, OUTSIDE, drawn()) if outside else [])
    listening = None
    if talk is not None:
        strangers = [clip for clip in source_clips(source) if clip.speaker not in speakers]
        streamed = read_recordings(draw_clips(strangers, STREAMED, drawn()))
        listening = read_listening(source, streamed, model.keywords, talk, settings.snr)
        if not listening and (talk or settings.snr != CLEAN_DB):
            raise DataError(
                f"{source.root}: no stream can be made, for want of recordings in"
                " _background_noise_ or of other speakers' words; leave --talk and --snr out"
            )
    return People(
        recordings.clips,
        recordings.pcm,
        np.stack([features(pcm, model.front_end) for pcm in recordings.pcm]),
        speakers,
        tuple(i for i, clip in enumerate(recordings.clips) if clip in fixed),
        np.array([features(pcm, model.front_end) for pcm in strange.pcm], np.int8),
        left_out,
        tuple(sorted(set(listed or ()) - set(speakers))),
        len(read.repeats) + len(strange.repeats),
        tuple(reason for _, reason in (*read.bad, *strange.bad)),
        len(read.long) + len(strange.long),
        recordings.digest,
        listening,
    )


class DrawRunner:
    """One process's copy of the experiment."""

    def __init__(
        self,
        image: bytes,
        people: People,
        settings: Experiment,
        methods: Mapping[str, int],
        maker: Maker = core_learner,
    ) -> None:
        """Keep what every draw needs; methods by name, with the flags of their takes."""
        self.model = Model(image)
        self.people = people
        self.settings = settings
        self.methods = methods
        self.maker = maker
        self.truth = np.array([self.model.class_of(clip.word) for clip in people.clips], np.int64)
        self.ears = (
            Ears(self.model, people.listening, odds_q8(settings.sensitivity))
            if people.listening
            else None
        )

    def adapt(
        self, learner: Adapting, draw: Episode, method: int, rng: np.random.Generator
    ) -> None:
        """The schedule of adaptation: shuffled passes with falling rates."""
        takes = [*draw.support, *draw.negatives]
        words = [self.model.labels[self.truth[i]] for i in takes]
        heard = [
            take_features(self.people.pcm[i], self.model.front_end, True)
            if keeps(method, word, self.model.keywords)
            else self.people.features[i]
            for i, word in zip(takes, words, strict=True)
        ]
        for _, n, scale, flags in schedule(len(takes), self.settings.passes, method, rng):
            learner.take(heard[n], int(self.truth[takes[n]]), flags, scale)

    def measure(self, learner: Adapting, draw: Episode) -> DrawOutcome:
        """The columns after adaptation."""
        others = [i for i in self.people.others if self.people.clips[i].speaker != draw.speaker]
        unknown = self.model.unknown

        def clips(indices: Sequence[int]) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
            at = np.array(indices, np.int64)
            return self.people.features[at], self.truth[at]

        groups = (
            clips(draw.query),
            clips(draw.other_words),
            clips([i for i in others if self.truth[i] != unknown]),
            clips([i for i in others if self.truth[i] == unknown]),
            (self.people.outside, np.full(len(self.people.outside), unknown)),
        )
        no_keyword = [unknown, self.model.silence]
        keyword = np.setdiff1d(np.arange(len(self.model.labels)), no_keyword)
        right, margins = [], []
        for heard, truth in groups:
            scores = learner.scores_of(heard).astype(np.int64)
            best = keyword[scores[:, keyword].argmax(1)]
            margin = scores[np.arange(len(scores)), best] - scores[:, no_keyword].max(1)
            fits = (truth == unknown) | (best == truth)
            called = np.where(margin > 0, best, unknown)
            right.append(int(are_right(called, truth, keyword).sum()))
            margins.append(np.where(fits, margin, np.iinfo(np.int64).min))
        total = np.array([len(truth) for _, truth in groups])
        return DrawOutcome(np.array(right), total, margins[0], margins[1])

    def own_streams(self, draw: Episode, rng: np.random.Generator) -> list[Heard]:
        """The speaker's minutes of a draw; none where only clips are heard."""
        if not self.ears:
            return []
        rows = [*draw.query, *draw.other_words]
        clips = [self.people.clips[i] for i in rows]
        minutes = own_minutes(
            self.people.pcm[rows], clips, self.ears.listening.sounds, rng, self.settings.snr
        )
        return [self.ears.minute(minute) for minute in minutes]

    def run(self, task: tuple[str, int]) -> list[DrawOutcome]:
        """All methods on one draw of one speaker, by its number."""
        speaker, draw_number = task
        person = self.people.speakers.index(speaker)
        settings = self.settings

        def rng(stream: int) -> np.random.Generator:
            return np.random.default_rng([settings.seed, 1 + draw_number, person, stream])

        draw = episode(
            self.people.clips,
            speaker,
            self.model.keywords,
            settings.shots,
            settings.negatives,
            rng(0),
        )
        own = self.own_streams(draw, rng(3))
        number = person * settings.draws + draw_number
        outcomes = []
        for name, flags in self.methods.items():
            learner = self.maker(self.model, name, int(rng(1).integers(1, 2**32)))
            if flags:
                self.adapt(learner, draw, flags, rng(2))
            outcome = self.measure(learner, draw)
            if self.ears and isinstance(learner, Streaming):
                outcome = replace(outcome, streams=hear(self.ears, learner, own, number))
            outcomes.append(outcome)
        return outcomes


@dataclass(frozen=True, eq=False)
class Estimate:
    """Percent over all speakers, and over each resample of them; a seed has the same resamples."""

    mean: float
    resampled: NDArray[np.float64]
    """(RESAMPLES,); not a number where nobody in it has a clip."""

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return float(np.nanpercentile(self.resampled, 2.5))

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return float(np.nanpercentile(self.resampled, 97.5))

    def summary(self) -> dict[str, float]:
        """Plain data for --json."""
        return {"mean": self.mean, "low": self.low, "high": self.high}

    def __sub__(self, other: "Estimate") -> "Estimate":
        """The paired difference."""
        return Estimate(self.mean - other.mean, self.resampled - other.resampled)


def over_speakers(
    columns: Callable[[Sequence[int]], Mapping[str, float]],
    speakers: int,
    resamples: int,
    seed: int,
) -> dict[str, Estimate]:
    """Columns of all speakers, with what they are where speakers are drawn anew.

    Args:
        columns: of some speakers, who may come more than once, by their places.
        speakers: how many there are.
        resamples: draws.
        seed: of them.
    """
    drawn = np.random.default_rng(seed).integers(0, speakers, (resamples, speakers))
    resampled = [columns(some) for some in drawn.tolist()]
    return {
        name: Estimate(mean, np.array([each.get(name, np.nan) for each in resampled]))
        for name, mean in columns(range(speakers)).items()
    }


Estimates = dict[str, Estimate | None]
"""By column; nothing where there are no clips."""


def differences(ours: Estimates, theirs: Estimates) -> Estimates:
    """Paired differences of the columns that both have."""
    return {k: a - b if a and (b := theirs.get(k)) else None for k, a in ours.items()}


@dataclass(frozen=True)
class MethodRow:
    """One method; the differences are paired."""

    method: str
    columns: Estimates
    gain: Estimates
    """Differences to the unadapted model."""
    against: Estimates | None = None
    """Differences to another model after the same method."""

    def summary(self) -> dict[str, object]:
        """Plain data for --json."""

        def plain(estimates: Estimates) -> dict[str, object]:
            return {name: e and e.summary() for name, e in estimates.items()}

        means = {name: e and e.mean for name, e in self.columns.items()}
        return {
            "method": self.method,
            **means,
            "intervals": plain(self.columns),
            "gain": plain(self.gain),
            "against": self.against and plain(self.against),
        }


@dataclass(frozen=True)
class AdaptingReport:
    """An experiment's table."""

    rows: tuple[MethodRow, ...]
    people: People
    unknown_self_clips: int
    words: tuple[str, ...]
    """That were learned."""

    def compared(self, other: "AdaptingReport") -> "AdaptingReport":
        """The same table, with differences to that of another model of the same words.

        Both are of the same trees, speakers, settings and methods, and so of the same takes. Each
        model keeps its own unadapted rejection, where none is given.
        """
        rows = zip(self.rows, other.rows, strict=True)
        return replace(
            self,
            rows=tuple(
                replace(ours, against=differences(ours.columns, theirs.columns))
                for ours, theirs in rows
            ),
        )


def same_rejection_right(
    method: Sequence[Sequence[DrawOutcome]],
    none: Sequence[Sequence[DrawOutcome]],
    rejection: float | None,
    times: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Keywords right at a pooled rejection, the threshold of each draw chosen in each resample.

    Args:
        method: outcomes[speaker][draw].
        none: the same, unadapted.
        rejection: share of the other words; that of each draw unadapted by default.
        times: (resamples, speakers) how often each speaker is in it.

    Returns:
        (resamples,) over all draws.
    """
    right = np.zeros(len(times), dtype=np.int64)
    for draw in range(len(method[0])):
        ours, before = ([speaker[draw] for speaker in people] for people in (method, none))
        whose = np.repeat(np.arange(len(ours)), [len(one.unknown_margin) for one in ours])
        margins = np.concatenate([one.unknown_margin for one in ours])
        order = np.argsort(margins, kind="stable")
        threshold = np.zeros(len(times), dtype=np.int64)
        if len(margins):
            margins, drawn = margins[order], times[:, whose[order]].cumsum(1)
            if rejection is None:
                rejected = times @ np.array([(one.unknown_margin <= 0).sum() for one in before])
            else:
                rejected = np.rint(rejection * drawn[:, -1]).astype(np.int64)
            # at the margin of the last that is rejected, or below that of the first there is
            place = (drawn < np.maximum(rejected, 1)[:, None]).sum(1).clip(max=len(margins) - 1)
            threshold = margins[place] - (rejected == 0)
        for speaker, one in enumerate(ours):
            below = np.searchsorted(np.sort(one.keyword_margin), threshold, side="right")
            right += times[:, speaker] * (len(one.keyword_margin) - below)
    return right


def estimate_at(
    method: Sequence[Sequence[DrawOutcome]],
    none: Sequence[Sequence[DrawOutcome]],
    rejection: float | None,
    times: NDArray[np.int64],
) -> Estimate:
    """Percent of the keywords at a rejection; the first row of `times` has everybody once."""
    total = np.array([sum(one.total[0] for one in draws) for draws in method])
    with np.errstate(invalid="ignore"):
        share = 100 * same_rejection_right(method, none, rejection, times) / (times @ total)
    return Estimate(float(share[0]), share[1:])


def estimate(
    right: NDArray[np.int64], total: NDArray[np.int64], resampled: NDArray[np.int64]
) -> Estimate:
    """Pooled percentage over speakers; both arrays are (speakers,)."""
    with np.errstate(invalid="ignore"):
        return Estimate(
            100 * float(right.sum()) / float(total.sum()),
            100 * right[resampled].sum(1) / total[resampled].sum(1),
        )


Sums = tuple[StreamSums, StreamSums, StreamSums]
"""Of the speakers' streams, of others', of talk."""


def stream_sums(speakers: list[list[DrawOutcome]]) -> Sums | None:
    """Sums of a method's streams; None where there are none."""
    heard = [[one.streams for one in draws if one.streams] for draws in speakers]
    if not any(heard):
        return None
    return (
        StreamSums.of([[one.own for one in draws] for draws in heard]),
        StreamSums.of([[one.others for one in draws] for draws in heard]),
        StreamSums.of([[one.talk for one in draws] for draws in heard]),
    )


def stream_estimates(method: Sums, none: Sums, resampled: NDArray[np.int64]) -> Estimates:
    """The columns of streams, with thresholds chosen anew for each resample."""

    def columns(speakers: NDArray[np.int64]) -> Mapping[str, float]:
        own, others, talk = (sums.over(speakers) for sums in method)
        return columns_of(own, others, talk, none[0].over(speakers))

    means = columns(np.arange(len(method[0].hits)))
    drawn = [columns(speakers) for speakers in resampled]
    return {
        name: None if np.isnan(mean) else Estimate(mean, np.array([one[name] for one in drawn]))
        for name, mean in means.items()
    }


def tabulate(
    outcomes: dict[str, list[list[DrawOutcome]]], rng: np.random.Generator, rejection: float | None
) -> tuple[MethodRow, ...]:
    """Rows from outcomes[method][speaker][draw]."""
    none = outcomes["none"]
    everybody = np.arange(len(none))
    resampled = rng.integers(0, len(none), (RESAMPLES, len(none)))
    times = (np.vstack([everybody, resampled])[..., None] == everybody).sum(1)
    unadapted: Estimates = {}
    rows = []
    for method, speakers in outcomes.items():
        columns: Estimates = {}
        for column, name in enumerate(CAPTIONS):
            right = np.array([sum(o.right[column] for o in draws) for draws in speakers])
            total = np.array([sum(o.total[column] for o in draws) for draws in speakers])
            columns[name] = estimate(right, total, resampled) if total.sum() else None
        if columns["unknown_self"] is None:
            columns[SAME_REJECTION] = None
        else:
            columns[SAME_REJECTION] = estimate_at(speakers, none, rejection, times)
            for share in REJECTIONS:
                at = estimate_at(speakers, none, share, times)
                columns[f"keywords_self_at_{100 * share:g}"] = at
        sums, unadapted_sums = stream_sums(speakers), stream_sums(none)
        if sums and unadapted_sums:
            columns |= stream_estimates(sums, unadapted_sums, resampled)
        if method == "none":
            unadapted = columns
        rows.append(MethodRow(method, columns, differences(columns, unadapted)))
    return tuple(rows)


def bench_adapt(
    model: Model,
    people: People,
    settings: Experiment,
    methods: Sequence[str] = tuple(METHODS),
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
    flags: Mapping[str, int] = METHODS,
    maker: Maker = core_learner,
) -> AdaptingReport:
    """Run methods ("none" is always among them) over all speakers and draws.

    Args:
        model: the model, with the rates to use.
        people: from read_people().
        settings: the experiment.
        methods: names in flags.
        workers: processes; all cores by default.
        progress: over draws of speakers.
        flags: of each method's takes; none for "none", which does not learn.
        maker: of what learns by a method; the C core by default.
    """
    methods = tuple(dict.fromkeys(["none", *methods]))
    tasks = [(speaker, draw) for speaker in people.speakers for draw in range(settings.draws)]
    chosen = {name: flags[name] for name in methods}
    make = partial(DrawRunner, model.image, people, settings, chosen, maker)
    outcomes: dict[str, list[list[DrawOutcome]]] = {
        m: [[] for _ in people.speakers] for m in methods
    }
    for done, results in enumerate(spread(DrawRunner.run, tasks, workers, make)):
        person = done // settings.draws
        for method, outcome in zip(methods, results, strict=True):
            outcomes[method][person].append(outcome)
        progress(done + 1, len(tasks))
    first = [draws[0] for draws in outcomes["none"]]
    return AdaptingReport(
        tabulate(outcomes, np.random.default_rng(settings.seed), settings.rejection),
        people,
        int(sum(o.total[1] for o in first)),
        model.keywords,
    )


@dataclass(frozen=True)
class Sources:
    """Where the clips of an experiment are from; see read_people()."""

    tree: Tree
    others: Tree | None = None
    listed: Sequence[str] | None = None
    outside: Tree | None = None
    talk: tuple[Recording, ...] = ()

    def read(
        self, model: Model, settings: Experiment, progress: Progress, streams: bool = False
    ) -> People:
        """Read them for a model, which learns; its streams, too, where they are asked for."""
        return read_people(
            model,
            self.tree,
            self.others,
            self.listed,
            settings,
            progress,
            self.outside,
            talk=self.talk if streams else None,
        )


def read_sources(
    folder: Path,
    others: Path | None,
    speakers: Path | None,
    outside: Path | None,
    talk: Path | None = None,
) -> Sources:
    """Read which clips are in the trees that are named, and the list of the speakers.

    Raises:
        DataError: a folder is no such tree, or the list cannot be read.
    """
    return Sources(
        read_tree(folder),
        read_tree(others) if others else None,
        read_names(speakers) if speakers else None,
        read_tree(outside) if outside else None,
        read_testing(talk, text=True) if talk else (),
    )


def measure(
    model: Model,
    sources: Sources,
    settings: Experiment,
    methods: Sequence[str] = tuple(METHODS),
    other: Model | None = None,
    workers: int | None = None,
    stage: Stage = lambda name: lambda done, total: None,
) -> AdaptingReport:
    """Run methods over all speakers and draws with a model, and compare it with another.

    Args:
        model: the model; new words take the place of its own if the settings say so.
        sources: the clips.
        settings: the experiment.
        methods: names of METHODS.
        other: a model of the same words, which learns from the same takes.
        workers: processes; all cores by default.
        stage: gives, for the name of a stage, what its progress is reported to.

    Raises:
        DataError: as of learner_of() and read_people().
    """
    tree = sources.tree
    learners = {"": learner_of(model, tree, settings)}
    reports = []
    if other:
        learners[" the other model"] = learner_of(other, tree, settings)
    for which, learner in learners.items():
        reading, adapting = stage(f"reading{which}"), stage(f"adapting{which}")
        people = sources.read(learner, settings, reading, streams=True)
        reports.append(bench_adapt(learner, people, settings, methods, workers, adapting))
    return reports[0].compared(reports[1]) if other else reports[0]
