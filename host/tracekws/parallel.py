# SPDX-License-Identifier: Apache-2.0
"""Work spread over all cores; each process has its own copy of what it needs."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, TypeVar

Own = TypeVar("Own")
Item = TypeVar("Item")
Worked = TypeVar("Worked")

_own: Any = None


def start_worker(make: Callable[[], object]) -> None:
    """Give this process its own copy of what work() needs: an initializer for a pool."""
    global _own
    _own = make()


def work_on_own(work: Callable[..., Worked], *items: Any) -> Worked:
    """Work of a pool's process, with its own copy first."""
    return work(_own, *items)


def spread(
    work: Callable[[Own, Item], Worked],
    items: Sequence[Item],
    workers: int | None,
    make: Callable[[], Own],
) -> Iterator[Worked]:
    """Results of work on each item, in order.

    Args:
        work: a function or method of a module, for what make() gave in its process, and an item.
        items: what it is called with.
        workers: processes; all cores by default, none beside this one for 1.
        make: called once in each process.
    """
    workers = workers or os.cpu_count() or 1
    if workers == 1:
        yield from map(partial(work, make()), items)
        return
    with ProcessPoolExecutor(workers, initializer=start_worker, initargs=(make,)) as pool:
        try:
            chunk = max(1, len(items) // (workers * 32))
            yield from pool.map(partial(work_on_own, work), items, chunksize=chunk)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
