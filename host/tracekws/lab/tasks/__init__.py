# SPDX-License-Identifier: Apache-2.0
"""Tasks of the lab: a file each, and here the list of them."""

from tracekws.errors import DataError
from tracekws.lab.data import Task
from tracekws.lab.tasks.cifar10_dvs import Cifar10Dvs
from tracekws.lab.tasks.commands import Commands
from tracekws.lab.tasks.digits import Digits
from tracekws.lab.tasks.dvs_gesture import DvsGesture
from tracekws.lab.tasks.n_mnist import NMnist
from tracekws.lab.tasks.shd import Shd
from tracekws.lab.tasks.spoken_digits import SpokenDigits

TASKS: tuple[Task, ...] = (
    Digits(),
    SpokenDigits(),
    Commands(),
    NMnist(),
    Shd(),
    DvsGesture(),
    Cifar10Dvs(),
)


def task_of(name: str) -> Task:
    """The task of this name.

    Raises:
        DataError: there is none.
    """
    for task in TASKS:
        if task.name == name:
            return task
    raise DataError(f"no task '{name}'; there are: {', '.join(task.name for task in TASKS)}")
