# SPDX-License-Identifier: Apache-2.0
"""Build of tracekws._core, the C core through cffi; its declarations come from the public headers.

Set TRACEKWS_SANITIZE=1 to build with the address and undefined-behaviour sanitizers.
"""

import os
import re
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "firmware" / "core"
HEADERS = (
    "errors",
    "version",
    "rng",
    "crc32",
    "frontend",
    "model",
    "network",
    "learner",
    "softmax",
    "detector",
    "recognizer",
)

# Only the host needs texts for errors: a device sends numbers.
ERROR_TABLE = """
typedef struct { int number; const char *name; const char *text; } tkws_error_entry;
static const tkws_error_entry tkws_error_table[] = {
#define TKWS_ERROR(number, name, text) {number, #name, text},
#include "tracekws/errors.def"
#undef TKWS_ERROR
};
static const int tkws_error_count = sizeof tkws_error_table / sizeof tkws_error_table[0];
"""
ERROR_TABLE_CDEF = """
typedef struct { int number; const char *name; const char *text; } tkws_error_entry;
static const tkws_error_entry tkws_error_table[];
static const int tkws_error_count;
"""


def declarations(header: str) -> str:
    """The declarations of one public header as cffi reads them: no bodies, no directives."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    text = text.replace("\\\n", " ")
    text = re.sub(r"static inline [^{;]*\{.*?\n\}", "", text, flags=re.DOTALL)
    constants = re.findall(r"#define (TKWS_\w+ \w+)", text)
    text = re.sub(r"#include \"tracekws/errors.def\"", "", text)
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    text = re.sub(r"enum \{\s*TKWS_OK = 0,\s*\};", "", text)
    return "\n".join(f"#define {constant}" for constant in constants) + "\n" + text


def cdef() -> str:
    """All declarations of the core."""
    parts = [
        declarations((CORE / "include" / "tracekws" / f"{name}.h").read_text()) for name in HEADERS
    ]
    return "\n".join([*parts, ERROR_TABLE_CDEF])


flags = ["-std=c11", "-O3", "-Wall", "-Wextra"]
links: list[str] = []
if os.environ.get("TRACEKWS_SANITIZE") == "1":
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    flags = ["-std=c11", "-O1", "-g", "-fno-omit-frame-pointer", *sanitize]
    links = sanitize

ffi = FFI()
ffi.cdef(cdef())
ffi.set_source(
    "tracekws._core",
    "\n".join(f'#include "tracekws/{name}.h"' for name in HEADERS) + ERROR_TABLE,
    # setuptools wants paths relative to setup.py
    sources=[str(p.relative_to(ROOT)) for p in sorted((CORE / "src").glob("*.c"))],
    include_dirs=[str((CORE / "include").relative_to(ROOT))],
    depends=[str(p.relative_to(ROOT)) for p in sorted(CORE.rglob("*.[hd]*"))],
    extra_compile_args=flags,
    extra_link_args=links,
    py_limited_api=True,
)
