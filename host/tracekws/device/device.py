# SPDX-License-Identifier: Apache-2.0
"""A device as programs use it: found, listened to, adapted to a voice, and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from tracekws.device import adapt, driver
from tracekws.device.adapt import Adaptation, Progress
from tracekws.device.discover import find_port
from tracekws.device.takes import check_enough, hold_back, read_takes, weak_points


class Device(driver.Device):
    """A board that is plugged in, or a virtual or an emulated one, on a line of its own.

    Device.find() and Device.open() make one; in a `with` it is closed at the end. What the device
    refuses is a DeviceError, what a line or a stranger on it does a ProtocolError. An object
    belongs to one thread at a time.

    Example:
        >>> with Device.find() as device:
        ...     for event in device.listen([pcm]):
        ...         print(event.word, event.start, event.end)
        ...     device.adapt("my_takes")
    """

    @classmethod
    def find(cls, timeout: float = 5.0) -> Self:
        """Open the one device that is plugged in.

        Args:
            timeout: seconds, as for open().

        Raises:
            NoDeviceError: there is none, or there are several.
        """
        return cls.open(find_port(), timeout)

    def adapt(
        self,
        folder: Path | str,
        *,
        hold_out: bool = True,
        passes: int | None = None,
        seed: int = 1,
        save: bool = True,
        progress: Progress = lambda what, done, total: None,
    ) -> Adaptation:
        """Teach the device its user's voice, and save what it learned, as `tracekws adapt` does.

        Args:
            folder: takes, FOLDER/WORD/1.wav and so on; those of other words in FOLDER/_other.
            hold_out: whether the last take of each word is only tested with.
            passes: over the takes; the model's by default.
            seed: of the order of takes and of rounding, 1 to 2^32 - 1.
            save: whether the weights are kept; a device that is restarted forgets them otherwise.
            progress: told what is being done, how many takes of it are done, and of how many.

        Returns:
            What was learned, and how takes that were held out are heard before and after.

        Raises:
            DataError: takes are missing or not usable; nothing is learned then. Whatever fails
                later leaves the device at its last saved weights.
        """
        folder = Path(folder)
        about = self.info()
        takes = read_takes(folder, about.labels, about.unknown, about.silence)
        if hold_out:
            check_enough(folder, takes, about.unknown)
        learn, test = hold_back(takes) if hold_out else (takes, [])
        return adapt.adapt(
            self,
            learn,
            test,
            passes=passes,
            seed=seed,
            save=save,
            warnings=weak_points(learn, about.unknown),
            progress=progress,
        )
