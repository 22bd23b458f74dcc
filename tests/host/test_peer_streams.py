# SPDX-License-Identifier: Apache-2.0
"""Other networks in our streams (benchmarks/peer_streams.py): for ours, what our own tools say."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

from images import make_eventful_image, write_image
from programs import load_program
from tracekws.bench import streams, thresholds
from tracekws.bench.clips import read_some
from tracekws.bench.sets import read_set
from tracekws.bench.stream import compose, held_back
from tracekws.bench.talk import bench_talk
from tracekws.core import Model, Network
from tracekws.data import read_tree
from tracekws.modelfile import with_thresholds

MINUTES = 3


@pytest.fixture(scope="module")
def peer_streams() -> ModuleType:
    """The program's module."""
    return load_program("benchmarks/peer_streams.py")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A random model that hears many words."""
    return Model.load(write_image(tmp_path_factory.mktemp("eventful"), make_eventful_image()))


@pytest.fixture(scope="module")
def ground(
    peer_streams: ModuleType, model: Model, tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """Streams of a made-up tree, and sentences of its clips."""
    found = read_tree(tree)
    recordings, _ = read_some(found, "validation", lambda done, total: None)
    sounds = held_back(found.noises)
    case = thresholds.case_of(model, recordings, sounds, MINUTES)
    root = tmp_path_factory.mktemp("talk")
    soundfile.write(root / "one.flac", recordings.pcm[:30].ravel(), 16000)
    soundfile.write(root / "two.flac", recordings.pcm[30:60].ravel(), 16000)
    keyword = model.keywords[0]
    (root / "index.tsv").write_text(f"file\ttext\none.flac\tnothing\ntwo.flac\t{keyword}\n")
    talk = tuple(read_set(root, text=True))
    parts = [
        tuple(compose(recordings, model.keywords, sounds, MINUTES, db, streams.SEED))
        for db in (streams.CLEAN_DB, streams.NOISY_DB)
    ]
    return peer_streams.Ground(
        model, tuple(case.minutes), tuple(case.fresh), talk, parts[0], parts[1], talk
    )


def test_thresholds_are_chosen_as_ours_are(peer_streams: ModuleType, ground: Any) -> None:
    case = thresholds.Case(ground.model, ground.chosen_on, ground.fresh)
    ours = thresholds.choose([case], ground.talk, workers=1)
    theirs = peer_streams.with_chosen_thresholds(Network(ground.model), ground)
    assert theirs.image == with_thresholds(ground.model, ours)


def test_what_is_heard_is_what_bench_stream_hears(
    peer_streams: ModuleType, ground: Any, tree: Path
) -> None:
    model = ground.model
    heard = peer_streams.heard_of(Network(model), ground, model)
    found = read_tree(tree)
    recordings, _ = read_some(found, "validation", lambda done, total: None)
    sounds = held_back(found.noises)
    for name, db in (("clean", streams.CLEAN_DB), ("noisy", streams.NOISY_DB)):
        own = streams.bench_speech(model, recordings, sounds, MINUTES, db, workers=1).own
        assert heard[name] == pytest.approx(own.hit_percent)
        assert heard[f"{name}_false"] == pytest.approx(own.false_per_100)
    (talk,) = bench_talk(model, ground.testing_talk, 1)
    assert heard["talk"] == pytest.approx(talk.summary()["false_alarms_per_hour"]["mean"])


def test_a_network_that_says_nothing_hears_nothing(peer_streams: ModuleType, ground: Any) -> None:
    class Silent:
        def stream(self, steps: np.ndarray) -> np.ndarray:
            scores = np.zeros((len(steps), len(ground.model.labels)), dtype=np.int32)
            scores[:, ground.model.silence] = 1 << 14
            return scores

    heard = peer_streams.heard_of(Silent(), ground, ground.model)
    assert heard["clean"] == heard["noisy"] == heard["talk"] == 0
