# SPDX-License-Identifier: Apache-2.0
"""Boards: run one without hardware, flash one, see what this machine lacks."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tracekws.boards import doctor as diagnosis
from tracekws.boards import flash as flashing
from tracekws.boards.firmware import built_path, read_firmware
from tracekws.boards.parts import BOARDS, FLASHED
from tracekws.boards.running import is_emulated, running_board
from tracekws.cli.console import (
    out,
    print_json,
    print_line,
    say,
    stages,
    talk,
)
from tracekws.cli.options import Json, model_option
from tracekws.device.announce import RunningBoard
from tracekws.errors import NoDeviceError, TraceKwsError
from tracekws.shipped import MODEL


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
            help="Recording that the board's own microphone hears over and over.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start a virtual board (the device's own C in a process), or an emulated one, until Ctrl-C.

    An emulated board is a microcontroller in QEMU or rp2040py that runs what `make firmware`
    built for it. What a board learns stays in its flash file.

    Example: `tracekws board mps2-an386`
    """
    for option, value in (("--microphone", heard), ("--ram", ram)):
        if value is not None and is_emulated(what):
            raise typer.BadParameter("only a virtual board has it", param_hint=option)

    def moved(known: RunningBoard) -> None:
        say(talk, "another program has the line: the one before was silent, and was let go")
        show(known)

    def show(known: RunningBoard) -> None:
        if as_json:
            print_line({**asdict(known), "pid": running.pid})
        else:
            print(known.port, flush=True)

    with running_board(what, flash, tcp, ram, heard, moved) as (running, known):
        show(known)
        if not as_json:
            say(talk, f"listen to it with: tracekws listen TAKE.wav (its name is {known.name})")
            say(talk, f"its flash is {known.flash}; Ctrl-C ends it")
        status = running.wait()
    if status != 0:
        raise TraceKwsError(f"the board has ended by itself: exit status {status}")


def flash(
    board: Annotated[str, typer.Argument(help=f"{' or '.join(FLASHED)}.", metavar="BOARD")],
    firmware: Annotated[
        Path | None,
        typer.Option(help="Raw binary, or UF2 file; by default what `make firmware` built."),
    ] = None,
    model: Annotated[
        Path | None, model_option("Model image to put in place of the firmware's own.")
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
        say(talk, f"nothing is done; without --dry-run: {error}")
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
    model: Annotated[Path, model_option("Model image to check.")] = MODEL,
    as_json: Json = False,
) -> None:
    """Check what this machine has for TraceKWS, and say how to get what is missing.

    Example: `tracekws doctor`
    """
    found = diagnosis.checks(model)
    if as_json:
        print_json({"checks": [asdict(check) for check in found]})
    else:
        for check in found:
            mark = "ok" if check.ok else ("MISSING" if check.required else "absent")
            say(out, f"{mark:8} {check.name}: {check.found}")
            if not check.ok:
                say(out, f"{'':8} {check.advice}")
    if any(check.required and not check.ok for check in found):
        raise typer.Exit(1)
