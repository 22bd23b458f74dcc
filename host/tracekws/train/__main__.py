# SPDX-License-Identifier: Apache-2.0
"""The command `tracekws train`, for torchrun --nproc-per-node N -m tracekws.train."""

import sys

from tracekws.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    main()
