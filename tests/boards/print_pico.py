# SPDX-License-Identifier: Apache-2.0
"""Print what a firmware of the Raspberry Pi Pico sends over its serial line, in rp2040py.

Usage: python print_pico.py FIRMWARE
"""

import sys
import tempfile
from pathlib import Path

from pico import Pico


def main() -> None:
    """Run until the process is ended."""
    with tempfile.TemporaryDirectory() as folder:
        board = Pico(Path(sys.argv[1]), Path(folder) / "flash")
        while True:
            print(board.run_until(bool).decode("ascii"), end="", flush=True)


if __name__ == "__main__":
    main()
