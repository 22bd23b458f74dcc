#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Make .venv with the package installed editable. Usage: scripts/make_venv.sh [EXTRAS]
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "setup: $*" >&2
    exit 1
}

command -v python3 >/dev/null || fail "python3 is missing: sudo apt-get install python3 python3-venv python3-dev"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$(python3 --version) is too old: Python 3.11 or newer is needed as python3 on PATH"
python3 -c 'import ensurepip, venv' 2>/dev/null ||
    fail "python3 cannot make environments: sudo apt-get install python3-venv"
python3 -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null ||
    fail "Python.h is missing: sudo apt-get install python3-dev"
command -v "${CC:-cc}" >/dev/null || fail "no C compiler (${CC:-cc}): sudo apt-get install gcc libc6-dev"

# An environment of another Python, or one that was moved, is made anew.
wanted=$(python3 -c 'import sys; print(sys.version_info[:3])')
here=$(pwd -P)/.venv
found=$(.venv/bin/python -c 'import os, sys; print(sys.version_info[:3]); print(os.path.realpath(sys.prefix))' 2>/dev/null || true)
if [ "$found" != "$wanted
$here" ] || ! grep -q "$here" .venv/bin/pip 2>/dev/null; then
    rm -rf .venv
    python3 -m venv .venv || fail "python3 -m venv .venv failed"
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".${1:+[$1]}" ||
    fail "pip could not install the package: see the lines above"
