# SPDX-License-Identifier: Apache-2.0
"""Training by two processes, as torchrun starts them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: make setup-train")

from safetensors.torch import load_file  # noqa: E402

from host_cli import HANG_SECONDS  # noqa: E402
from tracekws.core import Model  # noqa: E402

GRADIENTS = Path(__file__).parent / "gradients.py"
TINY = """
neurons = 16
epochs = 1
batch = 32
clips_per_epoch = 128
teachers = 1
[teacher]
epochs = 1
batch = 32
channels = [16, 16]
[augment]
copies = 2
"""


def torchrun(processes: int, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", processes]
    return subprocess.run(
        [str(word) for word in (*command, *words)],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )


def test_two_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    subprocess.run([sys.executable, GRADIENTS, one], check=True)
    done = torchrun(2, GRADIENTS, two)
    assert done.returncode == 0, done.stderr
    whole, shared = load_file(one), load_file(two)
    assert whole.keys() == shared.keys()
    assert len(whole) > 20
    for name, expected in whole.items():
        scale = expected.abs().max().item()
        assert scale > 0, name
        torch.testing.assert_close(shared[name], expected, rtol=1e-4, atol=1e-5 * scale, msg=name)


def test_torchrun_trains_a_model(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    run, output = tmp_path / "run", tmp_path / "x.tkws"
    where = ("--data", tree, "--run", run, "--output", output, "--config", tmp_path / "tiny.toml")
    done = torchrun(2, "-m", "tracekws", "--", "train", *where, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["crc"] == f"{Model.load(output).crc:08x}"
    assert done.stderr.count("teacher-1, epoch 1: ") == 1
    there = {path.name for path in run.iterdir()}
    assert there == {
        "checkpoint.safetensors",
        "teacher-1.safetensors",
        "tensorboard",
        "training.png",
    }
