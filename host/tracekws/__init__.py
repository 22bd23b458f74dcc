# SPDX-License-Identifier: Apache-2.0
"""Keyword spotting that learns its user's voice on the microcontroller.

What `__all__` names is promised; docs/python.md shows how it is used. All else may change.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracekws.audio import read_clip
    from tracekws.core import Model, OwnWord
    from tracekws.device.device import Device
    from tracekws.errors import (
        BusyError,
        DataError,
        DeviceError,
        MissingTool,
        ModelError,
        NoDeviceError,
        ProtocolError,
        StorageError,
        TraceKwsError,
        VersionError,
    )
    from tracekws.learner import Learner
    from tracekws.profile import Profile
    from tracekws.recognizer import Event, Recognizer

    __version__: str

_MODULES = {
    "Model": "tracekws.core",
    "OwnWord": "tracekws.core",
    "Recognizer": "tracekws.recognizer",
    "Event": "tracekws.recognizer",
    "Learner": "tracekws.learner",
    "Profile": "tracekws.profile",
    "Device": "tracekws.device.device",
    "read_clip": "tracekws.audio",
}
"""Where the promised names are; the others are errors. They are looked up when they are used."""

__all__ = [
    "BusyError",
    "DataError",
    "Device",
    "DeviceError",
    "Event",
    "Learner",
    "MissingTool",
    "Model",
    "ModelError",
    "NoDeviceError",
    "OwnWord",
    "Profile",
    "ProtocolError",
    "Recognizer",
    "StorageError",
    "TraceKwsError",
    "VersionError",
    "__version__",
    "read_clip",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'tracekws' has no attribute '{name}'")
    if name == "__version__":
        return import_module("importlib.metadata").version("tracekws")
    return getattr(import_module(_MODULES.get(name, "tracekws.errors")), name)


def __dir__() -> list[str]:
    return __all__
