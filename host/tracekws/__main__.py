# SPDX-License-Identifier: Apache-2.0
"""The command as a module: python -m tracekws, or torchrun --nproc-per-node N -m tracekws -- train.

The two dashes are for torchrun, which else takes --run for an option of its own.
"""

import sys

from tracekws.cli import main

if __name__ == "__main__":
    del sys.argv[1 : 1 + (sys.argv[1:2] == ["--"])]
    main()
