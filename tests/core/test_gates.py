# SPDX-License-Identifier: Apache-2.0
"""What the core may not have: floats, allocation, mutable globals, warnings, hand-made tables."""

import inspect
import re
import sys
from pathlib import Path

import pytest

from programs import load_program
from toolchain import CORE, ROOT, compile_core, find, run
from tracekws._core import ffi, lib

pytestmark = pytest.mark.toolchain

PROVIDED = {"memcpy", "memmove", "memset", "memcmp"}  # by any C environment
HEADERS = sorted((CORE / "include" / "tracekws").glob("*.h"))


def symbols(nm: str, objects: list[Path]) -> list[tuple[str, str]]:
    """Kind and name of every symbol."""
    lines = run(find(nm), *objects).splitlines()
    return [(f[-2], f[-1]) for f in map(str.split, lines) if len(f) >= 2]


def outside_references(nm: str, objects: list[Path]) -> set[str]:
    table = symbols(nm, objects)
    return {name for kind, name in table if kind == "U"} - {n for kind, n in table if kind == "T"}


@pytest.mark.parametrize("compiler", ["gcc", "clang-14"])
@pytest.mark.parametrize("level", ["-O0", "-O2", "-Os"])
def test_the_core_compiles_without_warnings_and_needs_nothing(
    tmp_path: Path, compiler: str, level: str
) -> None:
    objects = compile_core(tmp_path, compiler, level, "-fno-stack-protector")
    assert outside_references("nm", objects) <= PROVIDED
    kinds = {kind for kind, _ in symbols("nm", objects)}
    assert kinds <= {"T", "t", "U", "r", "R"}  # no b, d, B, D, C: nothing that can change


def test_every_public_name_has_the_prefix(tmp_path: Path) -> None:
    table = symbols("nm", compile_core(tmp_path, "gcc", "-O2"))
    names = {name for kind, name in table if kind in "TR"}
    assert names
    assert all(name.startswith("tkws_") for name in names)


@pytest.mark.parametrize("part", ["cortex-m0", "cortex-m0plus", "cortex-m4"])
def test_no_float_and_no_library_on_a_microcontroller(tmp_path: Path, part: str) -> None:
    # cortex-m0 has no float unit: any float arithmetic would call the library
    objects = compile_core(
        tmp_path, "arm-none-eabi-gcc", "-O2", f"-mcpu={part}", "-mthumb", "-mfloat-abi=soft"
    )
    references = outside_references("arm-none-eabi-nm", objects)
    is_float = re.compile(r"__aeabi_([fd]|[iu]l?2[fd])|__.*[sd]f")
    floats = {name for name in references if is_float.match(name)}
    assert not floats
    helpers = {name for name in references if name.startswith("__")}  # 64 bits, division, switch
    assert references - helpers <= PROVIDED


DSP = {"smlad", "smusd", "smuadx", "ssat", "clz"}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["-mcpu=cortex-m4"], DSP),
        (["-mcpu=cortex-m4", "-DTKWS_NO_DSP"], {"ssat"}),
        (["-mcpu=cortex-m0plus"], set()),
    ],
    ids=["cortex-m4", "cortex-m4 in plain C", "cortex-m0plus"],
)
def test_the_instructions_for_pairs_are_used_where_there_are_any(
    tmp_path: Path, flags: list[str], expected: set[str]
) -> None:
    objects = compile_core(tmp_path, "arm-none-eabi-gcc", "-O2", "-mthumb", *flags)
    # elsewhere the compiler may take one of them, clz, for a comparison
    users = [o for o in objects if '"dsp.h"' in (CORE / "src" / f"{o.stem}.c").read_text()]
    listing = run(find("arm-none-eabi-objdump"), "-d", *users)
    assert {name for name in DSP if re.search(rf"\t{name}\b", listing)} == expected


@pytest.mark.parametrize("part", ["cortex-m0plus", "cortex-m4"])
def test_no_step_calls_a_library_for_copies(tmp_path: Path, part: str) -> None:
    """Small libraries copy byte by byte; compilers make such calls of plain loops, too."""
    objects = compile_core(
        tmp_path, "arm-none-eabi-gcc", "-O3", "-funroll-loops", "-ffunction-sections",
        f"-mcpu={part}", "-mthumb",
    )  # fmt: skip
    listing = run(find("arm-none-eabi-objdump"), "-r", *objects)
    callers = set()
    for section in listing.split("RELOCATION RECORDS FOR ")[1:]:
        name = section.split("]")[0].removeprefix("[.text.")
        if PROVIDED & set(section.split()):
            callers.add(name)
    assert "tkws_network_reset" in callers
    # of an image, a session, a take, a word
    once = re.compile(
        r"_(parse|header_write|class|init|load|reset|begin|end|readout|find|add|forget|nothing|row)(\.|$)"
    )
    assert {name for name in callers if not once.search(name)} == set()


def test_the_source_has_no_float() -> None:
    for path in [*HEADERS, *sorted((CORE / "src").glob("*.[ch]"))]:
        code = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        assert not re.search(r"\b(float|double)\b", code), path.name
        assert not re.search(r"\b\d+\.\d*f?\b", re.sub(r'"[^"]*"', "", code)), path.name


def test_the_core_includes_only_itself_and_freestanding_headers() -> None:
    allowed = {"<stdint.h>", "<stddef.h>", "<stdbool.h>", "<limits.h>", "<string.h>"}
    own = {f'"tracekws/{path.name}"' for path in HEADERS} | {'"tracekws/errors.def"'}
    own |= {f'"{path.name}"' for path in (CORE / "src").glob("*.h")}
    for path in [*HEADERS, *sorted((CORE / "src").glob("*.[ch]"))]:
        included = set(re.findall(r"^\s*#include\s+(\S+)", path.read_text(), flags=re.MULTILINE))
        intrinsics = {"<arm_acle.h>"} if path.name == "dsp.h" else set()
        assert included <= allowed | own | intrinsics, path.name


@pytest.mark.parametrize("header", HEADERS, ids=[h.name for h in HEADERS])
def test_every_header_stands_alone(tmp_path: Path, header: Path) -> None:
    source = tmp_path / "alone.c"
    source.write_text(f'#include "tracekws/{header.name}"\n#include "tracekws/{header.name}"\n')
    flags = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only")
    run(find("gcc"), *flags, f"-I{CORE / 'include'}", source)


def test_tables_are_what_the_script_makes() -> None:
    run(sys.executable, ROOT / "scripts" / "make_tables.py", "--check")


def preprocessed(name: str) -> str:
    """A public header as the compiler sees it."""
    lines = run(
        find("gcc"), "-E", "-P", f"-I{CORE / 'include'}", CORE / "include" / "tracekws" / name
    )
    return re.sub(r"\s+", " ", lines)


def test_python_sees_every_function_of_the_headers() -> None:
    declared = set()
    for header in HEADERS:
        text = re.sub(r"static inline[^{]*\{.*?\}", "", preprocessed(header.name))
        declared |= set(re.findall(r"\b(tkws_\w+)\(", text))
    assert len(declared) > 20
    builtin = {name for name in dir(lib) if inspect.isbuiltin(getattr(lib, name))}
    seen = {name for name in builtin if not name.startswith("batch_")}  # of the host alone
    assert declared == seen


def test_python_sees_the_errors_of_the_table() -> None:
    # the C enum, from the same table through the preprocessor
    enum = re.findall(r"TKWS_E_(\w+) = \((-?\d+)\)", preprocessed("errors.h"))
    entries = lib.tkws_error_table[0 : lib.tkws_error_count]
    assert [(ffi.string(e.name).decode(), str(e.number)) for e in entries] == enum
    assert len({number for _, number in enum}) == len(enum)


def test_python_sees_the_structs_of_the_compiler(tmp_path: Path) -> None:
    """Sizes and offsets by the compiler equal those that cffi took from the headers."""
    structs = ["tkws_model_header", "tkws_model", "tkws_network", "tkws_learner", "tkws_frontend"]
    structs += ["tkws_detector", "tkws_event", "tkws_recognizer", "tkws_weights"]
    structs += ["tkws_trace_form", "tkws_template", "tkws_templates"]
    lines = []
    for struct in structs:
        for field, _ in ffi.typeof(struct).fields:
            lines.append(f'printf("%zu\\n", offsetof({struct}, {field}));')
        lines.append(f'printf("%zu\\n", sizeof({struct}));')
    source = tmp_path / "offsets.c"
    includes = "".join(f'#include "tracekws/{path.name}"\n' for path in HEADERS)
    main = f"int main(void) {{ {''.join(lines)} }}\n"
    source.write_text(f"{includes}#include <stddef.h>\n#include <stdio.h>\n{main}")
    run(find("gcc"), f"-I{CORE / 'include'}", source, "-o", tmp_path / "offsets")
    printed = [int(line) for line in run(tmp_path / "offsets").split()]
    expected = []
    for struct in structs:
        expected += [ffi.offsetof(struct, field) for field, _ in ffi.typeof(struct).fields]
        expected.append(ffi.sizeof(struct))
    assert printed == expected


def test_the_declarations_are_made_from_the_headers() -> None:
    """Each declaration in the cdef stands in a header, and a changed header changes the cdef."""
    build = load_program("host/core_build.py")
    squeezed = re.sub(r"\s+", " ", build.cdef())
    for header in HEADERS:
        if header.stem in ("fx", "bytes"):  # inline, for C alone
            continue
        assert header.stem in build.HEADERS
        for line in re.findall(r"^int tkws_\w+\([^;]*;", header.read_text(), flags=re.MULTILINE):
            assert re.sub(r"\s+", " ", line) in squeezed
    text = (CORE / "include" / "tracekws" / "crc32.h").read_text()
    changed = build.declarations(text.replace("size_t n_bytes", "int n_bytes"))
    assert "int n_bytes" in changed
