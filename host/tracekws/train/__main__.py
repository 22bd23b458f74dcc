# SPDX-License-Identifier: Apache-2.0
"""The command `tracekws train`, for torchrun --nproc-per-node N -m tracekws.train -- OPTIONS.

The two dashes are for torchrun, which else takes --run for an option of its own.
"""

import sys

from tracekws.cli import main

if __name__ == "__main__":
    sys.argv[1:] = ["train", *sys.argv[1 + (sys.argv[1:2] == ["--"]) :]]
    main()
