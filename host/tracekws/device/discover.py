# SPDX-License-Identifier: Apache-2.0
"""Which serial port has a device."""

from __future__ import annotations

from serial.tools import list_ports

from tracekws.device.driver import Driver
from tracekws.errors import DeviceError, NoDeviceError, TraceKwsError, VersionError

HELLO_SECONDS = 1.0


def candidates() -> list[str]:
    """Give the serial ports that have something plugged in, in order."""
    return sorted(port.device for port in list_ports.comports() if port.hwid != "n/a")


def answers(port: str, timeout: float = HELLO_SECONDS) -> bool:
    """Tell whether a device answers on a port, even one that refuses; `timeout` in seconds."""
    try:
        Driver.open(port, timeout).close()
    except (DeviceError, VersionError):
        return True
    except TraceKwsError:
        return False
    return True


def find_port(timeout: float = HELLO_SECONDS) -> str:
    """Find the one port with a device. Raises NoDeviceError for none and for several."""
    asked = candidates()
    found = [port for port in asked if answers(port, timeout)]
    if len(found) > 1:
        raise NoDeviceError(f"several devices ({', '.join(found)}): name one with --port")
    if found:
        return found[0]
    where = f"no TraceKWS device answers on {', '.join(asked)}" if asked else "no serial port"
    raise NoDeviceError(
        f"{where}; plug a board in, or start a virtual one with `tracekws board` and name its port"
        " with --port"
    )
