# SPDX-License-Identifier: Apache-2.0
"""`bench poison`: what sessions are made of, what harm is, and a small tree from end to end."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from images import Form, make_image, with_traces, write_image
from tones import utterance
from tracekws import cli
from tracekws.bench import adapting
from tracekws.bench.poisoning import CAPTIONS, Poisoned, Poisoner, Session, bench_poison
from tracekws.core import TAKES, Model
from tracekws.data import Episode
from tracekws.errors import DataError

IMAGE = with_traces(
    make_image(
        seed=3,
        n_neurons=24,
        window_steps=50,
        method=TAKES,
        passes=1,
        arrays={"word_threshold": np.full(5, 9000)},
    ),
    Form.random(24, 4, seed=2),
)
MODEL = Model(IMAGE)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three speakers who say three keywords and two other words four times, and noise."""
    root = tmp_path_factory.mktemp("poisoned") / "tree"
    rng = np.random.default_rng(1)
    for number, word in enumerate((*MODEL.keywords, "lamp", "door")):
        (root / word).mkdir(parents=True)
        for speaker in range(3):
            for take in range(4):
                path = root / word / f"{'abc'[speaker] * 8}_nohash_{take}.wav"
                soundfile.write(path, utterance(number, 1 + 0.1 * speaker, rng), 16000)
    (root / "_background_noise_").mkdir()
    noise = rng.normal(0, 300, 16000 * 20).astype(np.int16)
    soundfile.write(root / "_background_noise_" / "hiss.wav", noise, 16000)
    (root / "speakers.txt").write_text("aaaaaaaa\nbbbbbbbb\n")
    return root


@pytest.fixture(scope="module")
def poisoner(tree: Path) -> Poisoner:
    settings = adapting.Experiment(shots=2, draws=1)
    sources = adapting.read_sources(tree, None, tree / "speakers.txt", None)
    people = sources.read(MODEL, settings, lambda done, total: None, streams=True)
    noise = np.arange(20000, dtype=np.int16)
    return Poisoner(IMAGE, people, [noise], settings)


def draw_of(poisoner: Poisoner) -> Episode:
    rng = np.random.default_rng(1)
    clips, speakers = poisoner.people.clips, poisoner.people.speakers
    return adapting.episode(clips, speakers[0], MODEL.keywords, 2, 0, rng)


@pytest.mark.parametrize("kind", CAPTIONS)
def test_what_a_session_is_made_of(poisoner: Poisoner, kind: str) -> None:
    draw = draw_of(poisoner)
    clips, pcm = poisoner.people.clips, poisoner.people.pcm
    takes, wrong = poisoner.takes(kind, draw, np.random.default_rng(2))
    assert len(takes) == len(draw.support) == 6
    assert wrong == (wrong if kind == "one label" else set(range(6)))
    said = {p.tobytes(): clip for p, clip in zip(pcm, clips, strict=True)}
    for i, (sound, label) in enumerate(takes):
        name, clip = MODEL.labels[label], said.get(sound.tobytes())
        own = clips[draw.support[i]].word
        match kind:
            case "right":
                assert clip
                assert clip.word == name == own
            case "labels" | "one label":
                assert clip
                assert clip.word == own
                assert (name != own) is (i in wrong)
            case "other words":
                assert clip
                assert clip.word in ("lamp", "door")
                assert clip.speaker == draw.speaker
            case "speaker":
                assert clip
                assert clip.word == name == own
                assert clip.speaker != draw.speaker
            case "noise":
                assert (np.diff(sound) == 1).all()
            case "silence":
                assert not sound.any()
    if kind == "speaker":
        assert len({said[sound.tobytes()].speaker for sound, _ in takes}) == 1
        assert len({sound.tobytes() for sound, _ in takes}) == 6
    if kind == "one label":
        assert len(wrong) == 2
        assert len({takes[i][1] for i in wrong}) == 1


@pytest.mark.parametrize(
    ("hits", "false", "harmed"),
    [
        ((70, 70, 71), (2, 2, 2), (False, False)),
        ((70, 69, 80), (2, 2, 2), (True, False)),
        ((70, 70, 70), (2, 3, 2), (True, False)),
        ((70, 75, 70), (2, 0, 9), (False, True)),
    ],
)
def test_harm_is_a_point_or_more(
    hits: tuple[int, int, int], false: tuple[int, int, int], harmed: tuple[bool, bool]
) -> None:
    one = Session(6, 2, hits, false, 100, 100)
    assert (one.harms(1), one.harms(2)) == harmed
    report = Poisoned("labels", (one, Session(4, 0, (0, 0, 0), (0, 0, 0), 100, 100))).summary()
    assert report["harmed"] == {"guarded": int(harmed[0]), "unguarded": int(harmed[1])}
    assert report["takes_kept"] == 20
    assert report["sessions_kept"] == 1
    assert report["heard"]["before"] == hits[0] / 2


def test_bench_poison_from_end_to_end(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_image(tmp_path, IMAGE)
    words = ["tracekws", "bench", "poison", model, "--data", tree, "--shots", 2, "--workers", 1]
    words += ["--speakers", tree / "speakers.txt"]
    monkeypatch.setattr("sys.argv", [*map(str, words), "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    report = json.loads(capsys.readouterr().out)
    assert [row["kind"] for row in report["rows"]] == list(CAPTIONS)
    for row in report["rows"]:
        assert row["sessions"] == report["speakers"] == 2
        assert 0 <= row["takes_kept"] <= 100
        if row["takes_kept"] == 0:
            assert row["heard"]["guarded"] == row["heard"]["before"]
    monkeypatch.setattr("sys.argv", list(map(str, words)))
    with pytest.raises(SystemExit):
        cli.main()
    assert "takes of one word" in capsys.readouterr().out


def test_one_speaker_is_too_few(tree: Path) -> None:
    settings = adapting.Experiment(shots=2, draws=1)
    (tree / "one.txt").write_text("aaaaaaaa\n")
    sources = adapting.read_sources(tree, None, tree / "one.txt", None)
    people = sources.read(MODEL, settings, lambda done, total: None, streams=True)
    with pytest.raises(DataError, match="one speaker alone"):
        bench_poison(MODEL, people, [np.zeros(20000, np.int16)], settings, 1)
