# SPDX-License-Identifier: Apache-2.0
"""Whatever bytes a file has, reading it works or is an error of ours."""

import io
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from images import make_image
from tones import utterance
from tracekws import audio, data
from tracekws.bench import cards, demo, sets
from tracekws.boards import emulator, firmware, rp2040, uf2
from tracekws.core import Model
from tracekws.device.takes import read_takes
from tracekws.errors import TraceKwsError
from tracekws.files import read_text
from tracekws.profile import Profile
from tracekws.sensitivity import expected
from tracekws.train.config import FOLDER, load_config

PCM = utterance(3, 1.0, np.random.default_rng(0))[:4000]
IMAGE = make_image(seed=1)
LABELS = ("yes", "no", "_unknown_", "_silence_")


def sound(container: str, subtype: str) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, PCM / 32768, 16000, format=container, subtype=subtype)
    return content.getvalue()


SOUNDS = {
    "WAV": sound("WAV", "PCM_16"),
    "float": sound("WAV", "FLOAT"),
    "ADPCM": sound("WAV", "IMA_ADPCM"),
    "FLAC": sound("FLAC", "PCM_16"),
    "Vorbis": sound("OGG", "VORBIS"),
    "AIFF": sound("AIFF", "PCM_24"),
    "CAF": sound("CAF", "ALAC_16"),
    "W64": sound("W64", "PCM_16"),
}


@st.composite
def spoilt(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file with some bytes changed, cut out, put in, or its end gone."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        # headers are where it hurts
        at = draw(st.integers(0, min(len(content), 200)) | st.integers(0, len(content)))
        size = draw(st.integers(0, 8))
        kind = draw(st.sampled_from(["change", "cut", "insert", "end"]))
        if kind == "end":
            del content[at:]
        else:
            new = draw(st.binary(min_size=size, max_size=size))
            content[at : at + (0 if kind == "insert" else size)] = b"" if kind == "cut" else new
    return bytes(content)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


def survives(work: Callable[[], object]) -> bool:
    """Whether it works; an error must be one of ours."""
    try:
        work()
    except TraceKwsError:
        return False
    return True


@pytest.mark.parametrize("form", [*SOUNDS, "anything"])
@given(choice=st.data())
def test_sounds(form, choice, folder):
    whole = SOUNDS.get(form)
    content = choice.draw(spoilt(whole) if whole else st.binary(max_size=400))
    path = folder / f"sound-{form}"
    path.write_bytes(content)

    def read() -> None:
        pcm = audio.read_clip(path)
        assert pcm.dtype == np.int16
        assert pcm.ndim == 1
        assert len(pcm) >= audio.SHORTEST
        assert audio.one_second(pcm).shape == (16000,)
        audio.is_silent(pcm)

    survives(read)
    survives(lambda: audio.read_part(path, 100, 900))


def test_what_is_not_spoilt_is_read(folder):
    for form, content in SOUNDS.items():
        (folder / form).write_bytes(content)
        assert survives(lambda form=form: audio.read_clip(folder / form))


ENTRIES = st.text(max_size=30) | st.sampled_from(
    ["yes/ab_nohash_0.wav", ".\\yes\\ab_nohash_0.wav", "/", "..", "yes/", "a.wav", "no/x.wav"]
)


@given(
    content=st.binary(max_size=200)
    | st.lists(ENTRIES, max_size=5).map(lambda lines: "\n".join(lines).encode()),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf", b"\xff\xfe"]),
)
def test_lists(content, mark, folder):
    root = folder / "tree"
    for name in ("ab_nohash_0", "cd_nohash_0"):
        path = root / "yes" / f"{name}.wav"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(SOUNDS["WAV"])
    (root / "validation_list.txt").write_text("")
    path = root / "testing_list.txt"
    path.write_bytes(mark + content)
    survives(lambda: data.read_tree(root))
    survives(lambda: data.read_names(path))
    tree = data.scan_tree(root) if survives(lambda: data.scan_tree(root)) else None
    if tree and not tree.absent:  # all that the list names is in its split
        named = (line.strip() for line in read_text(path).splitlines())
        assert len(tree.of("testing")) == len({data.key_of(line) for line in named if line})


NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)


@given(
    words=st.dictionaries(st.sampled_from([*LABELS[:2], "_other"]) | NAMES, NAMES, max_size=3),
    content=st.sampled_from([*SOUNDS.values(), b"", bytes(100)]),
)
def test_folders_of_takes(words, content, tmp_path_factory):
    root = tmp_path_factory.mktemp("takes")
    for word, name in words.items():
        with suppress(FileExistsError):
            (root / word).mkdir()
        (root / word / name).write_bytes(content)
    survives(lambda: read_takes(root, LABELS, *LABELS[2:]))


@given(content=st.binary(max_size=300) | spoilt(IMAGE))
def test_model_images(content, folder):
    path = folder / "model.tkws"
    path.write_bytes(content)
    assert survives(lambda: Model.load(path)) == (content == IMAGE)


PROFILE = Profile(7).plus(
    [(word, np.full((6, 80), level, np.int8)) for level, word in enumerate(LABELS[:2])], taught=True
)


@given(content=st.binary(max_size=300) | spoilt(PROFILE.content))
def test_profiles(content, folder):
    path = folder / "a.profile"
    path.write_bytes(content)
    assert survives(lambda: Profile.read(path)) == (content == PROFILE.content)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["stream", "testing", "validation", "roc", "snr_db", "sensitivity", "hit_percent"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    value=VALUES,
    stream=VALUES,
    huge=st.integers(0, 2),
    text=st.none() | st.text(max_size=40) | st.binary(max_size=40),
)
def test_cards(value, stream, huge, text, folder):
    path = folder / "card.tkws"
    path.write_bytes(IMAGE)
    crc = Model.load(path).crc
    facts = {"crc": f"{crc:08x}", "stream": stream} if huge else value
    content = json.dumps(facts) if text is None else text
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    path.with_suffix(".json").write_bytes(content)
    path.with_suffix(".md").write_text(f"| Image | CRC {crc:08x} |\n| Accuracy | 1 % |\n")
    survives(lambda: cards.complete(path, []))
    path.with_suffix(".json").write_bytes(content)
    assert expected(path.with_suffix(".json"), crc, 0) is None or stream


TOML = (FOLDER / "base.toml").read_text()
SETTINGS = [line.partition("=")[0].strip() for line in TOML.splitlines() if "=" in line]
KEYS = st.sampled_from([*SETTINGS, "[teacher]", "[augment]"])
NUMBERS = st.sampled_from(["nan", "-inf", "1e400", "1" + 400 * "0", "[[]]", "[nan, 1]", "{}", "''"])
LINES = st.builds(
    lambda key, value: key if key[0] == "[" else f"{key} = {value}",
    KEYS,
    NUMBERS | st.integers().map(str) | st.floats().map(str) | st.text(max_size=5),
)


@given(
    content=st.binary(max_size=100)
    | st.lists(LINES, max_size=4).map(lambda lines: "\n".join(lines).encode())
    | spoilt(TOML.encode())
)
def test_settings(content, folder):
    path = folder / "settings.toml"
    path.write_bytes(content)

    def load() -> None:
        settings = load_config(str(path))
        assert np.isfinite(settings.learning_rate)
        assert np.isfinite(settings.augment.noise_db).all()

    survives(load)


UF2 = uf2.encode(bytes(range(256)) * 3)


@given(content=st.binary(max_size=600) | spoilt(UF2) | spoilt(b"\x7fELF" + bytes(200) + b"TKFW"))
def test_firmware(content, folder):
    path = folder / "firmware.uf2"
    path.write_bytes(content)
    survives(lambda: uf2.check(path))
    survives(lambda: rp2040.read_firmware(path))
    survives(lambda: emulator.board_of(path))
    survives(lambda: firmware.read_firmware(path, "rp2040"))
    path = path.with_suffix(".bin")
    path.write_bytes(content)
    survives(lambda: firmware.read_firmware(path, "stm32f405"))


@given(content=st.binary(max_size=100) | spoilt(b"1.000\t2.000\tyes\n3\t4\tno\n"))
def test_what_a_stream_says(content, folder):
    path = folder / "stream.tsv"
    path.write_bytes(content)
    survives(lambda: demo.read_said(path))


TABLE = "file\tspeaker\ttext\na\tann\tyes no\n"
PATHS = st.sampled_from(
    ["a", "a.wav", "./a.flac", "../sets/a", "/a.wav", "", ".", "a\0", "x" * 300]
)


@given(
    content=st.binary(max_size=100)
    | spoilt(TABLE.encode())
    | (PATHS | st.text(max_size=10)).map(lambda path: f"file\ttext\n{path}\tyes\n".encode())
)
def test_tables_of_sets(content, folder):
    root = folder / "sets"
    root.mkdir(exist_ok=True)
    (root / "a.wav").write_bytes(SOUNDS["WAV"])
    (root / "index.tsv").write_bytes(content)
    survives(lambda: sets.read_set(root, text=True))


COMMITTED = Path(__file__).resolve().parents[2] / "benchmarks" / "lab.jsonl"
LINE = COMMITTED.read_text().splitlines()[-1]


@given(
    content=st.binary(max_size=100)
    | spoilt(f"{LINE}\n{LINE}\n".encode())
    | st.dictionaries(st.sampled_from([*json.loads(LINE), "code"]), VALUES, max_size=3).map(
        lambda changes: json.dumps(json.loads(LINE) | changes).encode()
    )
)
def test_results_of_the_lab(content, folder):
    pytest.importorskip("torch", reason="the lab needs torch: make setup-lab")
    from tracekws.lab import experiment, report

    path = folder / "lab.jsonl"
    path.write_bytes(content)

    def read() -> None:
        rows = report.rows_of(experiment.read_results(path, experiment.RunResult))
        json.dumps(report.summary(rows))
        report.by_task(rows)

    survives(read)


@pytest.fixture(scope="module")
def kept(folder: Path) -> tuple[bytes, Callable[[bytes], int]]:
    """What `lab shots` keeps of a network, and what reads such bytes."""
    pytest.importorskip("torch", reason="the lab needs torch: make setup-lab")
    from tracekws.lab import shots
    from tracekws.lab.network import Constants, Dense, Network
    from tracekws.lab.rules.readout import ReadoutOnly

    constants = Constants(alpha=0.9, beta=0.9, v_th=1.0)
    rule = ReadoutOnly(network=Network((Dense(3),), (4,), 2, constants))
    path = folder / "network.pt"
    shots.save(rule, path, {"rule": "readout"}, 2)

    def load(content: bytes) -> int:
        path.write_bytes(content)
        return shots.load(rule, path, {"rule": "readout"})

    return path.read_bytes(), load


@given(choice=st.data())
def test_networks_of_the_lab(choice, kept):
    whole, load = kept
    assert load(whole) == 2
    survives(lambda: load(choice.draw(st.binary(max_size=100) | spoilt(whole))))


@pytest.fixture(scope="module")
def resumed(folder: Path) -> tuple[bytes, Callable[[bytes], None]]:
    """A checkpoint of training, and what goes on from such bytes."""
    pytest.importorskip("torch", reason="training needs torch: make setup-train")
    from tracekws.train.group import Group
    from tracekws.train.loop import StudentRun

    run = StudentRun(load_config("small", neurons=8, teachers=0), 12, folder, "clips", Group())
    for optimizer in run.optimizers:
        for group in optimizer.param_groups:
            for weights in group["params"]:
                weights.grad = weights.detach() * 0
        optimizer.step()
    run.save()
    return run.checkpoint.read_bytes(), run.resume


@given(choice=st.data())
def test_checkpoints(choice, resumed):
    whole, resume = resumed
    content = choice.draw(st.binary(max_size=100) | spoilt(whole))
    survives(lambda: resume(content))


def test_a_whole_checkpoint_is_taken(resumed):
    whole, resume = resumed
    assert survives(lambda: resume(whole))
