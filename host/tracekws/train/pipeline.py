# SPDX-License-Identifier: Apache-2.0
"""The whole of training: data, copies, epochs, image and card."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from tracekws import files
from tracekws.bench import cards
from tracekws.bench.clips import ClipAccuracy, evaluate
from tracekws.bench.sets import SPEECH, TALK, read_split, speech_of
from tracekws.bench.thresholds import calibrate
from tracekws.core import FeatureConfig, Model
from tracekws.data import Recordings, Stage, Tree, read_tree, split_by_hash, without_repeats
from tracekws.errors import DataError
from tracekws.modelfile import Detector, Learning
from tracekws.names import normalised
from tracekws.train import own
from tracekws.train.config import TrainConfig
from tracekws.train.dataset import (
    check_words,
    names_digest,
    read_evaluation,
    read_training,
    training_clips,
    without_speakers,
    words_of,
)
from tracekws.train.export import export
from tracekws.train.group import Group, join
from tracekws.train.loader import Loader
from tracekws.train.loop import Epoch, StudentRun, TeacherRun
from tracekws.train.loop import evaluate as evaluate_float
from tracekws.train.made import completed
from tracekws.train.progress import Log
from tracekws.train.seconds import read_seconds, spoken_words, told_apart, training_parts
from tracekws.train.traces import read_spoken


@dataclass(frozen=True)
class Job:
    """What to train on and where to put it."""

    data: Path
    run: Path
    output: Path
    exclude: frozenset[str]
    """Speakers that are not trained on."""
    workers: int
    threads: int
    config: str = "base"
    """Name or file of the configuration, for the card."""
    changes: dict[str, str] = field(default_factory=dict)
    """Options that differ from it, for the card."""

    @property
    def cache(self) -> Path:
        """Folder of the clips' energies, which runs beside each other share."""
        return self.run.parent / "cache"


@dataclass(frozen=True)
class Trained:
    """What training made."""

    model: Model
    worth: own.Worth | None = None
    """What a model of own words is worth; else the card says it."""


def free_cores() -> int:
    """Cores for torch: this machine's, divided among the processes that torchrun started here."""
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def epoch_text(epoch: Epoch) -> str:
    """An epoch in one line."""
    parts = [f"loss {epoch.loss:.3f}", f"validation {epoch.accuracy:.2f} %"]
    if epoch.contrast_accuracy is not None:
        parts.append(f"contrast {epoch.contrast_accuracy:.2f} %")
    if epoch.rate is not None:
        parts.append(f"firing {epoch.rate:.1f} %")
    name = "" if epoch.network == "checkpoint" else f"{epoch.network}, "
    return f"{name}epoch {epoch.epoch}: {', '.join(parts)}, {epoch.seconds:.0f} s"


def train(
    job: Job,
    config: TrainConfig,
    learning: Learning,
    detector: Detector,
    stage: Stage,
    report: Callable[[Epoch], None],
    tell: Callable[[str], None] = lambda text: None,
) -> Trained | None:
    """Train, or go on training, and write the image and its card.

    `tell` is given what the user should know of the clips.

    Under torchrun all processes call it; the first one writes, the others get None.

    Raises:
        DataError: nothing to train on, a checkpoint that is damaged or of other settings or clips,
            or a file that cannot be written; all before the work begins.
        TraceKwsError: a loss is no number any more.
    """
    torch.set_num_threads(1 if config.start else job.threads)  # a readout is small: more would wait
    group = join()
    try:
        return train_with(group, job, config, learning, detector, stage, report, tell)
    finally:
        group.leave()


def train_with(
    group: Group,
    job: Job,
    config: TrainConfig,
    learning: Learning,
    detector: Detector,
    stage: Stage,
    report: Callable[[Epoch], None],
    tell: Callable[[str], None],
) -> Trained | None:
    """See train()."""
    for batch in (config.batch, config.teacher.batch if config.teachers else 0):
        if batch % group.size:
            raise DataError(f"a batch of {batch} clips is not for {group.size} processes alike")
    cards.check_output(job.output)
    root = speech_of(job.data)
    tree = read_tree(root or job.data / SPEECH)
    has_lists = tree.has_lists
    if config.start:
        return train_own(group, job, tree, config, learning, detector, stage, tell)
    if not has_lists:
        tree = split_by_hash(without_repeats(tree, stage("looking for repeats")))
    check_words(tree.root, tree.clips, config.words)
    tree = without_speakers(tree, job.exclude)  # nothing is made of them, either
    tree, told = completed(tree, config.words, job.run / "made", config.augment.seed)
    for text in told if group.leads else ():
        tell(text)
    clips = training_clips(tree, config.classes)
    files.check_folder(job.run)
    files.check_folder(job.cache)
    parts = training_parts(job.data, config.words, config.sets, job.exclude)
    spoken = spoken_words(job.data, config.words, job.exclude)
    talk = read_split(job.data, TALK, "validation")
    digest = names_digest(clips, parts)
    words = len(words_of(clips, config.words, told_apart(parts)))
    if group.share(digest) != digest:
        raise DataError(f"{job.data}: not the clips that the first process has")
    teachers = [
        TeacherRun(config, words, number, job.run, digest, group)
        for number in range(config.teachers)
    ]
    student = StudentRun(config, words, job.run, digest, group, [run.network for run in teachers])
    runs = [*teachers, student]
    if len(student.history) == config.epochs:
        runs = [student]  # its teachers are not needed any more
    front_end = FeatureConfig()
    seconds = read_seconds(parts, config.sets, config.augment.seed)
    source, held, recordings = read_training(
        tree, front_end, config.classes, stage("reading"), seconds
    )
    content = source.content
    for run in runs:
        run.bind(content)
    total = sum(run.epochs for run in runs)
    bar = stage("epochs")
    loader = Loader(
        source,
        job.cache,
        front_end,
        config,
        job.workers,
        group.part,
        fills=group.local_rank == 0,
        progress=stage("energies"),
    )
    facts = {**data_facts(recordings), "sets": {part.name: part.count for part in parts}}
    if group.leads:
        tell_of(recordings, tell)
    del source, recordings, seconds  # a gigabyte, perhaps
    try:
        group.wait()  # for the cache
        for run in runs:
            log = Log(job.run, [*runs], run) if group.leads else None

            def after(epoch: Epoch, log: Log | None = log) -> None:
                bar(sum(len(r.history) for r in runs), total)
                if log:
                    log.write(epoch)
                report(epoch)

            run.train(loader, held, after)
        if not group.leads:
            return None
        image = export(
            normalised(job.output.stem),
            student.network,
            config.classes,
            loader.each_once(),
            loader.labels[~loader.of_sets],
            loader.words[~loader.of_sets],
            front_end,
            learning,
            detector,
            spoken=read_spoken(spoken, front_end) if spoken else None,
            own_words=config.own_words,
        )
    finally:
        loader.close()
    model, streams = calibrate(Model(image), tree, talk, stage=stage)
    results = {
        split: evaluate(model, tree, split, None, stage)
        for split in ("validation", "testing")
        if tree.of(split)
    }
    float_accuracy = {
        split: evaluate_float(
            student.network,
            held
            if split == "validation"
            else read_evaluation(tree, split, front_end, config.classes),
            group,
        )[0]
        for split in results
    }
    about = card_of(
        job, config, model, results, student.history[-1], float_accuracy, facts, has_lists, streams
    )
    files.write_all({job.output: model.image, **about})
    return Trained(model)


def train_own(
    group: Group,
    job: Job,
    tree: Tree,
    config: TrainConfig,
    learning: Learning,
    detector: Detector,
    stage: Stage,
    tell: Callable[[str], None],
) -> Trained:
    """Make a model of own words on another's layer; see the module own for errors."""
    files.check_folder(job.run)
    files.check_folder(job.cache)
    made = own.learn(
        normalised(job.output.stem),
        tree,
        job.exclude,
        job.run,
        job.cache,
        job.workers,
        group,
        config,
        learning,
        detector,
        stage,
        tell,
    )
    facts = {**data_facts(made.recordings), "sets": {}, "held_out": made.worth.summary()}
    streams = {"validation": [*made.worth.streams]}
    tell_of(made.recordings, tell)
    about = card_of(job, config, made.model, {}, made.last, {}, facts, tree.has_lists, streams)
    files.write_all({job.output: made.model.image, **about})
    return Trained(made.model, made.worth)


ATTRIBUTION = (
    "Google Speech Commands (Pete Warden, arXiv 1804.03209), licence CC BY 4.0",
    "The model is licensed as the project is (Apache-2.0); keep the attribution to the data set.",
)


def command_of(job: Job) -> str:
    """The command that makes the model again, from the user's own folders."""
    changes = "".join(f" --{name} {value}" for name, value in job.changes.items())
    exclude = " --exclude-speakers FILE" if job.exclude else ""
    return (
        f"tracekws train --config {job.config} --data DATA --run RUN --output {job.output.name}"
        f"{changes}{exclude}"
    )


def percent(value: float | None) -> str:
    """A percentage, or a dash where there were no clips."""
    return "-" if value is None else f"{value:.1f} %"


def data_facts(recordings: Recordings) -> dict[str, object]:
    """What the card says of the clips that were trained on."""
    return {
        "training_clips": len(recordings.clips),
        "training_speakers": len({clip.speaker for clip in recordings.clips} - {""}),
        "training_data": recordings.digest,
        "bad_files": len(recordings.bad),
        "long_clips": len(recordings.long),
        "silent_clips": len(recordings.silent),
    }


def tell_of(recordings: Recordings, tell: Callable[[str], None]) -> None:
    """Say what is trained on otherwise than it is, or not at all; `data check` names each."""
    for clips, what in (
        (recordings.bad, "bad files were left out"),
        (recordings.long, "clips are longer than a second: the loudest second is learned"),
        (recordings.silent, "clips are silent, and are learned as their words"),
    ):
        if clips:
            tell(f"{len(clips)} {what}")


def card_of(
    job: Job,
    config: TrainConfig,
    model: Model,
    results: dict[str, ClipAccuracy],
    last: Epoch,
    float_accuracy: dict[str, float],
    data: dict[str, object],
    is_speech_commands: bool,
    streams: dict[str, list[dict[str, Any]]],
) -> dict[Path, bytes]:
    """The model's card, as JSON and as text, the content of each file beside the image.

    A folder with Speech Commands' lists is taken for it, and it is named.
    """
    facts: dict[str, Any] = {
        **model.identity,
        "image_bytes": len(model.image),
        "trainable_bytes": model.weight_bytes,
        "neurons": int(model.header.n_neurons),
        "labels": list(model.labels),
        "command": command_of(job),
        "config": asdict(config),
        "speakers_excluded": len(job.exclude),
        **data,
        "accuracy_float": float_accuracy,
        "validation_contrast_accuracy_float": last.contrast_accuracy,
        "firing_percent": last.rate,
        "results": {split: result.summary() for split, result in results.items()},
        "stream": streams,
    }
    rows = [
        ("Network", f"80 - {model.header.n_neurons} recurrent LIF - {len(model.labels)}, int16"),
        ("Trainable weights", f"{model.weight_bytes:,} bytes"),
        ("Image", f"{len(model.image):,} bytes, CRC {model.crc:08x}"),
        (
            "Replay",
            f"{model.header.n_latent} mean-rate vectors, {model.header.n_sequences} sequences",
        ),
        ("Firing", f"{last.rate or 0:.1f} % of the neurons in a step"),
        (cards.WHAT, cards.not_counted(model.name)),
    ]
    for split, result in results.items():
        rows += [
            (
                f"Accuracy, {split}, C core",
                f"{result.accuracy:.2f} % of {result.clips:,} clips "
                f"(macro {result.macro_accuracy:.2f} %)",
            ),
            (f"Accuracy, {split}, float", f"{float_accuracy[split]:.2f} %"),
            (f"Unknown words rejected, {split}", percent(result.rejected(result.unknown))),
            (f"Silence rejected, {split}", percent(result.rejected(result.silence))),
        ]
    rows += [
        (
            f"Stream, {split}, background {speech['snr_db']:g} dB below",
            f"{speech['hit_percent']:.1f} % of the keywords heard, "
            f"{speech['false_alarms_per_100_other_words']['mean']:.1f} false alarms in 100 other "
            "words",
        )
        for split, parts in streams.items()
        for speech in parts
    ]
    rows += [
        ("Accuracy, validation, float, by class contrast alone", percent(last.contrast_accuracy)),
        ("Made by", f"`{command_of(job)}`"),
        (
            "Data",
            f"{facts['training_clips']:,} distinct clips of {facts['training_speakers']:,} "
            f"speakers, digest {facts['training_data']}",
        ),
    ]
    if sets := ", ".join(f"{count:,} of {name}" for name, count in facts["sets"].items()):
        rows.append(("Recordings of sets, as what is no keyword", sets))
    lines = [
        f"# {model.name}",
        "",
        f"A TraceKWS model of the words {', '.join(model.keywords)}, unknown words and silence.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows),
        "",
        "Accuracy is over keyword and other-word clips, by argmax without thresholds; silence is "
        "apart.",
    ]
    if is_speech_commands:
        lines += ["", f"Data: {ATTRIBUTION[0]}.", ATTRIBUTION[1]]
    as_json, as_text = cards.cards_of(job.output)
    return {
        as_json: (json.dumps(facts, indent=2) + "\n").encode(),
        as_text: ("\n".join(lines) + "\n").encode(),
    }
