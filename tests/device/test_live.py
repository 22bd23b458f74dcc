# SPDX-License-Identifier: Apache-2.0
"""The board's own microphone: what it hears is what a stream would, and nothing else leaves it."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference_device as reference
from host_cli import HANG_SECONDS
from images import make_image
from loopback_device import Board, Flash, Lossy, connect
from reference_device import Start
from tracekws.device import protocol
from tracekws.device.driver import Driver, Event, LiveReport
from tracekws.errors import DeviceError, TraceKwsError, code

Make = Callable[..., Board]


@pytest.fixture
def make(folder: Path, image: bytes, pcm: np.ndarray) -> Make:
    def board(**options: Any) -> Board:
        options.setdefault("sound", pcm)
        return Board(folder, options.pop("image", image), **options)

    return board


def hear(device: Driver, seconds: float) -> list[LiveReport]:
    found: list[LiveReport] = []
    with closing(device.listen_live(interval=0)) as live:
        for heard in live:
            found.append(heard)
            if heard.seconds >= seconds:
                break
    return found


def events(heard: list[LiveReport]) -> list[Event]:
    return [event for one in heard for event in one.events]


@pytest.mark.parametrize("burst", [1, 79, 1600])
def test_it_hears_as_in_a_stream(make: Make, image: bytes, pcm: np.ndarray, burst: int) -> None:
    sound = pcm[: 600 * burst]
    board = make(burst=burst, sound=sound)
    heard = hear(connect(board), min(len(sound), 48000) / 16000)
    assert events(heard) == reference.events(image, sound)
    assert {(one.overruns, one.missed) for one in heard} == {(0, 0)}
    assert len(heard) > 10
    assert not board.runs, "the microphone is stopped with the session"


def test_events_that_nobody_asks_for_are_counted(make: Make, image: bytes, pcm: np.ndarray) -> None:
    expected = reference.events(image, pcm)
    assert len(expected) > 20
    heard = hear(connect(make(burst=48000)), 3)
    assert events(heard) == expected[-8:]
    assert sum(one.missed for one in heard) == len(expected) - 8


def test_lost_samples_are_counted(make: Make, image: bytes, pcm: np.ndarray) -> None:
    """The stream goes on behind the gap; its clock counts what was heard."""
    overruns = {8000: 1000, 20000: 1}
    without = np.concatenate([pcm[:8000], pcm[9000:20000], pcm[20001:]])
    device = connect(make(overruns=overruns))
    heard = hear(device, len(without) / 16000)
    assert heard[-1].overruns == 2
    assert heard[-1].seconds == len(without) / 16000
    assert events(heard) == reference.events(image, without)
    recording = connect(make(overruns=overruns)).record(len(without) / 16000)
    assert recording.pcm.tolist() == without.tolist()
    assert recording.overruns == 2


@pytest.mark.parametrize(
    ("burst", "n_samples"), [(3, 200), (319, 16000), (1600, 47999), (48000, 48000)]
)
def test_a_recording_is_what_was_heard(
    make: Make, pcm: np.ndarray, burst: int, n_samples: int
) -> None:
    board = make(burst=burst)
    device = connect(board)
    recording = device.record(n_samples / 16000)
    assert recording.pcm.tolist() == pcm[:n_samples].tolist()
    assert recording.overruns == 0
    assert not board.runs


def test_the_device_is_as_it_was_after_a_recording(make: Make, pcm: np.ndarray) -> None:
    """The recording uses the learner's memory: the next session does not notice."""
    device, other = connect(make(flash=Flash())), connect(make(flash=Flash()))
    other.record(1)
    for one in (device, other):
        with one.learn(3) as session:
            session.take_pcm("yes", pcm, 32767)
    assert device.weights() == other.weights()
    assert device.classify(pcm)[1].tolist() == other.classify(pcm)[1].tolist()


@pytest.mark.parametrize("sound", [np.zeros(0, np.int16), np.ones(100, np.int16)])
def test_a_microphone_that_gives_nothing(make: Make, sound: np.ndarray) -> None:
    board = make(sound=sound)
    with pytest.raises(DeviceError, match="the microphone does not answer"):
        connect(board).record(1)
    assert not board.runs


@pytest.mark.parametrize("end", [protocol.END, protocol.ABORT, None])
def test_nothing_recorded_stays_in_memory(make: Make, end: int | None) -> None:
    board = make(sound=np.full(48000, 0x5C5C, np.int16), memories=(20000, 4096))
    ask = Asker(board)
    assert ask(protocol.RECORD) == (0, b"")
    ask(protocol.INFO)

    def memory() -> bytes:
        return b"".join(bytes(board.ffi.buffer(m)) for m in (*board.memories, board.app_memory))

    assert len(ask(protocol.READ_PCM, bytes(8))[1]) > 600
    assert memory().count(b"\x5c" * 600) >= 3
    if end is None:
        board.lose_host()
    else:
        assert ask(end)[0] == 0
    assert b"\x5c" * 8 not in memory()


class Asker:
    """Requests by hand."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.number = 0

    def __call__(self, command: int, body: bytes = b"") -> tuple[int, bytes]:
        self.number += 1
        self.board.write(protocol.request(command, self.number, body))
        parsed = [protocol.parse(m) for m in protocol.FrameReader().push(self.board.read())]
        (answer,) = [m for m in parsed if m and m.kind != protocol.WORKING]
        return answer.status, answer.body


def test_sound_leaves_in_a_recording_only(make: Make) -> None:
    """In every other session, and without one, READ_PCM is refused and no answer carries sound."""
    sound = np.full(48000, 0x5C5C, np.int16)
    features = protocol.pack_take(2, 3, 9, "yes")
    load = protocol.pack_load(5000, 0)
    sessions: list[list[tuple[int, bytes]]] = [
        [],
        [(protocol.LISTEN, b"")],
        [(protocol.CLASSIFY, b"")],
        [(protocol.LEARN, bytes(4)), (protocol.TAKE, features)],
        [(protocol.LOAD, load)],
        [(protocol.LIVE, b"")],
    ]
    for opening in sessions:
        board = make(sound=sound, flash=Flash(area=8192))
        ask = Asker(board)
        for command, body in opening:
            assert ask(command, body)[0] == 0
        for command in range(1, 0x40):
            if command in (protocol.HELLO, protocol.ABORT, protocol.END, protocol.RECORD):
                continue
            for body in (b"", bytes(4), bytes(6), bytes(8)):
                assert b"\x5c\x5c" not in ask(command, body)[1]
        assert ask(protocol.READ_PCM, bytes(8))[0] == code("STATE")


def test_reading_by_position(make: Make) -> None:
    sound = np.arange(1, 48001).astype(np.int16)
    ask = Asker(make(sound=sound, burst=1000))

    def read(received: int, position: int) -> list[int]:
        status, body = ask(protocol.READ_PCM, protocol.pack_read_pcm(received, position))
        assert status == 0
        overruns, first, data = protocol.parse_pcm(body)
        assert (overruns, first) == (0, position % (1 << 32))
        return np.frombuffer(data, "<i2").tolist()

    assert ask(protocol.RECORD)[0] == 0
    ask(protocol.INFO)
    assert read(0, 0)[:3] == [1, 2, 3]
    assert read(0, 0)[:3] == [1, 2, 3], "asking does not take"
    assert len(read(0, 320)) == 320
    assert read(0, 320)[0] == 321
    assert read(0, 1 << 20) == [], "not recorded yet"
    assert read(320, 320)[0] == 321
    assert read(320, 0) == [], "acknowledged: gone"
    assert read(0, 320)[0] == 321, "an old acknowledgement changes nothing"
    assert read(1 << 30, 320)[0] == 321, "nor does one of what was never recorded"
    assert read(0xFFFFFFFF, 0xFFFFFFFF) == []


def test_a_ring_that_is_full_waits(make: Make) -> None:
    """Nothing is taken from the microphone that there is no room for, and nothing overwritten."""
    sound = np.arange(1, 48001).astype(np.int16)
    board = make(sound=sound, burst=48000)
    ask = Asker(board)
    ask(protocol.RECORD)
    for _ in range(3):
        ask(protocol.POLL, bytes(4))
    held = board.n_heard
    assert 2048 <= held < 10000
    position, got = 0, []
    while position < held:
        body = ask(protocol.READ_PCM, protocol.pack_read_pcm(0, position))[1]
        got += np.frombuffer(protocol.parse_pcm(body)[2], "<i2").tolist()
        position = len(got)
    assert got == sound[:held].tolist()
    assert board.n_heard == held


@pytest.mark.parametrize(
    ("opening", "command", "body", "error"),
    [
        ([], protocol.POLL, bytes(4), "STATE"),
        ([], protocol.READ_PCM, bytes(8), "STATE"),
        ([protocol.LIVE], protocol.LIVE, b"", "BUSY"),
        ([protocol.LIVE], protocol.RECORD, b"", "BUSY"),
        ([protocol.RECORD], protocol.LEARN, bytes(4), "BUSY"),
        ([protocol.RECORD], protocol.LISTEN, b"", "BUSY"),
        ([protocol.RECORD], protocol.SAVE, b"", "BUSY"),
        ([protocol.LISTEN], protocol.LIVE, b"", "BUSY"),
        ([protocol.LIVE], protocol.DATA, bytes(10), "STATE"),
        ([protocol.RECORD], protocol.DATA, bytes(10), "STATE"),
        ([protocol.LIVE], protocol.READ_PCM, bytes(8), "STATE"),
        ([protocol.RECORD], protocol.POLL, bytes(4), "STATE"),
        ([protocol.LIVE], protocol.POLL, bytes(3), "LENGTH"),
        ([protocol.RECORD], protocol.READ_PCM, bytes(7), "LENGTH"),
        ([protocol.LIVE], protocol.POLL, b"\xff" * 4, "ARGUMENT"),
        ([protocol.LIVE], protocol.TAKE_END, b"", "STATE"),
    ],
)
def test_refusals(make: Make, opening: list[int], command: int, body: bytes, error: str) -> None:
    board = make()
    ask = Asker(board)
    for opener in opening:
        assert ask(opener)[0] == 0
    session = protocol.parse_info(ask(protocol.INFO)[1]).session
    assert ask(command, body) == (code(error), b"")
    assert protocol.parse_info(ask(protocol.INFO)[1]).session == session
    assert ask(protocol.END if opening else protocol.ABORT)[0] == 0
    assert not board.runs


def test_a_board_without_a_microphone(make: Make) -> None:
    device = connect(make(sound=None))
    for action in (lambda: device.record(1), lambda: next(device.listen_live())):
        with pytest.raises(DeviceError, match="this board has no microphone") as refused:
            action()
        assert refused.value.name == "UNSUPPORTED"
    assert not device._hello.capabilities & 32
    assert connect(make())._hello.capabilities & 32


def test_a_microphone_that_does_not_start(make: Make, pcm: np.ndarray) -> None:
    board = make(deaf=True)
    device = connect(board)
    for action in (lambda: device.record(1), lambda: next(device.listen_live())):
        with pytest.raises(DeviceError, match="the microphone does not answer") as refused:
            action()
        assert refused.value.name == "MICROPHONE"
    device.classify(pcm)


def test_a_line_that_is_closed_stops_the_microphone(make: Make) -> None:
    board = make()
    for command in (protocol.LIVE, protocol.RECORD):
        assert Asker(board)(command)[0] == 0
        assert board.runs
        board.lose_host()
        assert not board.runs
        assert Asker(board)(command)[0] == 0
        connect(board)
        assert not board.runs, "a new host's HELLO too"


@pytest.mark.parametrize("seed", range(6))
def test_a_bad_line_loses_nothing(make: Make, image: bytes, pcm: np.ndarray, seed: int) -> None:
    line = Lossy(make(burst=320), seed)
    # repeats come after two hundredths of a second, in which the board hears on
    device = connect(line)
    assert device.record(2.5).pcm.tolist() == pcm[:40000].tolist()
    assert line.n_faults > 10


def test_hear_on_a_bad_line(make: Make, image: bytes, pcm: np.ndarray) -> None:
    quiet = make_image(
        seed=24, n_neurons=16, arrays={"word_threshold": np.zeros(5)}, refractory_steps=25
    )
    expected = reference.events(quiet, pcm)
    assert len(expected) > 2
    line = Lossy(make(image=quiet, burst=320), 3)
    heard = hear(connect(line), 3)
    assert events(heard) == expected
    assert line.n_faults > 5


@settings(deadline=None, derandomize=True, max_examples=60)
@given(data=st.data())
def test_any_requests(folder: Path, image: bytes, pcm: np.ndarray, data: st.DataObject) -> None:
    """In any order: answered, nothing written out of place, the microphone on when it should be."""
    board = Board(folder, image, Flash(area=8192), (16384, 4096), sound=np.tile(pcm, 4), burst=400)
    ask = Asker(board)
    small = st.integers(0, 2000)
    requests = st.one_of(
        st.tuples(st.integers(1, 0x25), st.binary(max_size=20)),
        st.tuples(st.sampled_from([protocol.LIVE, protocol.RECORD, protocol.END]), st.just(b"")),
        st.tuples(st.just(protocol.READ_PCM), st.builds(protocol.pack_read_pcm, small, small)),
        st.tuples(st.just(protocol.POLL), st.builds(protocol.pack_poll, st.integers(0, 20))),
        st.tuples(st.just(protocol.LOAD), st.builds(protocol.pack_load, small, st.just(0))),
        st.tuples(
            st.just(protocol.DATA),
            st.builds(protocol.pack_data, st.integers(0, 4), st.just(0), st.just(bytes(512))),
        ),
    )
    for command, body in data.draw(st.lists(requests, min_size=5, max_size=50)):
        status, _ = ask(command, body)
        assert status == 0 or -95 <= status < 0
        session = protocol.parse_info(ask(protocol.INFO)[1]).session
        assert board.runs == (session in (5, 6))
    assert board.is_intact()
    board.lose_host()
    assert not board.runs


# --- the virtual board's, which hears as fast as it is asked --------------------------------------


@pytest.fixture
def sound(pcm: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "sound.raw"
    path.write_bytes(pcm.astype("<i2").tobytes())
    return path


@pytest.fixture
def live(start: Start, sound: Path) -> Iterator[Driver]:
    board = start(extra=["--microphone", str(sound), "--by-requests"])
    with Driver.open(board.port) as device:
        yield device


def test_the_virtual_microphone_is_recorded_from_where_it_stopped(
    live: Driver, pcm: np.ndarray
) -> None:
    first = live.record(0.25)
    second = live.record(3)
    assert (first.overruns, second.overruns) == (0, 0)
    assert first.pcm.tolist() == pcm[:4000].tolist()
    where = (i for i in range(4000, 47950) if (pcm[i : i + 50] == second.pcm[:50]).all())
    assert second.pcm.tolist() == np.roll(pcm, -next(where)).tolist(), "and over and over"


def test_the_virtual_microphone_waits_for_requests(start: Start, sound: Path) -> None:
    """Each brings 50 ms, heard after its answer; that nobody asks loses nothing."""
    board = start(extra=["--microphone", str(sound), "--by-requests"])
    with Driver.open(board.port, HANG_SECONDS) as device, closing(device.listen_live(0)) as live:
        for n_before, heard in zip(range(10), live, strict=False):
            assert heard.seconds <= 0.05 * n_before + 1e-9
            assert heard.overruns == 0
        heard = next(one for one in live if one.seconds > 1)
        assert heard.overruns == 0


def test_the_virtual_microphone_is_heard(
    start: Start, sound: Path, pcm: np.ndarray, tmp_path: Path
) -> None:
    quiet = make_image(
        seed=24, n_neurons=16, arrays={"word_threshold": np.zeros(5)}, refractory_steps=25
    )
    model = tmp_path / "quiet.tkws"
    model.write_bytes(quiet)
    board = start(model=model, extra=["--microphone", str(sound), "--by-requests"])
    with Driver.open(board.port) as device:
        heard = hear(device, 3)
    expected = [event for event in reference.events(quiet, pcm) if event.end <= heard[-1].seconds]
    assert [event for event in events(heard) if event.end <= 3] == expected
    assert heard[-1].overruns == 0


def test_a_microphone_without_samples(start: Start, tmp_path: Path) -> None:
    for content in (None, b""):
        path = tmp_path / "none.raw"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(TraceKwsError, match=r"none\.raw: (No such file|the file is empty)"):
            start(extra=["--microphone", str(path)])


@pytest.fixture(scope="session")
def choosy() -> bytes:
    """An image whose thresholds matter: half of all events are below them."""
    fields = {"smoothing_shift": 0, "refractory_steps": 0, "window_steps": 2}
    thresholds = {"word_threshold": np.full(5, 13000)}
    return make_image(seed=24, n_neurons=16, arrays=thresholds, **fields)


def test_a_sensitivity_holds_for_one_session(make: Make, choosy: bytes, pcm: np.ndarray) -> None:
    expected = [reference.events(choosy, pcm, odds) for odds in (16384, 1024, 256, 64, 4)]
    assert len({len(events) for events in expected}) == 4
    device = connect(make(image=choosy))
    for level, events in zip((-6, -2, 0, 2, 6), expected, strict=True):
        assert list(device.listen([pcm], level)) == events
        assert list(device.listen([pcm])) == expected[2], "nothing of it is kept"


def test_words_by_themselves_hold_for_one_session(make: Make, pcm: np.ndarray) -> None:
    """Sound between stretches that are nearly quiet."""
    fields = {"smoothing_shift": 0, "refractory_steps": 0, "window_steps": 2}
    image = make_image(seed=24, n_neurons=16, arrays={"word_threshold": np.zeros(5)}, **fields)
    quiet = pcm[:12000] // 1000
    sound = np.concatenate([x for part in np.split(pcm, 4) for x in (part, quiet)])
    expected = {
        isolated: reference.events(image, sound, isolated=isolated) for isolated in (True, False)
    }
    assert 0 < len(expected[True]) < len(expected[False])
    device = connect(make(image=image))
    for isolated, events in expected.items():
        assert list(device.listen([sound], isolated=isolated)) == events
        assert list(device.listen([sound])) == expected[False], "the model's own is kept"


def test_a_sensitivity_of_the_boards_own_microphone(
    make: Make, choosy: bytes, pcm: np.ndarray
) -> None:
    for level, odds in ((-2, 1024), (0, 256), (2, 64)):
        found: list[Event] = []
        device = connect(make(image=choosy, burst=800))
        with closing(device.listen_live(interval=0, sensitivity=level)) as live:
            for heard in live:
                found += heard.events
                if heard.seconds >= 3:
                    break
        assert found == reference.events(choosy, pcm, odds)


@pytest.mark.parametrize("command", [protocol.LISTEN, protocol.LIVE])
@pytest.mark.parametrize(
    ("body", "name"),
    [(b"\0", "LENGTH"), (bytes(2), "ARGUMENT"), (b"\0\1\0\0", "LENGTH"), (b"\0\1\3", "ARGUMENT")],
)
def test_a_wrong_sensitivity_opens_no_session(
    make: Make, command: int, body: bytes, name: str
) -> None:
    board = make()
    ask = Asker(board)
    assert ask(command, body) == (code(name), b"")
    assert not board.runs
    assert ask(protocol.END)[0] == code("STATE")
    assert ask(command, b"\0\1")[0] == 0
