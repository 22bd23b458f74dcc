# SPDX-License-Identifier: Apache-2.0
"""The C extension and the version, which setuptools cannot take from pyproject.toml."""

import re
from pathlib import Path

from setuptools import setup

header = Path(__file__).parent / "firmware/core/include/tracekws/version.h"
version = ".".join(re.findall(r"define TKWS_VERSION_\w+ (\d+)", header.read_text()))

setup(version=version, cffi_modules=["host/core_build.py:ffi"])
