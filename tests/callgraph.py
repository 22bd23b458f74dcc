# SPDX-License-Identifier: Apache-2.0
"""Who calls whom and how much stack each takes: as gcc tells, or by the code of a library."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

INDIRECT = "__indirect_call"
_NODE = re.compile(
    r'^node: \{ title: "([^"]+)" label: "[^"]*\\n(\d+) bytes \((\w+)\)', re.MULTILINE
)
_EDGE = re.compile(r'^edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', re.MULTILINE)

_MOVED = r"\tsubw?\tsp, (?:sp, )?#(\d+)|\[sp, #-(\d+)\]!|\taddi?\tsp,sp,-(\d+)"


def plain(title: str) -> str:
    """A function's name as in the source: no file before it, no .constprop.0 behind it."""
    return title.rpartition(":")[2].partition(".")[0]


@dataclass
class CallGraph:
    """Functions by title, which has the file before a static one's name."""

    stack: dict[str, int] = field(default_factory=dict)
    """Bytes of each function that was compiled."""
    kinds: set[str] = field(default_factory=set)
    """static, dynamic, ...: only static is known at compile time."""
    calls: dict[str, set[str]] = field(default_factory=dict)

    def resolve(self, targets: dict[str, set[str]]) -> None:
        """Put functions in place of calls through pointers: what may each caller call."""
        titles: dict[str, set[str]] = {}
        for title in self.stack:
            titles.setdefault(plain(title), set()).add(title)
        for caller, called in self.calls.items():
            if INDIRECT in called:
                called.remove(INDIRECT)
                for name in targets[plain(caller)]:
                    called |= titles[name]

    def outside(self) -> set[str]:
        """What is called and was not compiled here."""
        return {name for called in self.calls.values() for name in called} - set(self.stack)

    def cycles(self) -> list[str]:
        """Functions that reach themselves."""
        return sorted(name for name in self.calls if name in self.reached(name))

    def reached(self, start: str) -> set[str]:
        """All that a function calls, at any depth."""
        seen: set[str] = set()
        todo = list(self.calls.get(start, ()))
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += self.calls.get(name, ())
        return seen

    def deepest(self, start: str, outside_bytes: int) -> tuple[int, list[str]]:
        """Bytes of stack that a call takes at most, and the way there.

        A function from outside takes `outside_bytes`. There must be no cycle.
        """
        below = [self.deepest(name, outside_bytes) for name in self.calls.get(start, ())]
        n_bytes, way = max(below, default=(0, []))
        return self.stack.get(start, outside_bytes) + n_bytes, [plain(start), *way]


def read_graph(paths: Iterable[Path]) -> CallGraph:
    """The graph of several files that -fcallgraph-info=su wrote."""
    graph = CallGraph()
    for path in paths:
        text = path.read_text()
        for title, n_bytes, kind in _NODE.findall(text):
            graph.stack[title] = int(n_bytes)
            graph.kinds.add(kind)
            graph.calls.setdefault(title, set())
        for caller, called in _EDGE.findall(text):
            graph.calls.setdefault(caller, set()).add(called)
    return graph


def disassembled(text: str) -> CallGraph:
    """The graph of Thumb or RISC-V code without calls through pointers.

    The text is of objdump -d --no-show-raw-insn.

    A frame is all that a function pushes and takes off sp anywhere, so rather too large.
    """
    graph = CallGraph()
    name = ""
    for line in text.splitlines():
        if start := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            name = start.group(1)
            graph.stack[name] = 0
            graph.calls[name] = set()
        elif pushed := re.search(r"\t(?:push|stmdb\tsp!,)\S*\s.*\{(.+)\}", line):
            graph.stack[name] += 4 * _registers(pushed.group(1))
        elif moved := re.search(_MOVED, line):
            graph.stack[name] += int(moved.group(1) or moved.group(2) or moved.group(3))
        elif branch := re.search(r"\t[bj]\S*\t(?:\w+,)*[0-9a-f]+ <([^+>]+)>", line):
            graph.calls[name].add(branch.group(1))
    for name, called in graph.calls.items():
        called.discard(name)  # a loop
    return graph


def _registers(text: str) -> int:
    n = 0
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        n += int(last[1:]) - int(first[1:]) + 1 if last else 1
    return n
