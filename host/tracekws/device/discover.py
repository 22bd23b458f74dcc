# SPDX-License-Identifier: Apache-2.0
"""Which line has a device: a serial port, or a board without hardware that runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from serial.tools import list_ports

from tracekws.device.announce import running_boards
from tracekws.device.driver import Driver
from tracekws.device.link import Clock
from tracekws.device.transport import END_IT, LET_GO, ask_for
from tracekws.errors import BusyError, DeviceError, NoDeviceError, TraceKwsError, VersionError

HELLO_SECONDS = 1.0
ASK_SECONDS = 0.5
"""How often a board is asked for its pty. It looks more often whether it is."""
Opened = TypeVar("Opened")


class NothingFound(NoDeviceError):
    """Neither a device is plugged in, nor does a board without hardware run."""


def candidates() -> list[str]:
    """Give the serial ports that have something plugged in, in order."""
    return sorted(port.device for port in list_ports.comports() if port.hwid != "n/a")


def answers(port: str, timeout: float = HELLO_SECONDS) -> bool:
    """Tell whether a device answers on a port, even one that refuses; `timeout` in seconds.

    Raises BusyError when another program has the port.
    """
    try:
        Driver.open(port, timeout).close()
    except (DeviceError, VersionError):
        return True
    except BusyError:
        raise
    except TraceKwsError:
        return False
    return True


def find_port(timeout: float = HELLO_SECONDS) -> str:
    """Find the one port with a device: plugged in, or without hardware and running.

    Raises NothingFound for none, NoDeviceError for several, BusyError for one that cannot be asked.
    """
    asked = candidates()
    found: dict[str, str] = {}
    busy: list[BusyError] = []
    for port in asked:
        try:
            if answers(port, timeout):
                found[port] = port
        except BusyError as error:
            busy.append(error)
    found |= {board.port: f"{board.name} at {board.port}" for board in running_boards()}
    if len(found) > 1:
        raise NoDeviceError(f"several devices ({', '.join(found.values())}): name one with --port")
    if found:
        return next(iter(found))
    if busy:
        raise busy[0]
    where = f"no TraceKWS device answers on {', '.join(asked)}" if asked else "no serial port"
    raise NothingFound(
        f"{where}, and no board runs: plug one in, or start a virtual one with `tracekws board`"
    )


def open_when_free(
    port: str, opening: Callable[[str], Opened], timeout: float, clock: Clock | None = None
) -> Opened:
    """Open the line of a board; ask one that runs, and is on a pty, to let a silent host go.

    Args:
        port: of the board.
        opening: opens a port; raises BusyError where another program has it.
        timeout: seconds of the clock, for which it is asked.
        clock: this machine's by default.

    Returns:
        What `opening` gives, of the port that the board has by then. Raises what it raises.
    """
    clock = clock or Clock()
    give_up = clock.now() + timeout
    name = ""
    while True:
        try:
            return opening(port)
        except BusyError as error:
            name = name or _name_at(port)
            if not name or port.startswith("socket://"):
                raise
            if clock.now() >= give_up:
                raise BusyError(f"{str(error).removesuffix(END_IT)}; {LET_GO}") from error
        ask_for(port)
        clock.sleep(ASK_SECONDS)
        port = port_of(name)


def _name_at(port: str) -> str:
    """Of the running board that has this port; empty where there is none."""
    return next((board.name for board in running_boards() if board.port == port), "")


def port_of(name: str) -> str:
    """The port of a running board by its name; what is no such name is a port itself."""
    if "/" in name:
        return name
    return next((board.port for board in running_boards() if board.name == name), name)
