# SPDX-License-Identifier: Apache-2.0
"""The commands that talk to a device: each parses, calls one function, and shows the result."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracekws.audio import read_clip
from tracekws.boards import doctor as diagnosis
from tracekws.boards import flash as flashing
from tracekws.boards.emulator import board_of, built_firmware, emulated_board
from tracekws.boards.firmware import built_path, read_firmware
from tracekws.boards.parts import BOARDS, FLASHED
from tracekws.boards.virtual import VirtualBoard, virtual_board
from tracekws.console import (
    begin_json,
    end_json,
    json_text,
    out,
    picture_file,
    print_json,
    printing,
    stages,
    talk,
)
from tracekws.core import FeatureConfig, Model
from tracekws.device import adapt as adaptation
from tracekws.device import microphone
from tracekws.device.discover import find_port
from tracekws.device.driver import Device, DeviceInfo
from tracekws.device.takes import (
    OTHER,
    check_enough,
    chunks,
    hold_back,
    read_takes,
    weak_points,
)
from tracekws.errors import (
    DataError,
    ModelError,
    NoDeviceError,
    TraceKwsError,
    code,
    device_error,
)
from tracekws.files import check_folder
from tracekws.names import normalised
from tracekws.recognizer import Event
from tracekws.sensitivity import LEVELS, expected
from tracekws.shipped import MODEL

Port = Annotated[
    str | None,
    typer.Option(
        help="Serial port, pty or socket://HOST:PORT of the device; found by itself when one is"
        " plugged in.",
        envvar="TRACEKWS_PORT",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the device commands to a command line."""
    for command in (
        board,
        listen,
        adapt,
        record,
        save,
        undo,
        forget,
        load,
        info,
        check_microphone,
        flash,
        doctor,
    ):
        app.command("microphone" if command is check_microphone else None)(command)


# --- shared by the commands -----------------------------------------------------------------------


def say(console: Console, text: str) -> None:
    """Print a line without breaks in it."""
    console.print(text, soft_wrap=True)


def print_line(value: Any) -> None:
    """Print one JSON value on a line of its own, at once."""
    sys.stdout.write(json_text(value) + "\n")
    sys.stdout.flush()


def open_device(port: str | None) -> Device:
    """Open the device at a port, or the one that is found."""
    return Device.open(port or find_port())


def learned_weights(port: str, path: Path, model: Model) -> bytes:
    """The weights that the device at a port runs with, which must be those of this model."""
    with open_device(port) as device:
        about = device.info()
        if about.model_crc != model.crc:
            raise ModelError(
                f"{path}: the device runs another model, {about.model_name} with CRC"
                f" {about.model_crc:08x}; give that one"
            )
        return device.weights()


def columns_table(before: adaptation.Columns, after: adaptation.Columns) -> Table:
    """The columns before and after as a table."""
    table = Table("right", "clips", "before", "after", "change")
    for (name, old), (_, new) in zip(before.items(), after.items(), strict=True):
        table.add_row(
            adaptation.CAPTIONS[name],
            str(old.clips),
            f"{old.percent:.1f} %",
            f"{new.percent:.1f} %",
            f"{new.percent - old.percent:+.1f}",
        )
    return table


def state_folder() -> Path:
    """The user's folder for state, made when it is missing (XDG_STATE_HOME)."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "tracekws"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TraceKwsError(f"{folder}: {error.strerror}; name a file with --flash") from error
    return folder


def known_features(crc: int, model: Path) -> FeatureConfig | None:
    """The front end of the device's model, when the file is that model; else None."""
    if not model.exists():
        return None
    known = Model.load(model)
    return known.features if known.crc == crc else None


@contextmanager
def sound_of(recording: Path | None) -> Iterator[list[str]]:
    """Give the options of a microphone that hears a recording, a second of silence behind it."""
    if recording is None:
        yield []
        return
    with TemporaryDirectory(prefix="tracekws-") as folder:
        path = Path(folder) / "sound.raw"
        path.write_bytes(np.concatenate(list(chunks(read_clip(recording)))).astype("<i2").tobytes())
        yield ["--microphone", str(path)]


def warn_of_slots(about: DeviceInfo) -> None:
    """Say that saving will erase what another model has learned, or will be refused."""
    slots = set(about.slots)
    if slots == {"other-model"}:
        say(talk, "warning: both slots hold weights of another model; saving erases one of them")
    elif slots in ({"other-model", "valid"}, {"other-model", "newer-format"}):
        say(talk, "warning: a slot holds weights of another model; saving erases them")
    elif slots in ({"newer-format"}, {"newer-format", "valid"}):
        say(
            talk,
            "warning: a slot holds weights of a newer firmware, and no other is left to save in:"
            " update the firmware, or `tracekws forget`",
        )


# --- the commands ---------------------------------------------------------------------------------


def board(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[BOARD]",
            help=f"virtual, or an emulated board's name ({', '.join(BOARDS)});"
            " or a file: the model image of a virtual board, the firmware (.elf, .uf2) of an"
            " emulated one.",
        ),
    ] = "virtual",
    flash: Annotated[
        Path | None,
        typer.Option(help="File that is the board's flash; in the user's state folder by default."),
    ] = None,
    tcp: Annotated[
        int | None,
        typer.Option(
            help="Listen on this TCP port of 127.0.0.1, 0 for any free one; by default on a pty.",
            min=0,
            max=65535,
        ),
    ] = None,
    ram: Annotated[
        int | None,
        typer.Option(help="Bytes of memory of the board; 192 KiB by default.", min=1, max=1 << 26),
    ] = None,
    heard: Annotated[
        Path | None,
        typer.Option(
            "--microphone",
            help="Recording, 16 kHz mono, that the board's own microphone hears over and over.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start a virtual board (the device's own C in a process), or an emulated one, until Ctrl-C.

    An emulated board is a microcontroller in QEMU or rp2040py that runs what `make firmware`
    built for it. What a board learns stays in its flash file.

    Example: `tracekws board mps2-an386`
    """
    with running_board(what, flash, tcp, ram, heard) as (running, flash_file):
        if as_json:
            print_line({"port": running.port, "pid": running.pid, "flash": str(flash_file)})
        else:
            print(running.port, flush=True)
            say(talk, f"listen to it with: tracekws listen --port {running.port}")
            say(talk, f"its flash is {flash_file}; Ctrl-C ends it")
        running.wait()


@contextmanager
def running_board(
    what: str, flash: Path | None, tcp: int | None, ram: int | None, heard: Path | None
) -> Iterator[tuple[VirtualBoard, Path]]:
    """Run the board that the user named, by its name or by a file; the board and its flash."""
    if what in BOARDS or what.endswith((".elf", ".uf2")):
        for option, value in (("--microphone", heard), ("--ram", ram)):
            if value is not None:
                raise typer.BadParameter("only a virtual board has it", param_hint=option)
        firmware = built_firmware(what) if what in BOARDS else Path(what)
        flash = flash or state_folder() / f"{board_of(firmware)}.flash"
        with emulated_board(firmware, flash, tcp) as running:
            yield running, flash
    else:
        model = MODEL if what == "virtual" else Path(what)
        Model.load(model)
        flash = flash or state_folder() / "board.flash"
        with (
            sound_of(heard) as sound,
            virtual_board(model, flash, tcp, ram, sound) as running,
        ):
            yield running, flash


def listen(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Recordings, 16 kHz mono; streams of their own.")
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
    model: Annotated[
        Path, typer.Option(help="The device's model: its card says what to expect.")
    ] = MODEL,
    port: Port = None,
    as_json: Json = False,
) -> None:
    """Show the words that the device hears in recordings, or through a microphone.

    A second of silence follows each recording, so that a word at its end is heard. With --json
    each word is a line of its own: file, word, score, start and end in seconds. With --live no
    sound leaves the board. A sensitivity holds for this command, and nothing of it stays on the
    board; what to expect of it is said first.

    Example: `tracekws listen hello.wav`
    """
    files = files or []
    if bool(files) + mic + live != 1:
        raise typer.BadParameter("give recordings, or --mic, or --live")
    if seconds and not live:
        raise typer.BadParameter("--seconds is for --live")
    level = sensitivity or 0
    if live:
        with open_device(port) as device:
            if sensitivity is not None:
                say_expected(device.info(), model, level)
            listen_live(device, seconds, level, as_json)
        return
    streams: list[tuple[str | None, Iterable[NDArray[np.int16]]]]
    streams = [(str(file), chunks(read_clip(file))) for file in files]
    if mic:
        microphone.sounddevice()  # refuse before the device is touched
        streams = [(None, microphone.stream())]
    heard = 0
    with open_device(port) as device:
        if sensitivity is not None:
            say_expected(device.info(), model, level)
        for name, stream in streams:
            if name and not as_json and len(streams) > 1:
                say(talk, name)
            for event in device.listen(stream, level):
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


def listen_live(device: Device, seconds: float | None, level: int, as_json: bool) -> None:
    """Show what a board hears through its own microphone, until Ctrl-C or for so many seconds."""
    count = overruns = missed = 0
    with closing(device.listen_live(sensitivity=level)) as live:
        for heard in live:
            for event in heard.events:
                show_event(event, None, as_json)
            count += len(heard.events)
            missed += heard.missed
            if heard.overruns > overruns or heard.missed:
                overruns = heard.overruns
                say(talk, f"warning: samples were lost {overruns} times, and {missed} words")
            if seconds and heard.seconds >= seconds:
                break
    if not count and not as_json:
        say(talk, "no word was heard")


def show_event(event: Event, file: str | None, as_json: bool) -> None:
    """Print one event as it comes."""
    if as_json:
        print_line({"file": file, **asdict(event)})
    else:
        say(out, f"{event.start:8.2f} .. {event.end:.2f} s  {event.word:12} {event.score:.2f}")


def adapt(
    folder: Annotated[
        Path, typer.Argument(help="Takes: FOLDER/WORD/1.wav, other words in FOLDER/_other.")
    ],
    record: Annotated[
        bool, typer.Option("--record", help="First record the takes that the folder lacks.")
    ] = False,
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
    keep: Annotated[bool, typer.Option("--save/--no-save", help="Save what was learned.")] = True,
    passes: Annotated[
        int | None,
        typer.Option(help="Passes over the takes; the model's by default.", min=1, max=100),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of the order of takes and of rounding.", min=1, max=2**32 - 1)
    ] = 1,
    model: Annotated[
        Path, typer.Option(help="The device's model; saves time when it is this one.")
    ] = MODEL,
    port: Port = None,
    as_json: Json = False,
) -> None:
    """Teach the device its user's voice from a folder of takes, a folder a word.

    Takes of anything else, in the folder _other, are learned as unknown: five of them guard best
    against false alarms. A word needs two takes or more: its last one is held back and tested with,
    before and after. An error or Ctrl-C takes the device back to what was last saved.

    Example: `tracekws adapt my-takes --picture adapted.png`
    """
    with open_device(port) as device:
        about = device.info()
        if keep:
            warn_of_slots(about)
        labels, unknown = about.labels, about.unknown
        if record:
            record_guided(folder, about.keywords)
        takes = read_takes(folder, labels, unknown, about.silence)
        if not use_all:
            check_enough(folder, takes, unknown)
        learn, test = (takes, []) if use_all else hold_back(takes)
        strangers = read_takes(others, labels, unknown, about.silence) if others else []
        if picture and not test and not strangers:
            raise DataError(
                "nothing to draw, since no take is held back: leave out --picture, or give more"
                " takes or --others"
            )
        warnings = weak_points(learn, unknown)
        for warning in warnings:
            say(talk, f"warning: {warning}")
        if not use_all:
            talk.print(
                f"{len(learn)} takes are learned, {len(test)} held back to test with"
                " (--all learns them too)"
            )

        def show(result: adaptation.Adaptation) -> None:
            if picture:
                title = f"before and after {len(learn)} takes"
                adaptation.picture(picture, result.before, result.after, title)
            if as_json:
                about = result.as_json() | {"picture": str(picture) if picture else None}
                del about["generation"]
                begin_json(about)
                return
            with printing():
                if result.before.items():
                    out.print(columns_table(result.before, result.after))
                else:
                    say(out, f"{len(learn)} takes learned; nothing was held back to test with")
                if picture:
                    say(out, f"picture: {picture}")

        with stages() as stage:
            result = adaptation.adapt(
                device,
                learn,
                test,
                strangers,
                passes=passes,
                seed=seed,
                config=known_features(about.model_crc, model),
                save=keep,
                warnings=warnings,
                progress=stage.report,
                before_save=show,
            )
    if as_json:
        end_json("generation", result.generation)
    elif result.generation is None:
        say(talk, "not saved: `tracekws save` keeps it, a restart forgets it")
    else:
        say(talk, f"saved as generation {result.generation}; `tracekws undo` takes it back")


def prompt(folder: Path) -> Callable[[str], None]:
    """Make what asks for a take that goes to a folder, and waits for Enter."""
    seconds = microphone.RECORD_SECONDS

    def ask(text: str) -> None:
        talk.print(f"{text}: press Enter, then speak within {seconds:.0f} seconds ", end="")
        if not sys.stdin.readline():
            raise TraceKwsError(f"the recording ended; what was recorded is in {folder}")

    return ask


def record_guided(folder: Path, words: Sequence[str]) -> None:
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
    )
    say(talk, f"{made} takes recorded")


def record(
    word: Annotated[
        str, typer.Argument(help=f"Word of the model, or {OTHER} for any other words.")
    ],
    takes: Annotated[int, typer.Option(help="Takes to record.", min=1, max=1000)] = 3,
    folder: Annotated[
        Path, typer.Option("--out", help="Folder of takes, as `adapt` reads it.")
    ] = Path("takes"),
    port: Port = None,
    as_json: Json = False,
) -> None:
    """Record takes of a word through the board's own microphone, with prompts.

    They go beside those that the folder has: FOLDER/WORD/1.wav and so on, the loudest second of
    each. A take that is too quiet, too loud or has lost samples is asked for again.

    Example: `tracekws record yes --takes 3 --out my-takes`
    """
    with open_device(port) as device:
        known = device.info().keywords
        word = normalised(word)
        if word not in (*known, OTHER):
            raise DataError(
                f"the model has no word {word!r}; it knows {', '.join(known)} (for other words:"
                f" {OTHER})"
            )

        check_folder(folder)

        def recorder(seconds: float) -> NDArray[np.int16]:
            recording = device.record(seconds)
            if recording.overruns:
                raise device_error(code("OVERRUN"))
            return recording.pcm

        made = microphone.record_word(
            folder,
            word,
            takes,
            ask=prompt(folder),
            complain=lambda problem: say(talk, problem),
            recorder=recorder,
        )
    if as_json:
        print_json({"files": [str(path) for path in made]})
    else:
        for path in made:
            say(out, str(path))


def check_microphone(
    seconds: Annotated[float, typer.Option(help="Length of the test.", min=0.1, max=60)] = 1.0,
    port: Port = None,
    as_json: Json = False,
) -> None:
    """Test the board's own microphone: loudness, clipping, offset, lost samples.

    The board records, this machine computes. Speak meanwhile, as loud as you will to the device.

    Example: `tracekws microphone --seconds 2`
    """
    with open_device(port) as device:
        recording = device.record(seconds)
    found = microphone.level(recording.pcm, recording.overruns)
    if as_json:
        print_json(asdict(found))
    else:
        table = Table.grid(padding=(0, 2))
        for name, value in (
            ("loudness", f"{found.rms_dbfs:.1f} dBFS"),
            ("peak", f"{found.peak_dbfs:.1f} dBFS"),
            ("clipped", f"{100 * found.clipped:.2f} % of the samples"),
            ("offset", f"{100 * found.dc:.2f} % of full scale"),
            ("samples lost", f"{found.overruns} times"),
            ("verdict", found.verdict),
        ):
            table.add_row(name, Text(value, overflow="fold"))
        out.print(table)
    if not found.ok:
        raise typer.Exit(1)


def save(port: Port = None, as_json: Json = False) -> None:
    """Save the weights that the device runs with now.

    Example: `tracekws save`
    """
    with open_device(port) as device:
        warn_of_slots(device.info())
        generation = device.save()
    show_generation(generation, "saved as generation {}", as_json)


def undo(port: Port = None, as_json: Json = False) -> None:
    """Go back to the weights that were saved before the last ones: one step.

    Example: `tracekws undo`
    """
    with open_device(port) as device:
        generation = device.undo()
    show_generation(generation, "back at generation {}", as_json)


def show_generation(generation: int, text: str, as_json: bool) -> None:
    """Print the generation that the device is at."""
    if as_json:
        print_json({"generation": generation})
    else:
        out.print(text.format(generation) if generation else "back at the model as it came")


def forget(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    port: Port = None,
    as_json: Json = False,
) -> None:
    """Erase everything that was learned and go back to the model as it came.

    Example: `tracekws forget --yes`
    """
    with open_device(port) as device:
        if not yes and not typer.confirm("Erase everything that was learned?", err=True):
            raise typer.Exit(1)
        device.forget()
    show_generation(0, "", as_json)


def load(
    model: Annotated[Path, typer.Argument(help="Model image to load.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    port: Port = None,
    as_json: Json = False,
) -> None:
    """Load another model into the device's flash, and run it; what was learned is erased.

    A load that fails, or loses power, leaves the old model and what it learned. A firmware that
    comes with another model runs that one.

    Example: `tracekws load models/base.tkws`
    """
    checked = Model.load(model)
    with Device.open(port or find_port(), needs_model=False) as device:
        before = device.info() if device.has_model else None
        if before and 0 < before.image_bytes < len(checked.image):
            raise ModelError(
                f"{model}: the image has {len(checked.image)} bytes, the device has room for"
                f" {before.image_bytes}"
            )
        others = {"other-model", "newer-format"}
        learned = before and (before.generation or before.changed or others & {*before.slots})
        if learned and not yes and not typer.confirm("Erase everything learned?", err=True):
            raise typer.Exit(1)
        with stages() as stage:
            device.load(checked.image, stage("loading"))
        about = device.info()
    if as_json:
        print_json(asdict(about))
    else:
        words = " ".join(about.keywords)
        say(out, f"{about.model_name}, CRC {about.model_crc:08x}, runs now; it hears: {words}")


def info(port: Port = None, as_json: Json = False) -> None:
    """Show what the device is, runs and has learned.

    Example: `tracekws info --json`
    """
    with open_device(port) as device:
        about = device.info()
    if as_json:
        print_json(asdict(about))
    else:
        out.print(info_table(about))


def _brown_out(level_mv: int | None) -> str:
    if level_mv is None:
        return "not known"
    return f"{level_mv} mV" if level_mv else "none"


def info_table(about: DeviceInfo) -> Table:
    """What a device says of itself, as a table."""
    table = Table.grid(padding=(0, 2))
    source = "loaded" if about.loaded else "the factory's"
    for name, value in (
        ("firmware", about.firmware),
        ("board", about.board),
        ("protocol", about.protocol),
        ("model", f"{about.model_name}, CRC {about.model_crc:08x}, {source}"),
        ("words", " ".join(about.keywords)),
        ("generation", about.generation or "0, nothing learned"),
        ("unsaved changes", "yes" if about.changed else "no"),
        ("slots", ", ".join(about.slots)),
        ("erases", ", ".join(map(str, about.wear))),
        ("passes", about.passes),
        ("trainable", f"{about.trainable_bytes} bytes"),
        ("memory", f"{about.ram_bytes} bytes"),
        ("room for a model", f"{about.image_bytes} bytes" if about.image_bytes else "none"),
        ("started by", about.reset_reason),
        ("watchdog", f"{about.watchdog_ms} ms" if about.watchdog_ms else "none"),
        ("brown-out", _brown_out(about.brown_out_mv)),
    ):
        table.add_row(name, Text(str(value), overflow="fold"))
    return table


def flash(
    board: Annotated[str, typer.Argument(help=f"{' or '.join(FLASHED)}.", metavar="BOARD")],
    firmware: Annotated[
        Path | None,
        typer.Option(help="Raw binary, or UF2 file; by default what `make firmware` built."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Model image to put in place of the firmware's own.")
    ] = None,
    probe: Annotated[
        str | None,
        typer.Option(help="Serial number of the probe or boot loader, or path of the drive."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the steps and do none of them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a firmware to a board and check what was written.

    An STM32F405 is flashed by an ST-Link (openocd) or its DFU boot loader (dfu-util), an RP2040 by
    the drive that BOOTSEL shows or a CMSIS-DAP probe (pyocd). What was learned stays on the board.

    Example: `tracekws flash stm32f405 --dry-run`
    """
    flashing.known_board(board)
    chosen = read_firmware(firmware or built_path(f"{board}.bin"), board)
    chosen = chosen.with_model(model) if model else chosen
    try:
        through = flashing.choose(board, probe)
    except NoDeviceError as error:
        if not dry_run or probe:
            raise
        through = flashing.usual(board)
        say(talk, f"nothing is done; to do it: {error}")
    with stages() as stage:
        steps = flashing.flash(chosen, through, dry_run, stage.report)
    about = {
        "board": board,
        "firmware": {"file": str(chosen.path), "version": chosen.version},
        "model": chosen.model.identity,
        "bytes": len(chosen.data),
        "through": {"tool": through.way, "probe": through.id or None},
        "steps": [asdict(step) for step in steps],
        "written": not dry_run,
    }
    if as_json:
        print_json(about)
        return
    if dry_run:
        for step in steps:
            say(out, f"# {step.text}\n{step.command}")
    what = f"firmware {chosen.version} with the model {chosen.model.name}, {len(chosen.data)} bytes"
    say(talk, f"{'not written' if dry_run else 'written and checked'}: {what} ({through.text})")
    say(
        talk,
        "what was learned stays in its slots; it is used only with the model that it was learned"
        f" with (this one has the CRC {chosen.model.crc:08x})",
    )


def doctor(
    model: Annotated[Path, typer.Option(help="Model image to check.")] = MODEL,
    as_json: Json = False,
) -> None:
    """Check what this machine has for TraceKWS, and say how to get what is missing.

    Example: `tracekws doctor`
    """
    found = diagnosis.checks(model)
    if as_json:
        print_json([asdict(check) for check in found])
    else:
        for check in found:
            mark = "ok" if check.ok else ("MISSING" if check.required else "absent")
            say(out, f"{mark:8} {check.name}: {check.found}")
            if not check.ok:
                say(out, f"{'':8} {check.advice}")
    if any(check.required and not check.ok for check in found):
        raise typer.Exit(1)
