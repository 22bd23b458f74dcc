# SPDX-License-Identifier: Apache-2.0
"""Flashing a board: which is attached, the steps, and the check of what was written.

The tools are programs of their own (openocd, dfu-util, pyocd); a Pico in BOOTSEL mode is a drive. A
dry run goes through the same steps and only notes them. Finding what is attached needs Linux (/sys,
/proc).
"""

from __future__ import annotations

import os
import re
import selectors
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracekws import files
from tracekws.boards import uf2
from tracekws.boards.firmware import Firmware
from tracekws.boards.parts import FLASHED, Way
from tracekws.errors import NoDeviceError, TraceKwsError
from tracekws.shipped import pip_command

USB = Path("/sys/bus/usb/devices")
MOUNTS = Path("/proc/self/mounts")
TOOL_SECONDS = 300.0
REBOOT_SECONDS = 10.0
LOOK_SECONDS = 0.1

TOOLS = ("openocd", "dfu-util", "pyocd")

Progress = Callable[[str, int, int], None]
"""What is being done, how much of it, and of how much."""


@dataclass(frozen=True)
class Attached:
    """Something that a board can be flashed through."""

    way: str
    """Name of the tool, or `uf2`."""
    id: str
    """What --probe takes: a serial number, or the path of a drive."""
    text: str
    alone: bool = True
    """No other of its kind is attached: the tool need not be told which."""


@dataclass(frozen=True)
class Step:
    """One step: what it is for, and the command line, or what is done instead of one."""

    text: str
    command: str


# --- what is attached -----------------------------------------------------------------------------


def attached(board: str) -> list[Attached]:
    """List what a board of FLASHED can be flashed through, ready ones first."""
    ways = FLASHED[board].ways
    drives = {way.part: way for way in ways if way.tool == "uf2"}
    found = [
        Attached("uf2", str(drive), f"{drives[name].text} {drive}")
        for drive, name in _uf2_drives()
        if name in drives
    ]
    found += _usb(ways)
    tools = [item.way for item in found]
    return [
        Attached(item.way, item.id, item.text, tools.count(item.way) == 1)
        for item in sorted(found, key=lambda item: item.way == "openocd")
    ]


def _usb(ways: Sequence[Way]) -> list[Attached]:
    found = []
    for folder in sorted(USB.glob("*")):
        vendor, product, serial, name = (
            _text(folder / key) for key in ("idVendor", "idProduct", "serial", "product")
        )
        for way in ways:
            is_named = bool(way.product) and way.product in name
            if is_named or (vendor, product) in way.usb:
                text = name if way.product and name else way.text
                found.append(Attached(way.tool, serial, f"{text} {serial}"))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _uf2_drives() -> Iterator[tuple[Path, str]]:
    """Mounted drives of UF2 boot loaders, and their boards."""
    for line in _text(MOUNTS).splitlines():
        escaped = line.split()[1:2]
        if not escaped:
            continue
        drive = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m.group(1), 8)), escaped[0]))
        board = re.search(r"^Board-ID:\s*(\S+)", _text(drive / "INFO_UF2.TXT"), re.MULTILINE)
        if board:
            yield drive, board.group(1)


def choose(board: str, probe: str | None) -> Attached:
    """Pick what to flash through; `probe` is an id. Raises NoDeviceError for none, or several."""
    found = attached(board)
    names = ", ".join(f"{item.id} ({item.text})" for item in found)
    if probe is not None:
        wanted = [item for item in found if item.id == probe]
        if not wanted:
            raise NoDeviceError(f"no probe {probe}; there is {names or 'none'}")
        return wanted[0]
    if len(found) > 1:
        raise NoDeviceError(f"several to flash through: {names}: name one with --probe")
    if not found:
        others = [f"{drive} is a drive of {name}" for drive, name in _uf2_drives()]
        has_drive = any(way.tool == "uf2" for way in FLASHED[board].ways)
        also = f" ({', '.join(others)})" if has_drive and others else ""
        raise NoDeviceError(FLASHED[board].nothing + also)
    return found[0]


def usual(board: str) -> Attached:
    """What a dry run takes where nothing is attached."""
    way = FLASHED[board].ways[0]
    if way.tool == "uf2":
        return Attached(way.tool, way.part, f"{way.text} {way.part}")
    return Attached(way.tool, "", way.text)


def _way(firmware: Firmware, through: Attached) -> Way:
    """The row of what a firmware is flashed through."""
    return next(way for way in FLASHED[firmware.board].ways if way.tool == through.way)


# --- steps ----------------------------------------------------------------------------------------


class Work:
    """Does one step after the other; a dry one only notes them in `steps`."""

    def __init__(self, dry: bool, progress: Progress, scratch: Path) -> None:
        """Files that are read back go to the folder `scratch`."""
        self.dry = dry
        self.progress = progress
        self.scratch = scratch
        self.steps: list[Step] = []

    def do(self, text: str, how: str, action: Callable[[], None]) -> None:
        """A step that this program does itself."""
        self.steps.append(Step(text, how))
        if not self.dry:
            self.progress(text, 0, 1)
            action()

    def run(
        self, text: str, command: list[str], check: Callable[[str], None] | None = None
    ) -> None:
        """Run a tool; `check` gets what it printed. Raises TraceKwsError when it fails."""
        self.steps.append(Step(text, shlex.join(command)))
        if not self.dry:
            printed = _run(command, lambda done, total: self.progress(text, done, total))
            if check is not None:
                check(printed)


def flash(firmware: Firmware, through: Attached, dry: bool, progress: Progress) -> list[Step]:
    """Write a firmware to a board and check it; give the steps. A dry run only gives them.

    Nothing outside of the firmware's own sectors is touched. Raises TraceKwsError, which says what
    failed.
    """
    if not dry and through.way != "uf2":
        _find(through.way)
    ways = {"openocd": _openocd, "dfu-util": _dfu_util, "pyocd": _pyocd, "uf2": _uf2}
    with tempfile.TemporaryDirectory(prefix="tracekws-") as scratch:
        work = Work(dry, progress, Path() if dry else Path(scratch))
        ways[through.way](work, firmware, through)
    return work.steps


def _raw_file(work: Work, firmware: Firmware) -> Path:
    """A file with the bytes to flash."""
    if firmware.is_raw:
        return firmware.path
    path = firmware.path.with_suffix(".bin")

    def write() -> None:
        files.write(path, firmware.data)

    work.do("write the firmware with its model", f"write {path}", write)
    return path


def _openocd(work: Work, firmware: Firmware, through: Attached) -> None:
    which = [] if through.alone else ["-c", f"adapter serial {through.id}"]
    way = _way(firmware, through)
    tool = ["openocd", "-f", "interface/stlink.cfg", *which, "-f", way.part]
    file = _raw_file(work, firmware)
    start = f"{firmware.place.start:#010x}"

    def is_the_part(printed: str) -> None:
        found = re.search(r"device id = (0x[0-9a-fA-F]+)", printed)
        if found is None:
            raise TraceKwsError("openocd does not tell which chip is connected")
        if int(found.group(1), 16) & 0xFFF != way.chip:
            what = firmware.board.upper()
            raise TraceKwsError(f"the chip is no {what} (its device id is {found.group(1)})")

    def is_verified(printed: str) -> None:
        if "Verified OK" not in printed:
            raise TraceKwsError("openocd did not verify what it wrote")

    look = "init; reset halt; flash probe 0; shutdown"
    work.run("look at the chip", [*tool, "-c", look], is_the_part)
    write = f"program {{{file}}} {start} verify reset exit"
    work.run("write, verify, start", [*tool, "-c", write], is_verified)


def _dfu_util(work: Work, firmware: Firmware, through: Attached) -> None:
    which = [] if through.alone else ["-S", through.id]
    tool = ["dfu-util", "-d", _way(firmware, through).part, *which, "-a", "0", "-s"]
    file = _raw_file(work, firmware)
    back = work.scratch / "readback.bin"
    start = f"{firmware.place.start:#010x}"
    work.run("write", [*tool, start, "-D", str(file)])
    work.run("read back", [*tool, f"{start}:{len(firmware.data)}", "-U", str(back)])
    _compare(work, firmware, back)
    work.run("start it (or press reset)", [*tool, f"{start}:leave"])


def _pyocd(work: Work, firmware: Firmware, through: Attached) -> None:
    part = _way(firmware, through).part
    common = ["-W", "-t", part, *(["-u", through.id] if not through.alone else [])]
    file = _raw_file(work, firmware)
    back = work.scratch / "readback.bin"
    start = f"{firmware.place.start:#010x}"
    where = ["-e", "sector", "--no-reset", "--format", "bin", "-a", start]
    work.run("write", ["pyocd", "flash", *common, *where, str(file)])
    save = f"savemem {start} {len(firmware.data)} {back}"
    work.run("read back", ["pyocd", "cmd", *common, "-c", save])
    _compare(work, firmware, back)
    work.run("start", ["pyocd", "reset", *common])


def _compare(work: Work, firmware: Firmware, back: Path) -> None:
    def compare() -> None:
        try:
            found = back.read_bytes()
        except OSError as error:
            raise TraceKwsError(f"nothing was read back ({error.strerror})") from error
        if found != firmware.data:
            raise TraceKwsError("what was read back differs from what was written")

    work.do("compare", f"compare {back} with the firmware", compare)


def _uf2(work: Work, firmware: Firmware, through: Attached) -> None:
    drive = Path(through.id)
    content = uf2.encode(firmware.data)
    text = "copy to the drive"

    def copy() -> None:
        chunk = 64 * uf2.BLOCK_BYTES
        written = 0
        try:
            with (drive / "tracekws.uf2").open("wb", buffering=0) as file:
                for at in range(0, len(content), chunk):
                    written += file.write(content[at : at + chunk])
                    work.progress(text, written, len(content))
                os.fsync(file.fileno())
        except OSError as error:
            # the board restarts with the last block, before the drive can answer
            if written < len(content):
                raise TraceKwsError(f"{drive}: {error.strerror}") from error

    def wait() -> None:
        for _ in range(round(REBOOT_SECONDS / LOOK_SECONDS)):
            if not (drive / "INFO_UF2.TXT").exists():
                return
            time.sleep(LOOK_SECONDS)
        raise TraceKwsError(
            f"{drive} is still there: the boot loader has not taken the firmware; connect the board"
            " again with BOOTSEL held, and repeat"
        )

    work.do(text, f"write {drive / 'tracekws.uf2'}, {len(content)} bytes", copy)
    work.do("see the board restart with it", f"wait until {drive} is gone", wait)


# --- tools ----------------------------------------------------------------------------------------


def how_to_get(name: str) -> str:
    """What a user types to get one of TOOLS."""
    return pip_command(name) if name == "pyocd" else f"sudo apt install {name}"


def find_tool(name: str) -> str | None:
    """Where a tool is: on the PATH, or beside this Python."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


def _find(name: str) -> str:
    path = find_tool(name)
    if path is None:
        raise TraceKwsError(f"{name} is not installed; get it with: {how_to_get(name)}")
    return path


def _run(command: list[str], progress: Callable[[int, int], None]) -> str:
    """Run a tool to its end, watching the percents that it prints; give all that it printed."""
    printed = bytearray()
    give_up = time.monotonic() + TOOL_SECONDS
    with subprocess.Popen(
        [_find(command[0]), *command[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                while selector.select(max(0.0, give_up - time.monotonic())):
                    piece = os.read(process.stdout.fileno(), 65536)
                    if not piece:
                        break
                    printed += piece
                    if percents := re.findall(rb"(\d+)%", printed[-200:]):
                        progress(int(percents[-1]), 100)
                else:
                    raise TraceKwsError(f"{command[0]} did not end in {TOOL_SECONDS:.0f} s")
        except BaseException:
            process.kill()
            raise
    text = printed.decode(errors="replace")
    if process.returncode != 0:
        raise TraceKwsError(f"{command[0]} failed: {_reason(text, process.returncode)}")
    return text


def _reason(printed: str, status: int) -> str:
    """The line that says why a tool failed."""
    if "LIBUSB_ERROR_ACCESS" in printed:
        return "no permission for the USB device; add a udev rule for it, or run as root"
    lines = [line.strip() for line in re.split(r"[\r\n]+", printed) if line.strip()]
    errors = [line for line in lines if re.search(r"error|fail|cannot|unable", line, re.IGNORECASE)]
    return (errors or lines or [f"exit status {status}"])[-1]


def known_board(name: str) -> str:
    """The name, when it is of a board that is flashed. Raises TraceKwsError."""
    if name not in FLASHED:
        raise TraceKwsError(f"no board {name} to flash; there are {', '.join(FLASHED)}")
    return name
