# SPDX-License-Identifier: Apache-2.0
"""Print what a firmware of the Raspberry Pi Pico sends over its serial line, in rp2040py.

Usage: python print_pico.py FIRMWARE. The firmware is one that never waits for a host, so that the
application's start-up, which ends in that, is not waited for. A reset by the watchdog is an error.
"""

import sys
import tempfile
from pathlib import Path

from tracekws.boards.rp2040 import Emulator, FlashFile, read_firmware


def main() -> None:
    """Run until the process is ended."""
    with tempfile.TemporaryDirectory() as folder:
        flash = FlashFile(Path(folder) / "flash")
        board = Emulator(read_firmware(Path(sys.argv[1])), flash)
        while board.n_resets == 0:
            board.run()
            if board.sent:
                print(board.sent.decode("ascii"), end="", flush=True)
                board.sent.clear()
        sys.exit("the watchdog has reset the board")


if __name__ == "__main__":
    main()
