# SPDX-License-Identifier: Apache-2.0
"""Gradients of one batch, by as many processes as torchrun starts: gradients.py FILE."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from tracekws.train.config import load_config
from tracekws.train.group import join
from tracekws.train.loader import Batch
from tracekws.train.loop import StudentRun, TeacherRun, to_input
from tracekws.train.windows import Window


def main() -> None:
    """Write the gradients of a teacher, and of a student that has it, after the mean over all."""
    target = Path(sys.argv[1])
    group = join()
    torch.set_num_threads(1)
    config = load_config("base", neurons=24, teachers=1)
    config = replace(config, teacher=replace(config.teacher, channels=(16, 24)), rate_target=0.0)
    rng = np.random.default_rng(1)
    features = rng.integers(0, 60, (16, 70, 80)).astype(np.int8)[group.part]
    words = rng.integers(0, 20, 16)[group.part]
    labels = np.array([*range(10), *[10] * 9, 11])[words]
    right = rng.integers(0, 2, (16, 12)).astype(bool)[group.part]
    right[:, 10] = True
    plain = Batch(features[:, -49:], labels, words, None)
    with_context = Batch(features, labels, words, Window(60, right))
    teacher = TeacherRun(config, 20, 0, target.parent / "none", "", group)
    student = StudentRun(config, 20, target.parent / "none", "", group, [teacher.network])
    grads = {}
    for run in (teacher, student):
        if run is student:
            teacher.network.eval()
        for batch in (plain, with_context):
            run.loss(to_input(batch.features), batch).backward()
        group.average_gradients(run.network.parameters())
        for name, parameter in run.network.named_parameters():
            assert parameter.grad is not None
            grads[f"{run.name}.{name}"] = parameter.grad.clone()
    for name, moment in teacher.network.named_buffers():
        grads[f"moment.{name}"] = moment.clone()
    if group.leads:
        save_file(grads, target)
    group.leave()
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    assert not [name for name in threads if "gloo" in name], "they would abort a process that ends"


if __name__ == "__main__":
    main()
