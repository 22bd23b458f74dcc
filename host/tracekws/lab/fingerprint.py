# SPDX-License-Identifier: Apache-2.0
"""Which code and default settings a result is of, so that none is taken for that of other ones.

The fingerprint of a rule is a hash over

- the modules of its class and of what it inherits from, and the lab's modules that these import, to
  the last;
- the modules that run any rule (RUNNING);
- the defaults of its settings, and the config of the task: network, constants, batch, rate.

Comments, docstrings and layout do not count. Nor do tables and pictures, other rules, what makes
the data, whose digest a result has, or the versions of torch and Python.
"""

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

from tracekws.lab.data import Config
from tracekws.lab.rule import Rule

RUNNING = tuple(f"tracekws.lab.{name}" for name in ("experiment", "data", "network", "memory"))
LAB = "tracekws.lab."
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def shape(node: object) -> object:
    """A syntax tree as nested tuples, without docstrings, places, and fields that are empty."""
    if isinstance(node, list):
        return tuple(shape(part) for part in node)
    if not isinstance(node, ast.AST):
        return repr(node)
    values = dict(ast.iter_fields(node))
    if isinstance(node, DOCUMENTED):
        values["body"] = [part for part in node.body if not is_text(part)]
    kept = ((name, shape(value)) for name, value in values.items() if value not in (None, []))
    return (type(node).__name__, *kept)


def is_text(node: ast.stmt) -> bool:
    """Whether a statement is a text alone: a docstring, or a comment on a field."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def imports(tree: ast.Module) -> Iterator[str]:
    """Names of the lab's modules that a module imports from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(LAB):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith(LAB))


@cache
def parsed(name: str) -> ast.Module:
    """The syntax tree of a module that is imported, from its file."""
    return ast.parse(inspect.getsource(sys.modules[name]))


def code_of(rule: type[Rule]) -> dict[str, ast.Module]:
    """Syntax trees of all that a rule's results depend on, by the names of the modules."""
    wanted = [kind.__module__ for kind in rule.__mro__ if kind is not object]
    found: dict[str, ast.Module] = {}
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = parsed(name)
            wanted.extend(imports(found[name]))
    return found | {name: parsed(name) for name in RUNNING}


def fingerprint(rule: type[Rule], config: Config, also: Sequence[str] = ()) -> str:
    """Of a rule run with a task's config: 16 hexadecimal digits; see the module.

    Args:
        rule: the rule.
        config: the config.
        also: further modules that results depend on.
    """
    code = code_of(rule) | {name: parsed(name) for name in also}
    trees = {name: shape(tree) for name, tree in sorted(code.items())}
    settings = {name: value for name, value in rule.settings().items() if name != "seed"}
    about = (trees, settings, replace(config, origin="", figures=()))
    return hashlib.sha256(repr(about).encode()).hexdigest()[:16]
