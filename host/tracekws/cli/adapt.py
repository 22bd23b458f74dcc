# SPDX-License-Identifier: Apache-2.0
"""`tracekws adapt`: teaches a device its user's voice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tracekws import columns
from tracekws.cli.console import (
    check_json,
    count,
    out,
    picture_file,
    print_json,
    printing,
    say,
    stages,
    talk,
)
from tracekws.cli.devices import (
    check_known,
    columns_table,
    device_model,
    open_device,
    prompt,
    say_saved,
    warn_before_learning,
)
from tracekws.cli.options import DeviceModel, Force, Json, KeepIn, Port, Save, Virtual
from tracekws.device import adapt as adaptation
from tracekws.device import microphone
from tracekws.device.relearn import check_profile
from tracekws.device.takes import Lesson
from tracekws.errors import DataError
from tracekws.files import check_folder
from tracekws.learner import LARGEST_SEED, MOST_PASSES
from tracekws.names import normalised
from tracekws.shipped import MODEL


def adapt(
    folder: Annotated[
        Path, typer.Argument(help="Takes: FOLDER/WORD/1.wav, other words in FOLDER/_other.")
    ],
    record: Annotated[
        bool, typer.Option("--record", help="First record the takes that the folder lacks.")
    ] = False,
    words: Annotated[
        list[str] | None,
        typer.Option(
            "--word",
            help="Record takes of this word alone; may be given several times.",
            show_default=False,
        ),
    ] = None,
    use_all: Annotated[
        bool, typer.Option("--all", help="Learn every take; hold none back to test with.")
    ] = False,
    others: Annotated[
        Path | None, typer.Option(help="Takes of other speakers to test with, in the same layout.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="Draw before and after into this PNG, SVG or PDF.", callback=picture_file
        ),
    ] = None,
    force: Force = False,
    keep: Save = True,
    passes: Annotated[
        int | None,
        typer.Option(
            help="Passes over the takes, where weights change; the model's by default.",
            min=1,
            max=MOST_PASSES,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of the order of takes and of rounding.", min=1, max=LARGEST_SEED)
    ] = 1,
    model: DeviceModel = MODEL,
    profile: KeepIn = None,
    port: Port = None,
    virtual: Virtual = False,
    as_json: Json = False,
) -> None:
    """Teach the device its user's voice from a folder of takes, a folder a word.

    Not every word needs takes: no score of another word changes, unless the model moves weights.
    A word needs two takes or more: its last one is held back and tested with, before and after.
    Takes of anything else, in the folder _other, are tested with; a model that moves its weights
    learns them as unknown. Takes are looked at first: those that are silent, noise without speech,
    far too quiet or badly clipped are refused, all in one line; of those that are cut, of two words
    or unlike the others of their word it warns. The device refuses takes that sound like another
    word to it, and they are named. What was learned before stays in it: for another
    voice, `forget` first. An error or Ctrl-C takes the device back to what was last saved.

    Example: `tracekws adapt my-takes --picture adapted.png`
    """
    if words and not record:
        raise typer.BadParameter("--word is for --record; takes are learned as the folder has them")
    known = device_model(model)

    told: set[str] = set()

    def tell(lesson: Lesson) -> None:
        """Say what will be learned, unless it would not do."""
        if picture and not lesson.test and not lesson.others:
            raise DataError(
                "nothing to draw, since no take is held back: leave out --picture, or give more"
                " takes or --others"
            )
        for warning in lesson.weak_points:
            say(talk, f"warning: {warning}")
            told.add(warning)
        if not use_all:
            say(
                talk,
                f"{count(len(lesson.learn))} to learn, {len(lesson.test)} held back to test with:"
                " the last of each word, and other words (--all holds none back)",
            )

    def as_plain(result: adaptation.Adaptation) -> dict[str, object]:
        return result.as_json() | {"picture": str(picture) if picture else None}

    def show(result: adaptation.Adaptation) -> None:
        """Give all that can fail, so that nothing is saved when it does."""
        n_learned = sum(result.learned.values())
        for warning in result.warnings:
            if warning not in told:
                say(talk, f"warning: {warning}")
        if picture:
            title = f"before and after {count(n_learned)}"
            columns.picture(picture, result.before, result.after, title)
        if as_json:
            longest = as_plain(replace(result, generation=2**32 - 1))
            check_json(longest)
            return
        with printing():
            if result.before.items():
                out.print(columns_table(result.before, result.after))
            else:
                say(out, f"{count(n_learned)} learned; nothing was held back to test with")
            if picture:
                say(out, f"picture: {picture}")

    with open_device(port, virtual) as device:
        about = device.info()
        warn_before_learning(about, keep)
        check_profile(profile, about, known)
        if record:
            record_guided(folder, chosen(words or (), about.keywords), others=not words)
        with stages() as stage:
            result = device.adapt(
                folder,
                others=others,
                hold_out=not use_all,
                passes=passes,
                seed=seed,
                model=known,
                save=keep,
                force=force,
                profile=profile,
                about=about,
                progress=stage.report,
                before_learning=tell,
                before_save=stage.aside(show),
            )
    say_saved(result.generation, virtual)
    if profile is not None:
        say(talk, f"takes kept in the profile {profile}")
    if as_json:
        print_json(as_plain(result))


def chosen(words: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    """The words that takes are recorded of: all, where none are named.

    Raises:
        DataError: the device does not know one.
    """
    named = [*dict.fromkeys(normalised(word) for word in words)]
    check_known(named, known, "; `tracekws teach` teaches another")
    return named or known


def record_guided(folder: Path, words: Sequence[str], others: bool) -> None:
    """Record the takes that a folder lacks, with prompts on the terminal."""
    microphone.sounddevice()  # say at once what is missing
    check_folder(folder)
    say(talk, f"takes go to {folder}; Ctrl-C stops, and the same command goes on from there")
    made = microphone.record_takes(
        folder,
        words,
        ask=prompt(folder),
        complain=lambda problem: talk.print(problem),
        recorder=microphone.record,
        others=others,
    )
    say(talk, f"{count(made)} recorded")
