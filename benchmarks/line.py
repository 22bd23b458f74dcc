# SPDX-License-Identifier: Apache-2.0
"""A fault at every place of a session: writes "line" of benchmarks/reliability.json.

Usage: PYTHONPATH=tests python benchmarks/line.py [CASE ...]. tests/line_faults.py says what the
session is, and what must hold. Without a case all of them are run, in some minutes; a case by its
name is run alone, and nothing is written. The exit status is 1 when one is wrong.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from line_faults import BYTES, FRAMES, WAYS, ByteFault, FrameFault, Session, Verdict, named
from tracekws.files import write
from tracekws.parallel import spread

FILE = Path(__file__).resolve().parent / "reliability.json"
OUTCOMES = ("recovered", "error", "wrong", "nothing")


@cache
def session(folder: Path) -> Session:
    """The session, recorded once a process."""
    return Session(folder)


def judge(recorded: Session, name: str) -> Verdict:
    """Run the case of a name."""
    return recorded.judge(named(name))


def summary(recorded: Session, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """What goes into the file."""
    return {
        "command": "make line",
        "cases": len(verdicts),
        "outcomes": {what: sum(v.what == what for v in verdicts) for what in OUTCOMES},
        "faults": {kind: sum(v.case.kind == kind for v in verdicts) for kind in (*BYTES, *FRAMES)},
        "session": {
            way: {
                "bytes": recorded.places[way, ByteFault],
                "frames": recorded.places[way, FrameFault],
            }
            for way in WAYS
        },
        "longest_seconds": round(max(v.seconds for v in verdicts), 1),
    }


def main() -> None:
    """Run the cases that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help="such as down-byte-lost-1234")
    names = parser.parse_args().cases
    with tempfile.TemporaryDirectory() as folder:
        recorded = session(Path(folder))
        known = [str(case) for case in recorded.cases()]
        if unknown := set(names) - set(known):
            parser.error(f"no such case: {', '.join(sorted(unknown))}")
        make = partial(session, Path(folder))
        verdicts = list(spread(judge, names or known, 1 if names else None, make))
    for verdict in verdicts:
        if names or verdict.what == "wrong":
            print(f"{verdict.case}: {verdict.what} {verdict.why}".strip())
    if not names:
        found = json.loads(FILE.read_text()) if FILE.exists() else {}
        found["line"] = summary(recorded, verdicts)
        write(FILE, (json.dumps(found, indent=1, sort_keys=True) + "\n").encode())
        print(dict(Counter(verdict.what for verdict in verdicts)))
    if any(verdict.what == "wrong" for verdict in verdicts):
        sys.exit(1)


if __name__ == "__main__":
    main()
