# SPDX-License-Identifier: Apache-2.0
"""Takes that sound like another word: a device refuses them, and adapting names them."""

from pathlib import Path

import numpy as np
import pytest

from images import Form, make_image, with_traces
from loopback_device import Board, Flash, connect
from recordings import write_take
from tracekws.audio import read_clip
from tracekws.core import GUARDED, READOUT, TAKES, Model, features
from tracekws.device import adapt
from tracekws.device.takes import Take
from tracekws.device.teach import teach
from tracekws.errors import DataError, DeviceError
from tracekws.learner import Learner


@pytest.fixture(scope="module")
def image() -> bytes:
    """A model that keeps takes and prefers `no` to whatever else is said."""
    rng = np.random.default_rng(2)
    bare = make_image(
        seed=8,
        n_neurons=16,
        method=TAKES,
        passes=1,
        arrays={
            "readout": rng.normal(0, 300, (16, 5)),
            "readout_bias": np.array([0, 9000, 0, 0, 0]),
        },
    )
    return with_traces(bare, Form.random(16, rank=3, seed=1))


@pytest.fixture
def takes(tmp_path: Path) -> list[Take]:
    found = []
    for seed, word in enumerate(("yes", "no", "up", "no", "_unknown_")):
        write_take(tmp_path / f"{seed}.wav", seed)
        found.append(Take(word, f"{word}/{seed}.wav", read_clip(tmp_path / f"{seed}.wav")))
    return found


def test_a_guarded_take_is_refused_and_the_session_goes_on(
    folder: Path, image: bytes, takes: list[Take]
) -> None:
    device = connect(Board(folder, image))
    assert device.guards
    factory = device.weights()
    method = TAKES | GUARDED
    with device.learn(1) as session:
        with pytest.raises(DeviceError) as refused:
            session.take_pcm("yes", takes[0].pcm, 32767, method)
        assert refused.value.name == "UNLIKE"
        assert device.weights() == factory
        session.take_pcm("no", takes[1].pcm, 32767, method)
        for wrong in (GUARDED, GUARDED | READOUT, method | READOUT):
            with pytest.raises(DeviceError) as refused:
                session.take_pcm("no", takes[1].pcm, 32767, wrong)
            assert refused.value.name == "ARGUMENT"
    learner = Learner(Model(image))
    alone = features(takes[1].pcm, learner.model.front_end)
    assert learner.take(alone, learner.model.labels.index("no"), method, 32767)
    assert device.weights() == learner.weights


@pytest.mark.parametrize("force", [False, True])
def test_adapting_leaves_out_what_is_refused(
    folder: Path, image: bytes, takes: list[Take], force: bool
) -> None:
    flash = Flash()
    device = connect(Board(folder, image, flash=flash))
    config = Model(image).front_end
    result = adapt.adapt(device, takes, [], config=config, force=force, warnings=["one before"])
    assert result.learned == (
        {"_unknown_": 1, "no": 2, "up": 1, "yes": 1} if force else {"_unknown_": 1, "no": 2}
    )
    told = (
        "one before",
        "not learned, since they sound like another word, or like none: yes/0.wav, up/2.wav: listen"
        " to them; --force learns them",
        "nothing was learned of yes, up: every take was refused",
    )
    assert result.warnings == (told[:1] if force else told)
    learner = Learner(Model(image))
    assert learner.learn([(take.label, take.pcm) for take in takes], force=force) == (
        () if force else (0, 2)
    )
    assert device.weights() == learner.weights
    assert result.generation == 1


def test_nothing_is_learned_of_wrong_takes_alone(
    folder: Path, image: bytes, takes: list[Take]
) -> None:
    flash = Flash()
    device = connect(Board(folder, image, flash=flash))
    before = device.weights()
    with pytest.raises(DataError, match="2 of 3 takes sound like another word"):
        adapt.adapt(device, takes[:3], [])
    assert device.weights() == before
    assert device.info().generation == 0


def test_teaching_a_word_of_the_model_is_guarded(
    folder: Path, image: bytes, takes: list[Take]
) -> None:
    device = connect(Board(folder, image, flash=Flash()))
    factory = device.weights()
    config = Model(image).front_end
    with pytest.raises(DataError, match="1 of 1 takes sound like another word"):
        teach(device, "yes", takes[:1], config=config)
    assert device.weights() == factory
    learner = Learner(Model(image))
    with pytest.raises(DataError, match="1 of 1 takes sound like another word"):
        learner.teach("yes", [takes[0].pcm])
    assert learner.weights == factory
    result = teach(device, "yes", takes[:1], config=config, force=True)
    assert (result.learned, result.own) == (1, False)
    learner.teach("yes", [takes[0].pcm], force=True)
    assert device.weights() == learner.weights
    assert teach(device, "no", takes[:2], config=config).learned == 2


def test_other_methods_are_not_guarded(folder: Path, image: bytes) -> None:
    device = connect(Board(folder, image))
    assert adapt.guarded(device, TAKES, force=False) == TAKES | GUARDED
    assert adapt.guarded(device, TAKES, force=True) is None
    assert adapt.guarded(device, TAKES | READOUT, force=False) is None
    device._hello = device._hello._replace(capabilities=device._hello.capabilities & 127)
    assert adapt.guarded(device, TAKES, force=False) is None
