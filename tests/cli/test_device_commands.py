# SPDX-License-Identifier: Apache-2.0
"""The device commands against the virtual board: what they do, and how they refuse."""

import io
import json
import os
import queue
import re
import shutil
import signal
import socket
import struct
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from host_cli import HANG_SECONDS, start
from images import make_image
from recordings import write_take
from tones import write_tree
from tracekws.boards.virtual import VirtualBoard, virtual_board
from tracekws.core import Model
from tracekws.device import adapt as adaptation
from tracekws.device import discover, microphone
from tracekws.device.device import Device
from tracekws.device.driver import LearnSession
from tracekws.files import state_folder
from tracekws.shipped import MODEL


def state(board: VirtualBoard) -> tuple[bytes, int, bool]:
    """Weights in RAM, generation, and whether the weights are unsaved."""
    with Device.open(board.port) as device:
        about = device.info()
        return device.weights(), about.generation, about.changed


def made(folder: Path) -> Path:
    """The folder, which was not there."""
    folder.mkdir()
    return folder


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# --- what they do ---------------------------------------------------------------------------------


def test_info_says_what_the_device_is(run, board):
    result = run("info", "--json", "--port", board.port)
    about = json.loads(result.out)
    assert result.code == 0
    assert about["board"] == "virtual"
    assert about["labels"] == ["yes", "no", "up", "_unknown_", "_silence_"]
    assert about["generation"] == 0
    plain = run("info", "--port", board.port)
    assert plain.code == 0
    assert "yes no up" in plain.out
    assert f"{about['model_crc']:08x}" in plain.out


def test_listen_shows_events_as_lines(run, board, takes):
    files = [takes / "yes" / "1.wav", takes / "no" / "1.wav"]
    result = run("listen", *files, "--json", "--port", board.port)
    assert result.code == 0
    events = [json.loads(line) for line in result.out.splitlines()]
    assert {event["file"] for event in events} == {str(file) for file in files}
    for event in events:
        assert event["word"] == "yes"
        assert 0 < event["score"] <= 1
        assert event["start"] < event["end"] <= 2
    plain = run("listen", files[0], "--port", board.port)
    assert plain.code == 0
    assert "yes" in plain.out


def write_card(model: Path, crc: str, split: str = "testing") -> None:
    """A card beside a model that says what to expect of level 2."""
    row = {"sensitivity": 2, "hit_percent": 81.4, "false_alarms_per_100_other_words": 3.25}
    other = {"sensitivity": 0, "hit_percent": 70, "false_alarms_per_100_other_words": 1}
    stream = {split: [{"snr_db": 40.0, "roc": [other, row]}]}
    model.with_suffix(".json").write_text(json.dumps({"crc": crc, "stream": stream}))


def test_listen_says_what_to_expect_of_a_sensitivity(run, board, image, takes, tmp_path):
    model = tmp_path / "known.tkws"
    model.write_bytes(image)
    words = ("listen", takes / "yes" / "1.wav", "--port", board.port, "--model", model)
    assert "sensitivity" not in run(*words).err
    result = run(*words, "--sensitivity", "2")
    assert (result.code, result.err.count("\n")) == (0, 1)
    assert f"what to expect is not known: {tmp_path}/known.json says nothing" in result.err
    crc = f"{Model(image).crc:08x}"
    write_card(model, crc)
    expected = (
        "sensitivity 2: expect 81 % of the keywords and 3.2 false alarms in 100 other words,"
        " background 40 dB below (the factory's figures, testing speakers)\n"
    )
    assert run(*words, "--sensitivity", "2").err == expected
    assert "is not known" in run(*words, "--sensitivity", "3").err
    write_card(model, "00000000")
    assert "is not known" in run(*words, "--sensitivity", "2").err
    model.with_suffix(".json").write_text("[")
    assert "is not known" in run(*words, "--sensitivity", "2").err
    write_card(model, crc)
    assert run("adapt", takes, "--port", board.port).code == 0
    learned = run(*words, "--sensitivity", "2").err
    assert learned.startswith(expected)
    assert "has learned since: what it does now is known only where the host runs" in learned


def test_what_a_device_has_learned_is_measured_on_a_stream(run, board, model, takes, tmp_path):
    tree = write_tree(made(tmp_path / "tree"))

    def measure(*more):
        words = ("bench", "stream", model, "--data", tree, "--hours", "0.05", "--snr", "20")
        result = run(*words, "--workers", "1", "--json", *more)
        assert result.code == 0, result.err
        return json.loads(result.out)["speech"]

    factory = measure()
    assert factory[0]["false_alarms"] > 0
    assert measure("--port", board.port) == factory
    assert run("adapt", takes, "--port", board.port).code == 0
    assert measure("--port", board.port) != factory
    assert measure() == factory


def test_the_model_on_a_stream_is_the_devices(run, board, other_model, tmp_path):
    tree = write_tree(made(tmp_path / "tree"))
    result = run("bench", "stream", other_model, "--data", tree, "--port", board.port)
    assert result.code == 1
    assert re.fullmatch(
        r"error: \S+other.tkws: the device runs another model, .*; give that one\n", result.err
    )


def test_listen_hears_less_at_a_lower_sensitivity(run, board, takes):
    words = ("listen", takes / "yes" / "1.wav", "--json", "--port", board.port)
    counts = [len(run(*words, "--sensitivity", level).out.splitlines()) for level in (-6, 0, 6)]
    assert counts[0] < counts[1] <= counts[2]


def test_adapt_learns_measures_saves_and_can_be_undone(run, board, takes, tmp_path):
    factory, *_ = state(board)
    others = tmp_path / "others"
    shutil.copytree(takes, others)
    picture = tmp_path / "p.png"
    result = run(
        *("adapt", takes, "--others", others, "--picture", picture),
        *("--json", "--port", board.port),
    )
    assert result.code == 0, result.err
    told = json.loads(result.out)
    assert told["learned"] == {"_unknown_": 2, "no": 2, "yes": 2}
    assert told["held_back"] == {"_unknown_": 1, "no": 1, "yes": 1}
    assert told["generation"] == 1
    assert told["passes"] == 2
    clips = {name: column["clips"] for name, column in told["after"].items()}
    assert clips == {
        "keywords_self": 2,
        "unknown_self": 1,
        "keywords_others": 6,
        "unknown_others": 3,
    }
    assert told["before"].keys() == told["after"].keys()
    assert told["before"]["unknown_self"]["right"] == 0  # the model hears yes in everything
    assert picture.read_bytes().startswith(b"\x89PNG")
    learned = state(board)
    assert learned[0] != factory
    assert learned[1:] == (1, False)
    # the same again goes on from there
    assert json.loads(run("save", "--json", "--port", board.port).out)["generation"] in (1, 2)
    assert run("undo", "--port", board.port).code == 0
    assert run("forget", "--yes", "--port", board.port).code == 0
    assert state(board) == (factory, 0, False)


def test_features_and_pcm_teach_the_same(run, built, model, takes, tmp_path):
    """One of another model says nothing of this one's front end."""
    weights = []
    for name in (model, MODEL):
        with virtual_board(model, tmp_path / f"flash{len(weights)}") as board:
            result = run("adapt", takes, "--all", "--model", name, "--port", board.port)
            assert result.code == 0, result.err
            weights.append(state(board)[0])
    assert weights[0] == weights[1]


def test_a_model_that_is_named_must_be_there(run, board, takes, tmp_path):
    for words in (("adapt", takes), ("teach", "lamp", takes / "yes")):
        result = run(*words, "--model", tmp_path / "none.tkws", "--port", board.port)
        assert result.code == 1
        assert result.err == f"error: {tmp_path}/none.tkws: No such file or directory\n"
        assert state(board)[1:] == (0, False)


def test_adapt_without_saving_is_forgotten_by_a_restart(run, built, model, takes, tmp_path):
    flash = tmp_path / "flash"
    with virtual_board(model, flash) as board:
        factory, *_ = state(board)
        result = run("adapt", takes, "--no-save", "--json", "--port", board.port)
        assert result.code == 0, result.err
        assert json.loads(result.out)["generation"] is None
        weights, generation, changed = state(board)
        assert weights != factory
        assert (generation, changed) == (0, True)
        board.kill()
    with virtual_board(model, flash) as board:
        assert state(board) == (factory, 0, False)


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ("no/1", "no"),
        ("no/1 yes/1 _other/1", "no, yes"),
        ("no/1 yes/1 yes/2 _other/1 _other/2", "no"),
        ("no/1 no/2 up/1 yes/1 yes/2", "up"),
    ],
)
def test_one_take_only_is_refused_without_a_session(
    files, named, run, board, tmp_path, monkeypatch
):
    def learn(*rest: object) -> None:
        raise AssertionError("a session was opened")

    before = state(board)
    for number, name in enumerate(files.split()):
        write_take(tmp_path / "t" / f"{name}.wav", number)
    monkeypatch.setattr(Device, "learn", learn)
    result = run("adapt", tmp_path / "t", "--port", board.port)
    assert result.code == 1
    assert result.out == ""
    assert re.fullmatch(
        rf"error: [^\n]*one take only of {named}; each word needs at least two,[^\n]*--record,"
        rf"[^\n]*/t/{named.split(',')[0]} \(--all [^\n]*\n",
        result.err,
    )
    assert state(board) == before


def test_one_take_only_of_other_words_is_learned_with_a_warning(run, board, takes):
    for number in (2, 3):
        (takes / "_other" / f"{number}.wav").unlink()
    result = run("adapt", takes, "--json", "--port", board.port)
    assert result.code == 0, result.err
    assert json.loads(result.out)["learned"] == {"_unknown_": 1, "no": 2, "yes": 2}
    assert "warning: few takes in _other" in result.err


def test_all_learns_single_takes_with_a_warning_that_names_them(run, board, tmp_path):
    factory, *_ = state(board)
    write_take(tmp_path / "one" / "no" / "1.wav", 1)
    result = run("adapt", tmp_path / "one", "--all", "--port", board.port)
    assert result.code == 0, result.err
    assert re.search(r"warning: one take only of no", result.err)
    assert re.search(r"warning: no takes in _other", result.err)
    assert "nothing was held back" in result.out
    assert state(board)[0] != factory


def test_all_holds_nothing_back(run, board, takes):
    result = run("adapt", takes, "--all", "--json", "--port", board.port)
    told = json.loads(result.out)
    assert told["learned"] == {"_unknown_": 3, "no": 3, "yes": 3}
    assert told["before"] == {}


def test_doctor_passes_without_what_is_optional(run, built, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    result = run("doctor", "--model", model)
    assert result.code == 0
    assert re.search(r"absent +microphone: .*\n +.*pip install sounddevice\n", result.out)


@pytest.mark.parametrize("there", [True, False])
def test_doctor_looks_for_a_microphone(there, run, built, model, monkeypatch):
    def query_devices(kind: str) -> dict[str, str]:
        if not there:
            raise OSError("querying device -1")
        return {"name": f"the {kind} of this test"}

    module = SimpleNamespace(query_devices=query_devices, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    result = run("doctor", "--model", model)
    assert result.code == 0
    line = "ok +microphone: the input of this test" if there else "absent +microphone: not usable"
    assert re.search(line, result.out)


def test_a_path_with_brackets_is_printed_as_it_is(run, board, tmp_path):
    for number in (1, 2):
        write_take(tmp_path / "t" / "yes" / f"{number}.wav", number)
    picture = tmp_path / "a [red] p.png"
    result = run("adapt", tmp_path / "t", "--picture", picture, "--port", board.port)
    assert result.code == 0
    assert f"picture: {picture}\n" in result.out


def test_guided_recording_goes_to_the_folder_and_is_learned(run, board, tmp_path, monkeypatch):
    rng = np.random.default_rng(1)

    def record(seconds: float) -> np.ndarray:
        n_samples = int(16000 * seconds)
        level = np.repeat(10.0 ** rng.uniform(1, 3.5, n_samples // 800), 800)
        return rng.normal(0, level).astype(np.int16)

    monkeypatch.setattr(microphone, "sounddevice", lambda: None)
    monkeypatch.setattr(microphone, "record", record)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n" * 10))
    folder = tmp_path / "mine"
    result = run("adapt", folder, "--record", "--json", "--port", board.port)
    assert result.code == 1
    assert result.err.endswith(f"error: the recording ended; what was recorded is in {folder}\n")
    assert len(list(folder.rglob("*.wav"))) == 10
    assert state(board)[1:] == (0, False)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n" * 4))
    result = run("adapt", folder, "--record", "--json", "--port", board.port)
    assert result.code == 0, result.err
    assert json.loads(result.out)["learned"] == {"_unknown_": 4, "no": 2, "up": 2, "yes": 2}
    assert state(board)[1:] == (1, False)


def test_guided_recording_of_some_words_asks_for_no_others(run, board, tmp_path, monkeypatch):
    rng = np.random.default_rng(2)

    def record(seconds: float) -> np.ndarray:
        level = np.repeat(10.0 ** rng.uniform(1, 3.5, int(20 * seconds)), 800)
        return rng.normal(0, level).astype(np.int16)

    monkeypatch.setattr(microphone, "sounddevice", lambda: None)
    monkeypatch.setattr(microphone, "record", record)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n" * 6))
    named = ("--word", "up", "--word", "no")
    words = ("adapt", tmp_path / "mine", "--json", *named, "--port", board.port)
    assert run(*words).code == 2, "without --record"
    result = run(*words, "--record", "--word", "lamp")
    assert result.code == 1
    assert "the device has no word 'lamp'; it knows yes, no, up" in result.err
    assert not (tmp_path / "mine").exists()
    result = run(*words, "--record")
    assert result.code == 0, result.err
    assert json.loads(result.out)["learned"] == {"no": 2, "up": 2}
    assert sorted(path.parent.name for path in (tmp_path / "mine").rglob("*.wav")) == [
        *["no"] * 3,
        *["up"] * 3,
    ]


def test_the_microphone_is_streamed_until_ctrl_c(run, board, takes, monkeypatch):
    class InputStream:
        def __init__(self, samplerate, channels, dtype, blocksize, callback, **_settings):
            assert (samplerate, channels, dtype) == (16000, 1, "int16")
            self.blocksize, self.callback = blocksize, callback

        def __enter__(self):
            opened.append(self)
            pcm = soundfile.read(takes / "yes" / "1.wav", dtype="int16", always_2d=True)[0]
            for at in range(0, len(pcm), self.blocksize):
                self.callback(pcm[at : at + self.blocksize], self.blocksize, None, None)

        def __exit__(self, *error):
            opened.remove(self)

    class Chunks(queue.Queue):
        def get(self):
            if self.empty():
                raise KeyboardInterrupt
            return super().get()

    opened: list[InputStream] = []
    module = SimpleNamespace(InputStream=InputStream, PortAudioError=OSError)
    monkeypatch.setattr(microphone, "sounddevice", lambda: module)
    monkeypatch.setattr(queue, "Queue", Chunks)
    result = run("listen", "--mic", "--json", "--port", board.port)
    assert result.code == 130
    events = [json.loads(line) for line in result.out.splitlines()]
    assert events
    assert {(event["file"], event["word"]) for event in events} == {(None, "yes")}
    assert opened == []
    assert run("info", "--port", board.port).code == 0


@pytest.mark.parametrize(
    "words", [("listen", "--mic"), ("adapt", "takes", "--record")], ids=" ".join
)
def test_a_missing_microphone_library_is_one_line(words, run, board, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    monkeypatch.chdir(tmp_path)
    result = run(*words, "--port", board.port)
    assert result.code == 1
    assert re.fullmatch(r"error: [^\n]+pip install[^\n]+\n", result.err)
    assert list(tmp_path.glob("takes")) == []


def test_forget_asks(run, board, takes, monkeypatch):
    assert run("adapt", takes, "--port", board.port).code == 0
    learned = state(board)
    monkeypatch.setattr("sys.stdin", io.StringIO("no\nperhaps\ny\n"))
    asked = "Erase everything that was learned? [y/N]: "
    refused = run("forget", "--port", board.port)
    assert (refused.code, state(board)) == (1, learned)
    assert refused.err.startswith(f"{asked}error: nothing was erased")
    done = run("forget", "--port", board.port)
    assert (done.code, done.err) == (0, 2 * asked)
    assert state(board)[1] == 0
    assert run("adapt", takes, "--port", board.port).code == 0
    ended = run("forget", "--json", "--port", board.port)
    assert (ended.code, json.loads(ended.out)["error"]["code"]) == (1, 1)
    assert ended.err.startswith(f"{asked}\nerror: ")


def test_forget_says_which_model_it_leaves(run, board, other_model, takes):
    assert run("adapt", takes, "--port", board.port).code == 0
    said = run("forget", "--yes", "--port", board.port).out
    assert re.fullmatch(r"back at \S+, the firmware's own model, as it came\n", said)
    assert run("load", other_model, "--port", board.port).code == 0
    name = json.loads(run("info", "--json", "--port", board.port).out)["model_name"]
    said = run("forget", "--yes", "--port", board.port).out
    assert said.startswith(f"back at {name}, the model that was loaded, as it came;")
    assert "tracekws load --factory" in said
    told = json.loads(run("forget", "--yes", "--json", "--port", board.port).out)
    assert told == {"generation": 0, "model": name, "loaded": True}


def test_load_factory_goes_back_to_the_firmwares_own_model(
    run, board, image, other_model, takes, monkeypatch
):
    words = ("load", "--factory", "--port", board.port)
    before = state(board)
    assert run("load", other_model, "--port", board.port).code == 0
    assert run("adapt", takes, "--port", board.port).code == 0
    learned = state(board)
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO("n\n"))
        assert run(*words).code == 1
    assert state(board) == learned
    result = run(*words, "--yes")
    assert result.code == 0
    assert f"CRC {Model(image).crc:08x}, the firmware's own, runs now" in result.out
    assert state(board) == before
    assert run("adapt", takes, "--port", board.port).code == 0
    learned = state(board)
    assert run(*words).code == 0, "it runs already, and nothing is erased"
    assert state(board) == learned
    for wrong in (("load",), ("load", other_model, "--factory")):
        assert run(*wrong, "--port", board.port).code == 2


def test_save_with_nothing_new_makes_no_generation(run, board, takes):
    words = ("save", "--port", board.port)
    result = run(*words)
    assert (result.code, result.out) == (0, "nothing new to save: nothing was learned\n")
    assert state(board)[1] == 0
    assert run("adapt", takes, "--no-save", "--port", board.port).code == 0
    assert run(*words).out == "saved as generation 1\n"
    learned = state(board)
    assert run(*words).out == "nothing new to save: generation 1 is kept\n"
    assert json.loads(run(*words, "--json").out) == {"generation": 1, "saved": False}
    assert json.loads(run("info", "--json", "--port", board.port).out)["erases"] == 1
    assert state(board) == learned


def test_load_runs_another_model(run, board, other_model):
    result = run("load", other_model, "--port", board.port)
    assert result.code == 0
    assert "yes no" in result.out
    assert "_unknown_" not in result.out
    about = json.loads(run("info", "--json", "--port", board.port).out)
    assert about["loaded"]
    assert about["labels"] == ["yes", "no", "_unknown_", "_silence_"]
    assert about["reset_reason"] == "power-on"
    assert "loaded" in run("info", "--port", board.port).out
    again = json.loads(run("load", other_model, "--json", "--port", board.port).out)
    own = {"own": [], "room": 0, "sounds": 0}
    assert again | own | {"erases": 2, "wear": [1, 1]} == about


def test_load_asks_before_it_erases_what_was_learned(run, board, other_model, takes, monkeypatch):
    assert run("adapt", takes, "--port", board.port).code == 0
    learned = state(board)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    refused = run("load", other_model, "--port", board.port)
    assert (refused.code, state(board)) == (1, learned)
    assert "[y/N]: error: nothing was erased" in refused.err
    assert run("load", other_model, "--yes", "--port", board.port).code == 0
    assert state(board)[1:] == (0, False)


def save_anew(run, board, takes):
    """Learn something, and save it."""
    assert run("adapt", takes, "--no-save", "--port", board.port).code == 0
    return run("save", "--port", board.port)


def test_saving_over_weights_of_another_model_is_said(
    run, built, model, other_model, takes, tmp_path
):
    flash = tmp_path / "flash"
    with virtual_board(model, flash) as board:
        assert run("adapt", takes, "--port", board.port).code == 0
        assert save_anew(run, board, takes).code == 0
    with virtual_board(other_model, flash) as board:
        result = save_anew(run, board, takes)
        assert "warning: both slots hold weights of another model" in result.err
        result = save_anew(run, board, takes)
        assert "warning: a slot holds weights of another model" in result.err
        result = run("adapt", takes, "--port", board.port)
        assert "another model" not in result.err


def newer_slot(flash, slot):
    """Put a slot of a newer firmware into a virtual board's flash."""
    header = struct.pack("<4s6I", b"TKSL", 2, 9, 1, 2, 3, 4)
    data = bytearray(flash.read_bytes())
    at = slot * 128 * 1024
    data[at : at + 32] = header + struct.pack("<I", zlib.crc32(header))
    flash.write_bytes(data)


def test_weights_of_a_newer_firmware_are_kept_and_told(
    run, built, model, other_model, takes, tmp_path, monkeypatch
):
    flash = tmp_path / "flash"
    with virtual_board(model, flash) as board:
        assert save_anew(run, board, takes).code == 0
    newer_slot(flash, 1)
    with virtual_board(model, flash) as board:
        assert "valid, newer-format" in run("info", "--port", board.port).out
        result = save_anew(run, board, takes)
        assert result.code == 4
        assert "warning: a slot holds weights of a newer firmware" in result.err
        assert "update it, or forget them" in result.err
        assert "Traceback" not in result.err
        assert json.loads(run("info", "--json", "--port", board.port).out)["slots"] == [
            "valid",
            "newer-format",
        ]
        assert run("forget", "--yes", "--port", board.port).code == 0
        assert "empty, empty" in run("info", "--port", board.port).out
    newer_slot(flash, 0)
    with virtual_board(model, flash) as board:
        monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
        assert run("load", other_model, "--port", board.port).code == 1
        assert "newer-format, empty" in run("info", "--port", board.port).out
    with virtual_board(other_model, flash) as board:
        assert save_anew(run, board, takes).code == 0
    with virtual_board(model, flash) as board:
        assert "newer-format, other-model" in run("info", "--port", board.port).out
        result = save_anew(run, board, takes)
        assert result.code == 0
        assert "warning: a slot holds weights of another model; saving erases" in result.err


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["table", "json"])
def test_a_save_that_the_device_refuses_is_one_line_and_no_half_result(
    options, run, built, model, takes, tmp_path
):
    flash = tmp_path / "flash"
    with virtual_board(model, flash):
        pass
    newer_slot(flash, 0)
    newer_slot(flash, 1)
    with virtual_board(model, flash) as board:
        before = state(board)
        result = run("adapt", takes, *options, "--port", board.port)
        assert state(board) == before
    assert result.code == 4
    assert result.err.splitlines()[-1].startswith("error: ")
    assert "newer firmware" in result.err.splitlines()[-1]
    if options:
        assert json.loads(result.out)["error"]["name"] == "NEWER_FORMAT"


def test_doctor_names_what_is_missing(run, built, model, tmp_path):
    result = run("doctor", "--model", model, "--json")
    checks = {check["name"]: check for check in json.loads(result.out)["checks"]}
    assert result.code == 0, result.out
    assert checks["model"]["ok"]
    assert checks["virtual board"]["ok"]
    result = run("doctor", "--model", tmp_path / "none.tkws")
    assert result.code == 1
    assert re.search(r"MISSING +model: .*none.tkws", result.out)


@pytest.mark.parametrize("lost", ["compiler", "board"])
def test_doctor_fails_without_what_is_required(run, built, model, lost, monkeypatch, tmp_path):
    if lost == "compiler":
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CC", raising=False)
        wanted = "C compiler"
    else:
        monkeypatch.setenv("TRACEKWS_BOARD", str(tmp_path / "none"))
        wanted = "virtual board"
    result = run("doctor", "--model", model, "--json")
    checks = {check["name"]: check for check in json.loads(result.out)["checks"]}
    assert result.code == 1
    assert not checks[wanted]["ok"]
    assert checks[wanted]["advice"]


# --- how they refuse ------------------------------------------------------------------------------


def test_listening_to_other_rates_says_so_once(run, board, tmp_path):
    for name, options in {
        "plain": {},
        "rate": {"rate": 44100, "n_samples": 44100},
        "stereo": {"channels": 2},
        "again": {"rate": 44100, "n_samples": 44100},
    }.items():
        write_take(tmp_path / f"{name}.wav", 1, **options)
    files = [tmp_path / f"{name}.wav" for name in ("plain", "rate", "stereo", "again")]
    result = run("listen", *files, "--json", "--port", board.port)
    assert result.code == 0
    assert {json.loads(line)["file"] for line in result.out.splitlines()} == set(map(str, files))
    assert result.err == (
        f"notice: brought to 16 kHz mono: {files[1]} (44100 Hz, 1 channel), and others like it\n"
    )


def text_file(folder: Path) -> Path:
    path = folder / "x.wav"
    path.write_text("this is no recording")
    return path


def recording(**options: int):
    def make(folder: Path) -> Path:
        path = folder / "x.wav"
        write_take(path, 1, **options)
        return path

    return make


def quoted(folder: Path) -> Path:
    path = folder / "my takes" / "x.m4a"
    path.parent.mkdir()
    path.write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(5000))
    return path


def strange_word(folder: Path) -> Path:
    write_take(folder / "t" / "maybe" / "1.wav", 1)
    return folder / "t"


def empty_folder(folder: Path) -> Path:
    (folder / "t").mkdir()
    return folder / "t"


def empty_word(folder: Path) -> Path:
    (folder / "t" / "yes").mkdir(parents=True)
    return folder / "t"


def bad_take(folder: Path) -> Path:
    write_take(folder / "t" / "no" / "1.wav", 1)
    (folder / "t" / "yes").mkdir()
    text_file(folder / "t" / "yes")
    return folder / "t"


def good_takes(folder: Path) -> Path:
    write_take(folder / "t" / "no" / "1.wav", 1)
    return folder / "t"


def large_model(folder: Path) -> Path:
    path = folder / "large.tkws"
    path.write_bytes(make_image(n_neurons=100, n_latent=2000))
    return path


REFUSALS = {
    "listen-missing": ("listen", lambda f: f / "none.wav", (), 1, "No such file"),
    "listen-text": ("listen", text_file, (), 1, "not readable as audio .* make it again"),
    "listen-rate": ("listen", recording(rate=3000), (), 1, "its header says 3000 Hz"),
    "listen-short": ("listen", recording(n_samples=300), (), 1, "too short.* record it again"),
    "listen-quoted": ("listen", quoted, (), 1, "ffmpeg -i '[^']*/my takes/x.m4a' -ac 1 -ar 16000"),
    "adapt-missing": ("adapt", lambda f: f / "none", (), 1, "no such folder"),
    "adapt-empty": ("adapt", empty_folder, (), 1, "no folder of takes"),
    "adapt-empty-word": ("adapt", empty_word, (), 1, "no takes in it"),
    "adapt-word": ("adapt", strange_word, (), 1, "no word 'maybe'; it knows yes, no, up"),
    "adapt-bad-take": ("adapt", bad_take, (), 1, "x.wav: not readable as audio"),
    "adapt-single": ("adapt", good_takes, (), 1, "one take only of no"),
    "adapt-others": ("adapt", good_takes, ("--others", "none", "--all"), 1, "none: no such"),
    "adapt-picture": ("adapt", good_takes, ("--all", "--picture", "p.png"), 1, "nothing to draw"),
    "load-missing": ("load", lambda f: f / "none.tkws", (), 1, "none.tkws"),
    "load-text": ("load", text_file, (), 1, "not a TraceKWS model image"),
    "load-large": ("load", large_model, (), 1, "the device has room for 200676"),
    "undo-nothing": ("undo", None, (), 4, "saved|older generation"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_one_line_and_changes_nothing(case, run, board, tmp_path):
    command, make, options, code, text = REFUSALS[case]
    before = state(board)
    argument = [make(tmp_path)] if make else []
    result = run(command, *argument, *options, "--port", board.port)
    assert result.code == code
    assert result.out == ""
    assert re.fullmatch(r"error: [^\n]+\n", result.err), result.err
    assert re.search(text, result.err)
    assert state(board) == before


@pytest.mark.parametrize(
    "words",
    [
        ("listen",),
        ("listen", "x.wav", "--mic"),
        ("listen", "x.wav", "--sensitivity", "7"),
        ("adapt",),
        ("adapt", "takes", "--picture", "p.doc"),
        ("adapt", "takes", "--picture", "none/p.png"),
        ("adapt", "takes", "--passes", "0"),
        ("board", "--tcp", "70000"),
        ("adapt", "takes", "--picture", ".png"),
        ("demo", "--picture", "p"),
        ("evaluate", "--data", "none", "--picture", "p.doc"),
        ("evaluate", "--data", "none", "--picture", "none/p.png"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2(words, run):
    result = run(*words)
    assert result.code == 2
    assert result.out == ""


PORT_COMMANDS = (
    "info",
    "save",
    "undo",
    "forget --yes",
    "listen x.wav",
    "adapt takes",
    "load x.tkws --yes",
)


@pytest.mark.parametrize("command", PORT_COMMANDS)
def test_no_device_is_exit_3_and_says_what_to_do(command, run, image, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.tkws").write_bytes(image)
    write_take(tmp_path / "x.wav", 1)
    write_take(tmp_path / "takes" / "yes" / "1.wav", 1)
    monkeypatch.setattr(discover, "candidates", lambda: [])
    result = run(*command.split())
    assert result.code == 3
    assert re.fullmatch(r"error: no serial port[^\n]*tracekws board[^\n]*\n", result.err)


def test_a_port_that_is_not_there_is_exit_3(run, tmp_path):
    result = run("info", "--port", tmp_path / "ttyNONE")
    assert result.code == 3
    assert re.fullmatch(r"error: [^\n]*ttyNONE[^\n]*\n", result.err)


@pytest.mark.parametrize("name", ["/dev/null", __file__])
def test_a_file_that_is_no_serial_port_is_exit_3(run, name):
    result = run("info", "--port", name)
    assert result.code == 3
    assert re.fullmatch(r"error: [^\n]*it is not a serial port; [^\n]*doctor[^\n]*\n", result.err)


@pytest.fixture
def impatient(monkeypatch) -> None:
    """Wait for a device half a second instead of five."""
    real = Device.open.__func__
    monkeypatch.setattr(
        Device, "open", classmethod(lambda kind, port, **options: real(kind, port, 0.5, **options))
    )


def test_a_silent_port_is_exit_3(run, impatient):
    master, slave = os.openpty()
    try:
        result = run("info", "--port", os.ttyname(slave))
    finally:
        os.close(master)
        os.close(slave)
    assert result.code == 3
    assert re.fullmatch(r"error: [^\n]+\n", result.err)


@pytest.fixture
def chatter() -> Iterator[str]:
    """A TCP server that is something else: it answers everything with a line of text."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            client, _ = server.accept()
            with client:
                while client.recv(4096):
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n\0")
        except OSError:
            return

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"socket://127.0.0.1:{server.getsockname()[1]}"
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def test_a_port_that_is_something_else_is_one_line(run, impatient, chatter):
    result = run("info", "--port", chatter)
    assert result.code in (3, 4)
    assert re.fullmatch(r"error: [^\n]+\n", result.err)


@pytest.mark.parametrize("at", [1, 4, 9])
def test_a_board_unplugged_while_it_learns_is_one_line(
    at, run, built, model, takes, tmp_path, monkeypatch
):
    flash = tmp_path / "flash"
    with virtual_board(model, flash) as board:
        factory, *_ = state(board)
        unplug_at_take(monkeypatch, at, board.kill)
        result = run("adapt", takes, "--model", model, "--port", board.port)
    assert result.code in (3, 4)
    assert re.fullmatch(r"error: [^\n]+\n", result.err.splitlines(keepends=True)[-1])
    assert "Traceback" not in result.err
    monkeypatch.undo()
    with virtual_board(model, flash) as board:
        assert state(board) == (factory, 0, False)


def unplug_at_take(monkeypatch, at: int, act) -> None:
    """Do something at the start of the take with this number, from 1."""
    count = 0
    for name in ("take_pcm", "take_features"):
        real = getattr(LearnSession, name)

        def counted(self, *rest, real=real):
            nonlocal count
            count += 1
            if count == at:
                act()
            return real(self, *rest)

        monkeypatch.setattr(LearnSession, name, counted)


@pytest.mark.parametrize("at", [1, 7])
def test_ctrl_c_while_it_learns_goes_back_to_what_was_saved(
    at, run, board, model, takes, monkeypatch
):
    assert run("adapt", takes, "--port", board.port).code == 0
    saved = state(board)

    def interrupt() -> None:
        raise KeyboardInterrupt

    unplug_at_take(monkeypatch, at, interrupt)
    result = run("adapt", takes, "--seed", 9, "--model", model, "--port", board.port)
    assert result.code == 130
    assert "Traceback" not in result.err
    monkeypatch.undo()
    assert state(board) == saved


def test_ctrl_c_after_learning_goes_back_as_well(run, board, takes, monkeypatch):
    before = state(board)
    real, calls = adaptation.columns, []

    def columns(*rest):
        calls.append(rest)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*rest)

    monkeypatch.setattr(adaptation, "columns", columns)
    assert run("adapt", takes, "--port", board.port).code == 130
    assert len(calls) == 2
    assert state(board) == before


# --- the board and the demonstration in processes of their own ------------------------------------


@pytest.mark.parametrize("line", [[], ["--tcp", "0"]], ids=["pty", "tcp"])
def test_board_serves_until_ctrl_c_and_leaves_no_process(line, run, built, model, tmp_path):
    flash = tmp_path / "flash"
    with start("board", model, "--flash", flash, "--json", *line) as process:
        told = json.loads(process.stdout.readline())
        assert run("info", "--port", told["port"]).code == 0
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 130
    assert (out, err) == ("", "")
    assert is_gone(told["pid"])
    assert flash.stat().st_size > 0


def test_a_board_that_is_killed_is_an_error(built, model, tmp_path):
    with start("board", model, "--flash", tmp_path / "flash", "--json") as process:
        os.kill(json.loads(process.stdout.readline())["pid"], signal.SIGKILL)
        _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 1
    assert err == "error: the board has ended by itself: exit status -9\n"


def test_board_has_as_much_memory_as_it_is_told(run, built, model, tmp_path):
    words = ("board", model, "--flash", tmp_path / "flash", "--json", "--ram")
    with start(*words, 300_000) as process:
        told = json.loads(process.stdout.readline())
        about = json.loads(run("info", "--json", "--port", told["port"]).out)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=HANG_SECONDS)
    assert about["ram_bytes"] == 300_000
    result = run(*words, 2000)
    assert result.code == 1
    assert re.fullmatch(r"error: [^\n]*needs more memory than the device has\n", result.err)


def test_board_does_not_take_another_file_for_its_flash(run, built, model, tmp_path):
    notes = tmp_path / "notes"
    notes.write_text("not a flash")
    result = run("board", model, "--flash", notes)
    assert result.code == 1
    assert re.fullmatch(
        r"error: [^\n]*notes: this is not a virtual board's flash, or one of another version: "
        r"name another file with --flash,"
        r" or delete this one\n",
        result.err,
    )
    assert notes.read_text() == "not a flash"


def damaged(image: bytes, how: str) -> bytes:
    if how == "cut short":
        return image[:-100]
    if how == "a flipped bit":
        return image[:300] + bytes([image[300] ^ 4]) + image[301:]
    return b"not a model"


@pytest.mark.parametrize("how", ["cut short", "a flipped bit", "something else"])
def test_board_refuses_a_damaged_model(how, run, built, image, tmp_path):
    path = tmp_path / "bad.tkws"
    path.write_bytes(damaged(image, how))
    result = run("board", path, "--flash", tmp_path / "flash")
    assert result.code == 1
    assert re.fullmatch(r"error: [^\n]*bad.tkws[^\n]+\n", result.err)
    assert not (tmp_path / "flash").exists()


def test_board_says_how_to_build_it(run, model, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACEKWS_BOARD", str(tmp_path / "none"))
    result = run("board", model, "--flash", tmp_path / "flash")
    assert result.code == 1
    assert re.fullmatch(r"error: [^\n]+make board\n", result.err)


def test_the_flash_file_is_in_the_users_state_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert state_folder() == tmp_path / "state" / "tracekws"
    assert state_folder().is_dir()


def test_demo_without_its_speech_says_so(run, model, tmp_path):
    result = run("demo", "--model", model, "--speech", tmp_path / "none")
    assert result.code == 1
    assert re.fullmatch(r"error: [^\n]+none: no such folder[^\n]+\n", result.err)
