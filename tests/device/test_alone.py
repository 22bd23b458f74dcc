# SPDX-License-Identifier: Apache-2.0
"""A board that listens without a host: words, its button, hosts that come and go.

Speech is the package's own, and the model base: the words are real ones.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from images import make_image
from loopback_device import Board, Flash, connect
from toolchain import ROOT
from tracekws.audio import read_clip
from tracekws.core import Model
from tracekws.device import protocol
from tracekws.device.driver import Driver
from tracekws.errors import DeviceError
from tracekws.recognizer import Recognizer

SPEECH = ROOT / "examples" / "speech"
YELLOW = [SPEECH / f"yellow-{number}.flac" for number in (1, 2, 3)]
RATE = 16000
CHUNK = 40
"""Samples that the application takes at a time: what is counted in them is late by so many."""
PULSE = 1600
SILENCE = 60
"""Seconds without a request after which a host has gone."""
SLOT = 128 * 1024
HOLD = (RATE, 2 * RATE + 8000)
"""Samples in which the button is held for the time that starts a lesson."""
LIT_SECONDS = 2
"""Of the LED, after what went well."""

Make = Callable[..., Board]


BASE = (ROOT / "models" / "base.tkws").read_bytes()


def quiet(seconds: float) -> np.ndarray:
    """A room in which nobody says anything."""
    return np.random.default_rng(1).normal(0, 3, int(seconds * RATE)).astype(np.int16)


def say(*paths: Path, first: float = 1.5, between: float = 1.5) -> np.ndarray:
    """Words with quiet around them."""
    parts = [quiet(first)]
    for path in paths:
        parts += [read_clip(path), quiet(between)]
    return np.concatenate(parts)


def word(name: str, voice: str = "slt", number: int = 1) -> Path:
    return SPEECH / voice / name / f"{number}.flac"


def lesson(*paths: Path) -> np.ndarray:
    """Sound of a lesson that HOLD starts."""
    return say(*paths, first=3)


@pytest.fixture(scope="module")
def base() -> bytes:
    return (ROOT / "models" / "base.tkws").read_bytes()


@pytest.fixture
def make(folder: Path, base: bytes) -> Make:
    def board(sound: np.ndarray, **options: Any) -> Board:
        options.setdefault("memories", (192 * 1024,))
        return Board(folder, options.pop("image", base), sound=sound, alone=True, **options)

    return board


def hear(board: Board, until: int | None = None) -> bytes:
    """Let the board hear its sound, or that until a sample; what it has sent meanwhile."""
    assert board.sound is not None
    sent = b""
    until = len(board.sound) if until is None else until
    board.poll()  # it starts the microphone
    while board.n_heard < until:
        before = board.n_heard
        sent += board.read()
        assert board.n_heard > before, "the microphone does not run"
    return sent


def flashes(board: Board) -> list[tuple[float, float]]:
    """When the LED went on, and for how long, in seconds."""
    ons = [at for at, on in board.lit if on]
    offs = [at for at, on in board.lit if not on]
    assert [on for _, on in board.lit] == [number % 2 == 0 for number in range(len(board.lit))]
    return [(on / RATE, (off - on) / RATE) for on, off in zip(ons, offs, strict=False)]


def went_well(board: Board) -> bool:
    """How the LED says that what was asked for last went; the sound goes on for long enough."""
    lengths = [round(length, 1) for _, length in flashes(board)]
    has_failed = lengths.count(0.1) >= 8
    assert has_failed != (LIT_SECONDS in lengths), lengths
    return not has_failed


def silent_host(board: Board, polls: int = SILENCE + 2) -> None:
    """Time passes in which no request comes."""
    for _ in range(polls):
        board.poll()


# --- listening


def test_it_listens_from_power_on(make: Make, base: bytes) -> None:
    words = [word("no", voice) for voice in ("slt", "awb", "rms")]
    sound = say(*words, word("yes", "rms"))
    board = make(sound)
    sent = hear(board)
    expected = Recognizer(Model(base)).push(sound)
    assert {event.word for event in expected} == {"no", "yes"}
    assert board.told == [(e.word, round(e.score * 32768)) for e in expected]
    lines = "".join(f"heard {e.word} {e.score:.2f}\r\n" for e in expected)
    assert sent.decode() == lines


def test_a_word_raises_the_output_for_a_tenth_of_a_second(make: Make, base: bytes) -> None:
    sound = say(word("no"), word("no", "awb"))
    board = make(sound)
    hear(board)
    ends = [round(event.end * RATE) for event in Recognizer(Model(base)).push(sound)]
    assert len(ends) == 2
    ons = [at for at, on in board.pulsed if on]
    offs = [at for at, on in board.pulsed if not on]
    for end, on, off in zip(ends, ons, offs, strict=True):
        assert end <= on <= end + CHUNK
        assert PULSE - CHUNK <= off - on <= PULSE + CHUNK


def test_the_led_flashes_while_it_listens(make: Make) -> None:
    board = make(quiet(10))
    hear(board)
    assert [(round(at), round(length, 1)) for at, length in flashes(board)] == [
        (0, 0.1),
        (4, 0.1),
        (8, 0.1),
    ]


def test_a_board_with_nothing_wired_to_it_listens(make: Make) -> None:
    board = make(say(word("no")), presses=[HOLD])
    for name in ("on_event", "pulse_set", "led_set", "button_pressed"):
        setattr(board.c, name, board.ffi.NULL)
    assert re.fullmatch(rb"heard no 0\.\d\d\r\n", hear(board))


@pytest.mark.parametrize("burst", [3, 512, 8000])
def test_pieces_of_any_size_are_heard_alike(make: Make, burst: int) -> None:
    sound = say(word("no"))
    board, other = make(sound, burst=burst), make(sound)
    assert hear(board) == hear(other)
    assert board.told == other.told != []


def test_lost_samples_do_not_stop_it(make: Make) -> None:
    board = make(say(word("no")), overruns={4000: 500, 8000: 1})
    assert b"heard no" in hear(board)


def test_without_a_microphone_it_is_a_host_s(folder: Path, image: bytes) -> None:
    board = Board(folder, image, alone=True)
    silent_host(board)
    assert [on for _, on in board.lit] == [True]
    assert connect(board).info().board == "loopback"
    assert [on for _, on in board.lit] == [True, False]


def test_a_deaf_microphone_is_tried_again(make: Make) -> None:
    board = make(say(word("no")), deaf=True)
    silent_host(board, 200)
    assert [on for _, on in board.lit] == [True]
    board.deaf = False
    silent_host(board, 70)
    assert b"heard no" in hear(board)


def test_without_a_model_it_answers_its_host(make: Make) -> None:
    board = make(quiet(1), image=b"no model")
    silent_host(board)
    assert not board.runs
    with pytest.raises(DeviceError):
        connect(board).info()


# --- hosts


def frames(data: bytes) -> list[bytes]:
    return protocol.FrameReader().push(data)


def ask(board: Board, command: int, body: bytes = b"", number: int = 7) -> bytes:
    """What comes back on a request's frame."""
    board.write(protocol.request(command, number, body))
    return board.read()


def test_text_and_frames_share_the_line(make: Make) -> None:
    """The first answer is whole: a 00 ends the text. Without text there is none."""
    board = make(say(word("no")))
    text = hear(board)
    assert b"\0" not in text
    answer = ask(board, protocol.INFO)
    assert answer.startswith(b"\0")
    assert len(frames(text + answer)) == 1
    assert not ask(board, protocol.INFO, number=8).startswith(b"\0")
    fresh = make(quiet(1))
    assert not ask(fresh, protocol.INFO).startswith(b"\0")


def test_a_damaged_frame_does_not_stop_it(make: Make) -> None:
    board = make(say(word("no"), word("no")))
    hear(board, 3 * RATE)
    board.write(b"\5damaged\0")
    sent = hear(board)
    assert b"heard no" in sent
    assert board.runs


def test_a_host_stops_it_and_has_the_board(make: Make, base: bytes) -> None:
    sound = say(word("no"), word("no"), word("no"))
    board = make(sound)
    assert b"heard no" in hear(board, 4 * RATE)
    device = connect(board)
    assert not board.runs
    info = device.info()
    assert not info.changed
    assert not any(on for _, on in board.lit[-1:])
    clip = read_clip(word("yes", "rms"))
    stream = say(word("yes", "rms"))
    assert device.classify(clip)[0] == "yes"
    assert list(device.listen([stream])) == Recognizer(Model(base)).push(stream)
    assert device.words() == {}
    with device.learn(1) as session:
        session.teach_pcm("lamp", clip)
    assert list(device.words()) == ["lamp"]
    device.record(0.1)
    assert len(board.told) == 1


@pytest.mark.parametrize("command", [protocol.HELLO, protocol.INFO, protocol.ABORT])
def test_any_request_stops_it(make: Make, command: int) -> None:
    board = make(quiet(3))
    hear(board, RATE)
    body = b"\2\0" if command == protocol.HELLO else b""
    assert frames(ask(board, command, body))
    assert not board.runs


def test_it_listens_again_when_the_line_is_closed(make: Make) -> None:
    board = make(say(word("no"), word("no", "awb")))
    hear(board, RATE)
    connect(board)
    assert not board.runs
    board.lose_host()
    assert b"heard no" in hear(board)


def in_session(device: Driver, kind: str, clip: np.ndarray) -> Any:
    """Begin something that a host does not end."""
    if kind == "learning":
        session = device.learn(1)
        session.__enter__().teach_pcm("lamp", clip)
        return session
    if kind == "live":
        live = device.listen_live(interval=0)
        next(live)
        return live
    if kind == "listening":
        device._link.request(protocol.LISTEN)
    if kind == "recording":
        device._link.request(protocol.RECORD)
    return None


@pytest.mark.parametrize("kind", ["idle", "listening", "learning", "live", "recording"])
def test_it_listens_again_when_its_host_is_silent(make: Make, kind: str) -> None:
    """By polls, or by its microphone's samples where that runs; for a minute."""
    sound = np.concatenate([quiet(SILENCE + 3), say(word("no"))])
    board = make(sound)
    clip = read_clip(word("yes"))
    device = connect(board)
    before = device.weights()
    session = in_session(device, kind, clip)
    at = board.n_heard
    if kind in ("live", "recording"):
        while not board.told and board.n_heard < len(sound):
            board.read()
        assert board.n_heard - at > SILENCE * RATE
    else:
        for _ in range(SILENCE // 2):
            board.poll()
        assert not board.runs
        silent_host(board)
        assert board.runs
        hear(board)
    assert [told[0] for told in board.told] == ["no"]
    assert connect(board).weights() == before
    del session


def test_a_host_that_asks_now_and_then_keeps_the_board(make: Make) -> None:
    board = make(quiet(1))
    device = connect(board)
    for _ in range(10):
        silent_host(board, SILENCE - 10)
        device.info()
    assert not board.runs


def test_a_host_s_silence_is_not_the_next_one_s(make: Make) -> None:
    """Though both begin with the same bytes."""
    board = make(quiet(1))
    for _ in range(3):
        assert frames(ask(board, protocol.HELLO, b"\2\0"))
        silent_host(board, SILENCE - 10)
        assert not board.runs
        board.lose_host()


def test_the_next_host_may_ask_the_same_and_more_at_once(make: Make) -> None:
    """What the board has heard alone meanwhile is not that host's silence."""
    board = make(quiet(4 * SILENCE))
    both = protocol.request(protocol.HELLO, 1, b"\2\0") + protocol.request(protocol.LIVE, 2)
    for _ in range(2):
        before = board.n_heard
        board.write(both)
        assert [protocol.parse(answer).status for answer in frames(board.read())] == [0, 0]
        board.read()
        if before == 0:
            while board.n_heard < (SILENCE + 3) * RATE:
                board.read()
    board.write(protocol.request(protocol.POLL, 3, bytes(4)))
    assert protocol.parse(frames(board.read())[0]).status == 0


def test_a_host_that_was_let_go_goes_on(make: Make) -> None:
    """It need not know: its next request stops what the board does alone."""
    board = make(say(word("no"), first=2))
    device = connect(board)
    silent_host(board)
    assert board.runs
    hear(board)
    stream = say(word("yes", "rms"))
    assert [event.word for event in device.listen([stream])] == ["yes"]


def test_a_slow_line_is_not_a_silent_host(make: Make) -> None:
    """Where a byte is all that each wake brings, every other poll is quiet."""
    board = make(quiet(1))
    connect(board)
    assert frames(ask(board, protocol.LISTEN))
    pcm = bytes(640)
    for byte in protocol.request(protocol.DATA, 9, bytes(8) + pcm):
        board.write(bytes([byte]))
        assert board.poll() == 1
        board.poll()
    (answer,) = frames(board.read())
    assert protocol.parse(answer).status == 0


# --- the button


def test_three_takes_teach_a_word(make: Make) -> None:
    flash = Flash(2 * SLOT)
    board = make(np.concatenate([lesson(*YELLOW), quiet(2)]), presses=[HOLD], flash=flash)
    assert hear(board) == b""
    assert went_well(board)
    device = connect(board)
    assert {w.word: w.takes for w in device.words().values()} == {"button-1": 3}
    assert (device.info().generation, device.info().changed) == (1, False)
    weights = device.weights()
    again = make(say(YELLOW[0], word("no"), YELLOW[1]), flash=flash)
    hear(again)
    assert [told[0] for told in again.told] == ["button-1", "no", "button-1"]
    assert connect(again).weights() == weights


def test_it_hears_the_word_right_after_the_lesson(make: Make) -> None:
    board = make(np.concatenate([lesson(*YELLOW), say(YELLOW[1])]), presses=[HOLD])
    assert re.fullmatch(rb"heard button-1 0\.\d\d\r\n", hear(board))
    assert connect(board).info().changed, "it has no storage"


def test_the_led_says_when_to_speak(make: Make) -> None:
    """On from the second that the button is held; then before each word, off while it is taken."""
    board = make(np.concatenate([lesson(*YELLOW), quiet(2)]), presses=[HOLD])
    hear(board)
    held, *takes, well = [(at, length) for at, length in flashes(board) if 1 < at < 10]
    assert held[0] == pytest.approx(2, abs=0.1)
    assert held[0] + held[1] == pytest.approx(2.5, abs=0.1)
    starts = [3 + 2.5 * number for number in range(3)]
    for (at, length), start in zip(takes, starts, strict=True):
        assert at < start + 0.2
        assert start < at + length < start + 0.4
    assert well[1] == pytest.approx(LIT_SECONDS, abs=0.1)


def test_the_light_is_of_the_lesson_that_is_asked_for_at_once(make: Make) -> None:
    """What the last one left to show is not taken for a sign to speak."""
    again = (int(9.0 * RATE), int(10.2 * RATE))
    board = make(np.concatenate([lesson(*YELLOW), quiet(5)]), presses=[HOLD, again])
    hear(board)
    ons = [(at, at + length) for at, length in flashes(board)]
    assert any(on < 9.9 < off for on, off in ons), "the button is held"
    assert not any(on < 10.4 < off for on, off in ons), "and let go: it waits for quiet"
    assert any(10.4 < on < 11.5 for on, _ in ons), "it listens"


@pytest.mark.parametrize("at", [2.7, 4.3, 5.4])
def test_samples_that_are_lost_between_takes_do_not_matter(make: Make, at: float) -> None:
    sound = np.concatenate([lesson(*YELLOW), quiet(2)])
    board = make(sound, presses=[HOLD], overruns={int(at * RATE): 800})
    hear(board)
    assert went_well(board)
    assert list(connect(board).words()) == ["button-1"]


def test_words_are_numbered(make: Make) -> None:
    flash = Flash(2 * SLOT)
    second = [SPEECH / "scot" / "stop" / f"{number}.flac" for number in (1, 2, 3)]
    for takes in (YELLOW, second):
        hear(make(lesson(*takes), presses=[HOLD], flash=flash))
    board = make(say(YELLOW[1]), flash=flash)
    hear(board)
    assert [told[0] for told in board.told] == ["button-1"]
    assert list(connect(board).words()) == ["button-1", "button-2"]


def test_a_name_that_the_model_has_is_passed_over(make: Make, base: bytes) -> None:
    board = make(lesson(*YELLOW), presses=[HOLD])
    device = connect(board)
    with device.learn(1) as session:
        session.teach_pcm("button-1", read_clip(word("yes")))
    board.lose_host()
    hear(board)
    assert list(connect(board).words()) == ["button-1", "button-2"]


OTHER = SPEECH / "scot" / "_other"


def click() -> np.ndarray:
    sound = quiet(10)
    sound[4 * RATE : 4 * RATE + 300] = 20000
    return sound


REFUSED: dict[str, dict[str, Any]] = {
    "nothing is said": {"sound": quiet(12)},
    "a click": {"sound": click()},
    "two words": {"sound": lesson(*YELLOW[:2])},
    "a second take of another word": {"sound": lesson(YELLOW[0], OTHER / "dog.flac", YELLOW[1])},
    "a third take of another word": {"sound": lesson(*YELLOW[:2], OTHER / "lamp.flac")},
    "three words": {
        "sound": lesson(*(OTHER / f"{name}.flac" for name in ("table", "water", "window")))
    },
    "a press": {"sound": lesson(*YELLOW), "presses": [HOLD, (5 * RATE, 5 * RATE + 4000)]},
    "a long press": {"sound": lesson(*YELLOW), "presses": [HOLD, (5 * RATE, 7 * RATE)]},
    "lost samples": {"sound": lesson(*YELLOW), "overruns": {57000: 1}},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_lesson_that_is_refused_changes_nothing(make: Make, case: str) -> None:
    options = dict(REFUSED[case])
    sound = np.concatenate([options.pop("sound"), quiet(8)])
    flash = Flash(2 * SLOT)
    before = connect(make(quiet(1))).weights()
    board = make(sound, flash=flash, **{"presses": [HOLD], **options})
    hear(board)
    assert not went_well(board)
    device = connect(board)
    assert device.words() == {}
    assert device.weights() == before
    assert not device.info().changed
    assert set(flash.data) == {0xFF}


def test_it_listens_on_after_a_lesson_that_was_refused(make: Make) -> None:
    board = make(np.concatenate([quiet(12), say(word("no"))]), presses=[HOLD])
    hear(board)
    assert [told[0] for told in board.told] == ["no"]


def test_a_model_without_room_is_taught_nothing(make: Make) -> None:
    small = (ROOT / "models" / "small.tkws").read_bytes()
    board = make(lesson(*YELLOW), presses=[HOLD], image=small)
    hear(board)
    assert not went_well(board)


def test_a_model_that_keeps_no_takes_is_taught_nothing(make: Make) -> None:
    board = make(quiet(6), presses=[HOLD], image=make_image(seed=2))
    hear(board)
    assert not went_well(board)


def test_when_all_words_are_there_no_other_is_taught(make: Make) -> None:
    board = make(lesson(*YELLOW), presses=[HOLD])
    device = connect(board)
    clip = read_clip(word("yes"))
    with device.learn(1) as session:
        for number in range(device.room()):
            session.teach_pcm(f"word{number}", clip)
    before = device.weights()
    board.lose_host()
    hear(board)
    assert not went_well(board)
    assert connect(board).weights() == before


@pytest.mark.parametrize("second", [3.2, 4.5, 7.0, 8.5])
def test_a_host_breaks_a_lesson_off(make: Make, second: float) -> None:
    """Nothing is left of the word, whatever the host asks first."""
    board = make(lesson(*YELLOW), presses=[HOLD], flash=Flash(2 * SLOT))
    hear(board, int(second * RATE))
    device = connect(board)
    assert device.words() == {}
    assert not device.info().changed
    assert device.weights() == connect(make(quiet(1))).weights()
    assert not board.lit[-1][1]
    board.lose_host()
    hear(board)
    assert connect(board).words() == {}


def test_a_lesson_keeps_what_a_host_has_not_saved(make: Make) -> None:
    flash = Flash(2 * SLOT)
    board = make(np.concatenate([lesson(*YELLOW[:2]), quiet(8)]), presses=[HOLD], flash=flash)
    with connect(board).learn(1) as session:
        session.teach_pcm("lamp", read_clip(OTHER / "lamp.flac"))
    board.lose_host()
    hear(board)
    assert not went_well(board)
    device = connect(board)
    assert list(device.words()) == ["lamp"]
    assert device.info().changed


STAYS = (RATE, 7 * RATE)


def taught(make: Make) -> Flash:
    """Flash of a board with two words of the button's and one of its host's."""
    flash = Flash(2 * SLOT)
    device = connect(make(quiet(1), flash=flash))
    with device.learn(1) as session:
        for name in ("button-1", "lamp", "button-2"):
            session.teach_pcm(name, read_clip(OTHER / "lamp.flac"))
    device.save()
    return flash


def test_a_press_of_five_seconds_forgets(make: Make) -> None:
    flash = taught(make)
    board = make(quiet(11), presses=[STAYS], flash=flash)
    hear(board)
    assert went_well(board)
    assert b"button-" not in bytes(flash.data)
    device = connect(board)
    assert list(device.words()) == ["lamp"]
    assert not device.info().changed
    assert list(connect(make(quiet(1), flash=flash)).words()) == ["lamp"]


def test_forgetting_nothing_does_not_wear_the_flash(make: Make) -> None:
    flash = Flash(2 * SLOT)
    board = make(quiet(11), presses=[STAYS], flash=flash)
    hear(board)
    assert went_well(board)
    assert flash.n_operations == 0


SHARES = (0, 0.1, 0.5, 0.6, 1)
"""Where in the operations of the flash one is refused: the first, ... the last."""


@pytest.mark.parametrize("share", SHARES)
def test_flash_that_refuses_a_lesson(make: Make, share: float) -> None:
    """What is in RAM then is what a start finds. The last operation only begins the log."""
    sound = np.concatenate([lesson(*YELLOW), quiet(2)])
    flash = Flash(2 * SLOT)
    hear(make(sound, presses=[HOLD], flash=flash))
    refused = Flash(2 * SLOT, fail_at=1 + int(share * (flash.n_operations - 1)))
    board = make(sound, presses=[HOLD], flash=refused)
    hear(board)
    assert went_well(board) == (share == 1)
    device = connect(board)
    assert not device.info().changed
    assert connect(make(quiet(1), flash=refused)).weights() == device.weights()


@pytest.mark.parametrize("share", SHARES)
def test_flash_that_refuses_to_forget(make: Make, share: float) -> None:
    flash = taught(make)
    n_before = flash.n_operations
    hear(make(quiet(11), presses=[STAYS], flash=flash))
    n_operations = flash.n_operations - n_before
    flash = taught(make)
    flash.fail_at = flash.n_operations + 1 + int(share * (n_operations - 1))
    board = make(quiet(11), presses=[STAYS], flash=flash)
    hear(board)
    assert not went_well(board)
    device = connect(board)
    assert not device.info().changed
    assert connect(make(quiet(1), flash=flash)).weights() == device.weights()


def test_forgetting_that_the_flash_refused_halfway_is_done_the_next_time(make: Make) -> None:
    """Neither slot has the words then."""
    flash = taught(make)
    n_before = flash.n_operations
    hear(make(quiet(11), presses=[STAYS], flash=flash))
    n_operations = flash.n_operations - n_before
    flash = taught(make)
    flash.fail_at = flash.n_operations + n_operations // 2 + 1
    board = make(quiet(11), presses=[STAYS], flash=flash)
    hear(board)
    assert not went_well(board)
    assert b"button-" in bytes(flash.data)
    flash.fail_at = 0
    board = make(quiet(11), presses=[STAYS], flash=flash)
    hear(board)
    assert went_well(board)
    assert b"button-" not in bytes(flash.data)


# --- taking back


def test_two_presses_take_back_what_was_heard(make: Make) -> None:
    """It raises nothing any more, after a restart, too; other words do."""
    sound = say(word("no"), word("no", "awb"), word("no"), word("yes", "rms"))
    first = make(sound)
    heard = hear(first).decode().split()[1::3]
    assert heard.count("no") >= 2
    end = round(Recognizer(Model(BASE)).push(sound)[0].end * RATE)
    twice = [(end + 4000, end + 6000), (end + 9000, end + 11000)]
    flash = Flash(2 * SLOT)
    board = make(np.concatenate([sound, quiet(3)]), presses=twice, flash=flash)
    hear(board)
    assert went_well(board)
    device = connect(board)
    assert (device.taken_back(), device.info().changed, device.info().generation) == (1, False, 1)
    ear = Recognizer(Model(BASE))
    ear.push(sound[:end])
    ear.correct(None)
    assert device.weights() == ear.weights
    again = hear(make(sound, flash=flash)).decode().split()[1::3]
    expected = Recognizer(Model(BASE), ear.weights).push(sound)
    assert again == [event.word for event in expected]
    assert len(again) < len(heard)
    hear(board := make(quiet(11), presses=[STAYS], flash=flash))
    assert went_well(board)
    assert connect(board).taken_back() == 0


def test_two_presses_with_nothing_heard_change_nothing(make: Make) -> None:
    flash = Flash(2 * SLOT)
    board = make(quiet(8), presses=pressed((2, 2.2), (2.5, 2.7)), flash=flash)
    hear(board)
    assert not went_well(board)
    assert flash.n_operations == 0


def test_a_correction_that_the_flash_refuses_is_none(make: Make) -> None:
    sound = say(word("no"), word("no", "awb"), between=4)
    end = round(Recognizer(Model(BASE)).push(sound)[0].end * RATE)
    twice = [(end + 4000, end + 6000), (end + 9000, end + 11000)]
    board = make(sound, presses=twice, flash=Flash(2 * SLOT, fail_at=1))
    hear(board)
    assert not went_well(board)
    device = connect(board)
    assert (device.taken_back(), device.info().changed) == (0, False)


# --- presses


def pressed(*at: tuple[float, float]) -> list[tuple[int, int]]:
    """Seconds from when to when."""
    return [(int(first * RATE), int(end * RATE)) for first, end in at]


NOTHING = {
    "a short press": pressed((1, 1.2)),
    "bounces": pressed(*((1 + 0.03 * i, 1.02 + 0.03 * i) for i in range(100))),
    "two presses far apart": pressed((1, 1.2), (2, 2.2)),
    "almost long": pressed((1, 1.95)),
}


@pytest.mark.parametrize("case", NOTHING)
def test_presses_that_mean_nothing(make: Make, case: str) -> None:
    board, other = make(quiet(8), presses=NOTHING[case]), make(quiet(8))
    hear(board)
    hear(other)
    assert board.lit == other.lit


@pytest.mark.parametrize("bounce", [0.005, 0.03])
def test_a_press_that_bounces_is_one(make: Make, bounce: float) -> None:
    first, end = (n / RATE for n in HOLD)
    presses = pressed(
        (first - 3 * bounce, first - 2 * bounce),
        (first - bounce, first - bounce / 2),
        (first, end),
        (end + bounce, end + 2 * bounce),
    )
    board = make(np.concatenate([lesson(*YELLOW), quiet(2)]), presses=presses)
    hear(board)
    assert went_well(board)
    assert list(connect(board).words()) == ["button-1"]
