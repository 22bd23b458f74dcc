# SPDX-License-Identifier: Apache-2.0
"""N-MNIST, SHD, DVS Gesture and CIFAR10-DVS: small files of the right format, through the task.

The real sets are not here: what holds beyond the formats is not tested.
"""

import socket
from dataclasses import replace
from pathlib import Path

import event_files as ef
import numpy as np
import pytest
import torch

pytest.importorskip("tonic")

from tracekws.errors import DataError
from tracekws.lab.data import hold_out
from tracekws.lab.experiment import Plan, run, with_rates
from tracekws.lab.network import Constants, Conv, Dense
from tracekws.lab.recorded import first_of_each
from tracekws.lab.tasks.cifar10_dvs import Cifar10Dvs
from tracekws.lab.tasks.dvs_gesture import DvsGesture
from tracekws.lab.tasks.n_mnist import NMnist
from tracekws.lab.tasks.shd import Shd

TASKS = (NMnist(), Shd(), DvsGesture(), Cifar10Dvs())


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that would fetch something fails."""

    def refuse(*args: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def counted(events: list[ef.Event], shape: tuple[int, ...], frame_us: int) -> np.ndarray:
    """The frames that ought to come out: whole windows from the first event on."""
    start = events[0][2]
    frames = np.zeros((max((events[-1][2] - start) // frame_us, 0), *shape), dtype=np.int64)
    for x, y, t, p in events:
        step = (t - start) // frame_us
        if step < len(frames):
            frames[step, p, y, x] += 1
    return frames


def n_mnist(root: Path, takes: int = 3) -> dict[str, list[ef.Event]]:
    made = {}
    for part in ("Train", "Test"):
        for digit in range(10):
            for take in range(takes):
                name = f"{part}/{digit}/{take:05}.bin"
                made[name] = ef.random_events(100 * digit + take, 200, 34, 300_000)
                ef.write_n_mnist(root / "NMNIST" / name, made[name])
    return made


def test_n_mnist_keeps_every_event_of_the_first_saccade(tmp_path: Path) -> None:
    made = n_mnist(tmp_path)
    split = NMnist().load(tmp_path, seed=1)
    assert split.test.events.dtype == torch.uint8
    assert len(split.train) == 20
    assert len(split.validation) == 10
    assert split.test.labels.tolist() == [digit for digit in range(10) for _ in range(3)]
    for i, (name, events) in enumerate(
        (name, events) for name, events in made.items() if name.startswith("Test")
    ):
        want = counted([e for e in events if e[2] < 100_000], (2, 34, 34), 1000)
        got = split.test.events[i].numpy()
        np.testing.assert_array_equal(got[: len(want)], want, err_msg=name)
        assert not got[len(want) :].any()


def test_n_mnist_takes_the_first_of_each_class(tmp_path: Path) -> None:
    n_mnist(tmp_path)
    split = NMnist(samples=20).load(tmp_path, seed=0)
    assert torch.bincount(split.test.labels).tolist() == [2] * 10
    whole = NMnist().load(tmp_path, seed=0)
    steps = split.test.events.shape[1]
    assert torch.equal(split.test.events[1], whole.test.events[1, :steps])
    assert torch.equal(split.test.events[2], whole.test.events[3, :steps])


def test_shd_bins_channels_and_names_speakers(tmp_path: Path) -> None:
    clips = [ef.random_events(i, 300, 700, 900_000 + 1000 * i) for i in range(40)]
    labels = [i % 20 for i in range(40)]
    speakers = [i % 3 for i in range(40)]
    for part in ("train", "test"):
        ef.write_shd(tmp_path / "SHD" / f"shd_{part}.h5", clips, labels, speakers)
    split = Shd().load(tmp_path, seed=0)
    assert split.classes[3] == "word 3"
    assert len(split.train) == len(split.validation) == 20
    assert split.test.events.shape[2:] == (700,)
    assert split.test.labels.tolist() == labels
    assert split.test.groups is not None
    assert split.test.groups.tolist() == speakers
    # Half precision moves a time by up to 0.25 ms: channels' totals hold but for the last window.
    for i, events in enumerate(clips):
        got = split.test.events[i].sum(0, dtype=torch.int64).numpy()
        want = np.bincount([x for x, _, _, _ in events], minlength=700)
        assert (got <= want).all()
        assert want.sum() - got.sum() <= 12


def test_dvs_gesture_cuts_training_recordings_in_pieces(tmp_path: Path) -> None:
    root = tmp_path / "DVSGesture"
    for part, users in (("Train", (1, 2)), ("Test", (24,))):
        for user in users:
            for label in range(11):
                path = root / f"ibmGesture{part}/user{user:02}_led/{label}.npy"
                ef.write_gesture(path, ef.random_events(100 * user + label, 2000, 128, 4_000_000))
    split = DvsGesture().load(tmp_path, seed=0)
    assert split.train.events.shape == (22, 20, 2, 32, 32)  # two whole pieces of 11 recordings
    assert split.validation.events.shape[0] == 11
    assert split.validation.events.shape[1] >= 52
    assert split.test.groups is not None
    assert set(split.test.groups.tolist()) == {24}
    assert sorted(split.test.labels.tolist()) == list(range(11))


def test_dvs_gesture_places_events_in_the_smaller_frame(tmp_path: Path) -> None:
    # 64 events in each pixel of one 4 x 4 block of one frame.
    block = [(8 + i % 4, 100 + i // 4 % 4, 1000 * (i // 256), 1) for i in range(16 * 64)]
    events = [*block, (0, 0, 160_000, 0)]
    for part in ("Train", "Test"):
        for take in ("led", "natural"):
            for label in range(11):
                path = tmp_path / f"DVSGesture/ibmGesture{part}/user01_{take}/{label}.npy"
                ef.write_gesture(path, events if part == "Test" else spread())
    frames = DvsGesture().load(tmp_path, seed=0).test.events[0]
    assert frames[0].argmax() == 1 * 32 * 32 + 25 * 32 + 2
    assert 30 <= frames[0, 1, 25, 2] <= 64
    assert not frames[0, 0].any()


def spread() -> list[ef.Event]:
    """Events over two seconds."""
    return ef.random_events(3, 500, 128, 2_000_000)


def test_cifar10_dvs_reads_aedat4(tmp_path: Path) -> None:
    words = ("airplane", "automobile", "bird", "cat", "deer")
    words += ("dog", "frog", "horse", "ship", "truck")
    for label, word in enumerate(words):
        for take in range(10):
            path = tmp_path / f"CIFAR10DVS/{word}/cifar10_{word}_{take}.aedat4"
            corner = [(127, 127, 1000 * i, 1) for i in range(0, 20)]
            ef.write_aedat4(path, corner if take == 9 else ef.random_events(label, 300, 128, 50000))
    split = Cifar10Dvs().load(tmp_path, seed=0)
    assert split.classes == words
    assert (len(split.train), len(split.validation), len(split.test)) == (80, 10, 10)
    assert split.test.events.shape == (10, 10, 2, 48, 48)
    assert split.test.labels.tolist() == list(range(10))
    # The last of each class tests: its events are all in one corner, ON, two a frame.
    assert torch.equal(split.test.events[:, :9, 1, 47, 47], torch.full((10, 9), 2.0).half())
    assert split.test.events[:, :, 0].abs().max() == 0
    rest = split.train.events.sum((1, 2, 3, 4), dtype=torch.float32)
    assert (rest > 0).all()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
class TestMissing:
    def test_no_folder_named(self, task: NMnist) -> None:
        with pytest.raises(DataError, match=rf"task {task.name} .*--data.*tonic\.datasets\."):
            task.load(None, seed=0)

    def test_folder_is_not_there(self, task: NMnist, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"nowhere: no such folder; get it with: python"):
            task.load(tmp_path / "nowhere", seed=0)

    def test_folder_holds_something_else(self, task: NMnist, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r": no .* there; get it with: python") as error:
            task.load(tmp_path, seed=0)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("task", "files"),
    [
        (NMnist(), ("NMNIST/Train/0/0.bin", "NMNIST/Test/0/0.bin")),
        (Shd(), ("SHD/shd_train.h5", "SHD/shd_test.h5")),
        (
            DvsGesture(),
            (
                "DVSGesture/ibmGestureTrain/user01_led/0.npy",
                "DVSGesture/ibmGestureTest/user02_led/0.npy",
            ),
        ),
        (Cifar10Dvs(), ("CIFAR10DVS/cat/0.aedat4",)),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else "",
)
def test_broken_file_is_named(task: NMnist, files: tuple[str, ...], tmp_path: Path) -> None:
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff not what it should be! \xff")
    with pytest.raises(DataError) as error:
        task.load(tmp_path, seed=0)
    assert files[0].split("/")[0] in str(error.value)
    assert "\n" not in str(error.value)


def test_event_off_the_sensor_is_refused(tmp_path: Path) -> None:
    n_mnist(tmp_path, takes=1)
    ef.write_n_mnist(tmp_path / "NMNIST/Train/0/00000.bin", [(34, 3, 100, 1), (3, 3, 5000, 1)])
    with pytest.raises(DataError, match="x = 34, off the sensor of 34"):
        NMnist().load(tmp_path, seed=0)


def test_first_of_each_is_even_and_keeps_order() -> None:
    assert first_of_each([0, 0, 0, 1, 1, 2], 4).tolist() == [0, 1, 3, 5]
    assert first_of_each([1, 0], None).tolist() == [0, 1]


def test_hold_out_takes_a_share_of_each_class() -> None:
    labels = torch.tensor([0] * 20 + [1] * 40 + [2])
    rest, held = hold_out(labels, 0.1, np.random.default_rng(0))
    assert torch.bincount(labels[torch.from_numpy(held)]).tolist() == [2, 4, 1]
    assert sorted([*rest, *held]) == list(range(61))


def test_settings_of_the_released_program() -> None:
    assert Shd().network == (Dense(450, recurrent=True),)
    assert Shd().constants == Constants(alpha=0.85, beta=0.85, v_th=0.5)
    sizes = [layer.channels for layer in DvsGesture().network if isinstance(layer, Conv)]
    assert sizes == [64, 128, 256, 256, 512, 512, 512, 512]
    # The last pool ends at 2 x 2 pixels on both sensors.
    for task, size in ((DvsGesture(), 32), (Cifar10Dvs(), 48)):
        side, last = size, task.network[-1]
        for layer in task.network:
            assert isinstance(layer, Conv)
            side //= layer.pool
            assert layer.pool == 1 or layer.pooling == ("mean" if layer is last else "max")
        assert side == 2
        config = task.configs["vgg9"]
        assert (config.batch, config.rate, config.standardised) == (64, 1e-4, True)
        assert (config.crop, config.flip) == (4, size == 48)


@pytest.mark.parametrize("rule", ["tp", "bptt"])
def test_a_narrow_vgg_9_learns_from_recordings(rule: str, tmp_path: Path) -> None:
    """Events above or below the middle, by the config's own layers, 4 to 32 channels in each."""
    for number, word in enumerate(("cat", "ship")):
        for take in range(20):
            path = tmp_path / f"CIFAR10DVS/{word}/cifar10_{word}_{take}.aedat4"
            events = ef.random_events(100 * number + take, 8000, 64, 50_000)
            ef.write_aedat4(path, [(x + 32, y + 64 * number, t, p) for x, y, t, p in events])
    config = Cifar10Dvs().configs["vgg9"]
    layers = (layer for layer in config.network if isinstance(layer, Conv))
    narrow = tuple(replace(layer, channels=layer.channels // 16) for layer in layers)
    task = Cifar10Dvs(configs={"narrow": replace(config, network=narrow, batch=16)})
    settings = with_rates(rule, config, {"readout_rate": 1e-2})
    result = run(task, None, task.load(tmp_path, 0), Plan(rule, settings, seed=1, epochs=3))
    assert result is not None
    assert result.settings == {"rate": 1e-4, "readout_rate": 1e-2}
    assert (result.validation, result.test) == (100, 100)
