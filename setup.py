# SPDX-License-Identifier: Apache-2.0
"""What pyproject.toml has no words for: version, C extension, the virtual board's program."""

import re
import subprocess
from pathlib import Path

from setuptools import Command, setup
from setuptools.command.build import build
from setuptools.errors import ExecError


class BuildBoard(Command):
    """The virtual board's program, as the Makefile builds it, into the package."""

    user_options = ()

    def initialize_options(self):
        self.build_lib = None
        self.editable_mode = False

    def finalize_options(self):
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def run(self):
        if self.editable_mode:
            return  # there the package has a link to what `make board` makes
        try:
            subprocess.run(["make", "-s", "board"], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ExecError(f"the virtual board needs make and a C compiler: {error}") from error
        package = Path(self.build_lib, "tracekws")
        self.mkpath(str(package))
        self.copy_file("build/tracekws-board", str(package))


class Build(build):
    sub_commands = (*build.sub_commands, ("build_board", None))


header = Path(__file__).parent / "firmware/core/include/tracekws/version.h"
version = ".".join(re.findall(r"define TKWS_VERSION_\w+ (\d+)", header.read_text()))

setup(
    version=version,
    cffi_modules=["host/core_build.py:ffi"],
    cmdclass={"build": Build, "build_board": BuildBoard},
    # the extension's own limited API, in the wheel's name, too
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
