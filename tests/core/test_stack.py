# SPDX-License-Identifier: Apache-2.0
"""The core's stack on a Cortex-M0+: known when it is compiled, bounded, without recursion."""

from pathlib import Path

import pytest

from callgraph import INDIRECT, CallGraph, disassembled, read_graph
from toolchain import compile_core, find, run

pytestmark = pytest.mark.toolchain

CPU = ["-mcpu=cortex-m0plus", "-mthumb"]
LIBRARY_BYTES = 64
"""A call of memcpy, or of a division or 64-bit product, which the parts without them need."""
MOST_BYTES = {"-O2": 1024, "-Os": 1024, "-O0": 1536}
"""What any call into the core may take. -O0 is not what runs on a part: its frames are larger."""


@pytest.fixture(scope="module", params=MOST_BYTES)
def graph(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CallGraph:
    folder = tmp_path_factory.mktemp("core")
    compile_core(folder, "arm-none-eabi-gcc", request.param, *CPU, "-fcallgraph-info=su")
    return read_graph(sorted(folder.glob("*.ci")))


def test_every_frame_is_known_when_it_is_compiled(graph: CallGraph) -> None:
    assert len(graph.stack) > 30
    assert graph.kinds == {"static"}


def test_nothing_recurses_or_calls_through_a_pointer(graph: CallGraph) -> None:
    assert graph.cycles() == []
    assert INDIRECT not in graph.outside()


def test_the_stack_of_every_call_is_bounded(
    graph: CallGraph, request: pytest.FixtureRequest
) -> None:
    public = [name for name in graph.stack if name.startswith("tkws_")]
    assert len(public) > 20
    depths = {name: graph.deepest(name, LIBRARY_BYTES) for name in public}
    worst = max(depths, key=lambda name: depths[name][0])
    most = MOST_BYTES[request.node.callspec.params["graph"]]
    assert depths[worst][0] <= most, f"{worst}: {depths[worst]}"


def test_the_library_functions_are_as_small_as_said(tmp_path: Path) -> None:
    """By what the library's own code pushes."""
    compile_core(tmp_path, "arm-none-eabi-gcc", "-O2", *CPU, "-fcallgraph-info=su")
    called = read_graph(tmp_path.glob("*.ci")).outside()
    helpers = sorted(name for name in called if name.startswith("__"))
    assert "__aeabi_lmul" in helpers
    source = tmp_path / "all.c"
    source.write_text("".join(f"extern char {h}[]; char *p{h} = {h};\n" for h in helpers))
    elf = tmp_path / "all.elf"
    flags = [*CPU, "-nostdlib", "-nostartfiles", "-Wl,-e,0"]
    run(find("arm-none-eabi-gcc"), *flags, source, "-lgcc", "-o", elf)
    graph = disassembled(run(find("arm-none-eabi-objdump"), "-d", "--no-show-raw-insn", elf))
    depths = {name: graph.deepest(name, 0)[0] for name in helpers}
    assert 0 < max(depths.values()) <= LIBRARY_BYTES, depths
    assert called - set(helpers) <= {"memcpy", "memmove", "memset", "memcmp"}
