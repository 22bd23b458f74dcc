# SPDX-License-Identifier: Apache-2.0
"""`tracekws listen`: the words that a device hears."""

from __future__ import annotations

import select
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from tracekws.audio import read_clip
from tracekws.cli.console import (
    out,
    print_line,
    printing,
    say,
    talk,
)
from tracekws.cli.correct import check_word, standing
from tracekws.cli.devices import open_device
from tracekws.cli.options import Isolated, Json, Port, Virtual, model_option
from tracekws.device import microphone
from tracekws.device.device import Device
from tracekws.device.driver import DeviceInfo
from tracekws.device.takes import chunks
from tracekws.errors import DataError, DeviceError
from tracekws.recognizer import Event
from tracekws.sensitivity import LEVELS, expected
from tracekws.shipped import MODEL


def listen(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Recordings; streams of their own.")
    ] = None,
    mic: Annotated[
        bool, typer.Option("--mic", help="Stream this machine's microphone, until Ctrl-C.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Let the board hear by its own microphone, until Ctrl-C.")
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(help="End --live after so many seconds of sound.", min=0.1)
    ] = None,
    sensitivity: Annotated[
        int | None,
        typer.Option(
            help="Hear more words and more false alarms, or less of both: each level halves the"
            " odds that a word's score must exceed; 0 is the model's own.",
            min=LEVELS[0],
            max=LEVELS[-1],
        ),
    ] = None,
    isolated: Isolated = None,
    model: Annotated[
        Path, model_option("The device's model: its card says what to expect.")
    ] = MODEL,
    port: Port = None,
    virtual: Virtual = False,
    as_json: Json = False,
) -> None:
    """Show the words that the device hears in recordings, or through a microphone.

    A second of silence follows each recording, so that a word at its end is heard. With --json
    each word is a line of its own: file, word, score, start and end in seconds. With --live no
    sound leaves the board. A sensitivity, --isolated and --connected hold for this command, and
    nothing of them stays on the board; what to expect of a sensitivity is said first, where words
    in flowing speech are heard.

    `correct` takes back what was heard last; with --live a word that is typed does it at once.

    Example: `tracekws listen hello.wav`
    """
    files = files or []
    if bool(files) + mic + live != 1:
        raise typer.BadParameter("give recordings, or --mic, or --live")
    if seconds and not live:
        raise typer.BadParameter("--seconds is for --live")
    level = sensitivity or 0
    is_expected = sensitivity is not None and not isolated
    if live:
        if virtual:
            raise typer.BadParameter("--virtual has no microphone; --mic or recordings do with it")
        with open_device(port) as device:
            if is_expected:
                say_expected(device.info(), model, level)
            listen_live(device, seconds, level, isolated, as_json)
        return
    streams: list[tuple[str | None, Iterable[NDArray[np.int16]]]]
    streams = [(str(file), chunks(read_clip(file))) for file in files]
    if mic:
        microphone.sounddevice()  # refuse before the device is touched
        streams = [(None, microphone.stream())]
    heard = 0
    with open_device(port, virtual) as device:
        if is_expected:
            say_expected(device.info(), model, level)
        for name, stream in streams:
            if name and not as_json and len(streams) > 1:
                say(talk, name)
            for event in device.listen(stream, level, isolated):
                heard += 1
                show_event(event, name, as_json)
    if not heard and not as_json:
        say(talk, "no word was heard")


def say_expected(about: DeviceInfo, model: Path, level: int) -> None:
    """Say what the factory measured at a sensitivity, and when that holds no more."""
    card = model.with_suffix(".json")
    found = expected(card, about.model_crc, level)
    if found is None:
        say(
            talk,
            f"sensitivity {level}: what to expect is not known: {card} says nothing of the"
            " device's model on streams; name it by --model, or measure: tracekws bench stream",
        )
        return
    figures = "; ".join(
        f"{hits:.0f} % of the keywords and {false:.1f} false alarms in 100 other words, background"
        f" {snr:g} dB below"
        for snr, hits, false in found.rows
    )
    say(
        talk,
        f"sensitivity {level}: expect {figures} (the factory's figures, {found.split} speakers)",
    )
    if about.generation or about.changed:
        say(
            talk,
            "this device has learned since: what it does now is known only where the host runs the"
            " stream again: tracekws bench stream --port PORT",
        )


def listen_live(
    device: Device, seconds: float | None, level: int, isolated: bool | None, as_json: bool
) -> None:
    """Show what a board hears through its own microphone, until Ctrl-C or for so many seconds."""
    typed = sys.stdin is not None and sys.stdin.isatty()
    known = (device.info(), device.words()) if typed else None
    if known:
        say(talk, "a mistake? type the word that it was, or - for no word, and Enter")
    count = overruns = missed = corrected = 0
    try:
        with closing(device.listen_live(sensitivity=level, isolated=isolated)) as live:
            for heard in live:
                for event in heard.events:
                    show_event(event, None, as_json)
                count += len(heard.events)
                missed += heard.missed
                if heard.overruns > overruns or heard.missed:
                    overruns = heard.overruns
                    say(talk, f"warning: samples were lost {overruns} times, and {missed} words")
                if known and (line := typed_line()):
                    corrected += correct_live(device, line, *known)
                if seconds and heard.seconds >= seconds:
                    break
    finally:
        if corrected:
            say(talk, f"corrections saved as generation {device.save()}")
    if not count and not as_json:
        say(talk, "no word was heard")


def typed_line() -> str:
    """A line that was typed, if there is one; nothing is waited for."""
    ready, _, _ = select.select([sys.stdin], [], [], 0)
    return sys.stdin.readline().strip() if ready else ""


def correct_live(device: Device, line: str, about: DeviceInfo, own: Iterable[str]) -> int:
    """Correct what was heard last, and say so. Give whether that was done."""
    word = None if line == "-" else line
    try:
        if word is not None:
            check_word(word, about, own)
        result = device.correct(word)
    except (DataError, DeviceError) as error:
        say(talk, f"not corrected: {error}")
        return 0
    say(talk, f"{standing(result)}; listening again in {result.pause_seconds:.1f} s")
    return 1


def show_event(event: Event, file: str | None, as_json: bool) -> None:
    """Print one event as it comes."""
    if as_json:
        print_line({"file": file, **asdict(event)})
        return
    with printing():
        say(out, f"{event.start:8.2f} .. {event.end:.2f} s  {event.word:12} {event.score:.2f}")
