# SPDX-License-Identifier: Apache-2.0
"""Programs that are no modules of the package, to be tested as if they were."""

import importlib.util
import sys
from types import ModuleType

from toolchain import ROOT


def load_program(path: str) -> ModuleType:
    """A program by its path in the project, loaded but not run."""
    file = ROOT / path
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module  # where dataclasses and pickle look for it
    spec.loader.exec_module(module)
    return module
