# SPDX-License-Identifier: Apache-2.0
"""Work spread over all cores, with progress."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int | None = None,
    start: Callable[[], None] = lambda: None,
) -> Iterator[Result]:
    """Results of work on each item, in order.

    Args:
        work: a function of a module.
        items: what it is called with.
        workers: processes; all cores by default, none beside this one for 1.
        start: called first in each process.
    """
    workers = workers or os.cpu_count() or 1
    if workers == 1:
        start()
        yield from map(work, items)
        return
    with ProcessPoolExecutor(workers, initializer=start) as pool:
        try:
            yield from pool.map(work, items, chunksize=max(1, len(items) // (workers * 32)))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
