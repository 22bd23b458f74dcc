# SPDX-License-Identifier: Apache-2.0
"""A device is taught again from a profile: the same bits, or as it was before."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from images import image_that_hears_no, image_with_own_words
from loopback_device import Board, Flash, connect
from recordings import write_take
from reference_device import Start
from tracekws.core import Model
from tracekws.device import relearn as relearning
from tracekws.device.device import Device
from tracekws.device.driver import Driver
from tracekws.device.relearn import Relearning, relearn
from tracekws.errors import DataError, ModelError, StorageError, TraceKwsError
from tracekws.learner import Learner
from tracekws.profile import Profile

pytestmark = pytest.mark.usefixtures("users_folder")
Open = Callable[[Model], Device]


A = Model(image_with_own_words(7))
B = Model(image_with_own_words(9, n_neurons=24, n_classes=4))
MOVING = Model(image_with_own_words(11, method=3, passes=3))


@pytest.fixture
def takes(tmp_path: Path) -> Path:
    """Takes of two words that all the models have, of others, and of two more."""
    for word, seeds in {"yes": (1, 2, 3), "no": (4, 5, 6), "_other": (7, 8, 9)}.items():
        for seed in seeds:
            write_take(tmp_path / "known" / word / f"{seed}.wav", seed)
    for word, seeds in {"lamp": (11, 12), "up": (13,)}.items():
        for seed in seeds:
            write_take(tmp_path / word / f"{seed}.wav", seed)
    return tmp_path


@pytest.fixture
def opened(start: Start, tmp_path: Path) -> Iterator[Open]:
    """Devices of a model, each new."""
    devices: list[Device] = []

    def fresh(model: Model) -> Device:
        path = tmp_path / f"{len(devices)}.tkws"
        path.write_bytes(model.image)
        board = start(model=path, flash=tmp_path / f"flash-{len(devices)}")
        devices.append(Device.open(board.port))
        return devices[-1]

    yield fresh
    for device in devices:
        device.close()


def teach_all(device: Device, takes: Path, model: Model, profile: str | None = None) -> None:
    """Adapt, teach a word of one's own and one that `up` is in some models, and adapt again."""
    named = {"model": model, "force": True, "profile": profile}
    device.adapt(takes / "known", **named)
    device.teach("lamp", takes / "lamp", **named)
    device.teach("up", takes / "up", **named)
    write_take(takes / "more" / "no" / "1.wav", 21)
    device.adapt(takes / "more", hold_out=False, **named)


@pytest.mark.parametrize("model", [A, MOVING], ids=["kept takes", "weights that move"])
def test_a_fresh_device_learns_the_same_bits(opened: Open, takes: Path, model: Model) -> None:
    device = opened(model)
    teach_all(device, takes, model, "anna")
    profile = Profile.load("anna")
    others = {} if model is A else {"_other": 2}
    assert profile.words == {"yes": 2, "no": 3, "lamp": 2, "up": 1, **others}
    again = opened(model)
    result = again.learn_profile(profile, model=model, force=True)
    assert again.weights() == device.weights()
    assert again.words() == device.words()
    assert (result.learned, result.refused) == (profile.words, ())
    assert (result.generation, again.info().changed) == (1, False)


@pytest.mark.parametrize("other", [B, MOVING], ids=["fewer words", "weights that move"])
def test_another_model_learns_what_the_takes_would_have_taught_it(
    opened: Open, takes: Path, other: Model
) -> None:
    teach_all(opened(MOVING), takes, MOVING, "anna")
    again, plain = opened(other), opened(other)
    result = again.learn_profile(Profile.load("anna"), model=other, force=True)
    teach_all(plain, takes, other)
    assert again.weights() == plain.weights()
    assert list(again.words()) == (["lamp", "up"] if other is B else ["lamp"])
    assert result.learned.get("_other") == (None if other is B else 2)


def test_a_model_that_is_not_known_is_asked_for(
    opened: Open, takes: Path, users_folder: Path
) -> None:
    device = opened(A)
    Profile(1).save("bert")
    for use in (
        lambda: device.adapt(takes / "known", profile="anna"),
        lambda: device.teach("lamp", takes / "lamp", profile="anna", model=B),
        lambda: device.learn_profile(Profile.load("bert"), model=B),
    ):
        with pytest.raises(ModelError, match=r"random with CRC [0-9a-f]{8}.*--model"):
            use()
    with pytest.raises(DataError, match="another front end"):
        device.learn_profile(Profile.load("bert"), model=A)
    assert not device.info().changed
    assert Profile.names() == ["bert"]


def test_what_a_device_is_not_taught_is_not_kept(opened: Open, takes: Path) -> None:
    device = opened(A)
    named = {"model": A, "force": True, "profile": "anna"}
    for wrong in (
        lambda: device.teach("two words", takes / "lamp", **named),
        lambda: device.teach("_unknown_", takes / "lamp", **named),
        lambda: device.adapt(takes / "nowhere", **named),
        lambda: device.adapt(takes / "known", before_save=refuse, **named),
    ):
        with pytest.raises(TraceKwsError):
            wrong()
    assert Profile.names() == []
    assert not device.info().changed


def refuse(result: object) -> None:
    raise DataError("standard output cannot be written")


def test_a_profile_that_cannot_be_written_leaves_the_device(
    opened: Open, takes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = opened(A)

    def full(path: Path, content: bytes, private: bool) -> None:
        raise DataError("no space is left")

    monkeypatch.setattr("tracekws.profile.write", full)
    with pytest.raises(DataError, match="no space"):
        device.adapt(takes / "known", model=A, force=True, profile="anna")
    with pytest.raises(DataError, match="no space"):
        device.teach("lamp", takes / "lamp", model=A, profile="anna")
    about = device.info()
    assert (about.generation, about.changed) == (0, False)


def test_takes_are_added_unless_the_device_is_to_forget(opened: Open, takes: Path) -> None:
    device = opened(A)
    teach_all(device, takes, A, "anna")
    once = device.weights()
    device.teach("radio", takes / "lamp", model=A)
    profile = Profile.load("anna")
    more = device.learn_profile(profile, model=A, force=True)
    assert "counts twice" in more.warnings[0]
    assert {one.word: one.takes for one in device.words().values()} == {"lamp": 4, "radio": 2}
    anew = device.learn_profile(profile, model=A, force=True, forget_first=True)
    assert anew.warnings == ()
    assert anew.generation == 1
    assert device.weights() == once


def test_a_take_is_taught_a_device_once(opened: Open, takes: Path) -> None:
    device = opened(A)
    named = {"model": A, "profile": "anna"}
    once = device.teach("lamp", takes / "lamp", **named)
    assert (once.takes, len(once.warnings)) == (2, 0)
    learned = device.weights()
    with pytest.raises(DataError, match=r"nothing new .* anna has lamp/11.wav, lamp/12.wav"):
        device.teach("lamp", takes / "lamp", **named)
    assert device.weights() == learned
    write_take(takes / "lamp" / "14.wav", 14)
    more = device.teach("lamp", takes / "lamp", **named)
    assert (more.learned, more.takes) == (1, 3)
    told = "not taught again, since the profile anna has it, is lamp/11.wav, lamp/12.wav: --force"
    assert more.warnings[0].startswith(told)
    assert Profile.load("anna").words == {"lamp": 3}
    plain = opened(A)
    plain.teach("lamp", takes / "lamp", model=A)
    assert device.words() == plain.words()
    assert device.teach("lamp", takes / "lamp" / "11.wav", force=True, **named).takes == 4
    assert device.teach("lamp", takes / "lamp" / "11.wav", model=A).takes == 5
    device.forget_word("lamp")
    assert device.teach("lamp", takes / "lamp", **named).takes == 3, "it has forgotten them"


# --- what fails changes nothing -------------------------------------------------------------------


@pytest.fixture
def wrong_words(takes: Path) -> Profile:
    """A profile of takes that a model hears as `no`, but for its own words."""
    learner = Learner(A)
    with_sound = [("yes", seed) for seed in (1, 2, 3)] + [("no", 4)]
    learner.learn(
        [(word, sound(takes / "known" / word / f"{seed}.wav")) for word, seed in with_sound],
        force=True,
        profile="anna",
    )
    learner.teach("lamp", [sound(takes / "lamp" / "11.wav")], profile="anna")
    return Profile.load("anna")


def sound(path: Path) -> np.ndarray:
    return np.asarray(soundfile.read(path, dtype="int16")[0])


@pytest.mark.parametrize("forget_first", [False, True], ids=["added", "forgotten first"])
def test_takes_that_most_sound_wrong_are_refused_as_a_whole(
    folder: Path, wrong_words: Profile, forget_first: bool
) -> None:
    model, flash = Model(image_that_hears_no()), Flash()
    device = connect(Board(folder, model.image, flash=flash))
    relearn(device, wrong_words, model, words=["lamp"])
    before, raw = device.weights(), bytes(flash.data)
    with pytest.raises(DataError, match="3 of 5 takes"):
        relearn(device, wrong_words, model, forget_first=forget_first)
    assert (device.weights(), bytes(flash.data)) == (before, raw)
    less = wrong_words.without("yes", 3)
    told = relearn(device, less, model, forget_first=forget_first)
    assert told.refused == ("yes 1", "yes 2")
    assert told.learned == {"yes": 0, "no": 1, "lamp": 1}
    assert "another word, or like none: yes 1, yes 2" in told.warnings[0]


def test_there_is_room_or_nothing_changes(folder: Path, wrong_words: Profile) -> None:
    model = Model(image_with_own_words(7, n_words=1))
    device = connect(Board(folder, model.image, flash=Flash()))
    relearn(device, wrong_words, model, words=["lamp"], force=True)
    relearn(device, wrong_words, model, words=["lamp"], force=True)
    assert device.words()["lamp"].takes == 2
    device.forget_word("lamp")
    other = Profile(wrong_words.front_end).plus(
        [("radio", wrong_words.takes[-1].features)], taught=True
    )
    relearn(device, other, model)
    before = device.weights()
    with pytest.raises(DataError, match="no room for 'lamp': the device has 1 words of your own"):
        relearn(device, wrong_words, model, force=True)
    assert device.weights() == before
    relearn(device, wrong_words, model, force=True, forget_first=True)
    assert list(device.words()) == ["lamp"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, DataError])
def test_what_breaks_off_between_two_sessions_takes_nothing_in(
    folder: Path,
    wrong_words: Profile,
    kind: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = connect(Board(folder, A.image, flash=Flash()))
    before = device.weights()
    repeat, done = relearning._repeat, []

    def once(device: Driver, *given: object) -> list[str]:
        if done:
            assert device.weights() != before
            raise kind
        done.append(True)
        return repeat(device, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(relearning, "_repeat", once)
    with pytest.raises(kind):
        relearn(device, wrong_words, A, force=True)
    monkeypatch.setattr(relearning, "_repeat", repeat)
    assert device.weights() == before
    assert not device.info().changed
    with pytest.raises(DataError, match="standard output"):
        relearn(device, wrong_words, A, force=True, before_save=refuse)
    assert device.weights() == before


class Worn(Flash):
    """Flash that refuses all from a moment on."""

    is_worn = False

    def fails(self) -> bool:
        return super().fails() or self.is_worn


def test_flash_that_fails_leaves_the_device_at_what_was_saved(
    folder: Path, wrong_words: Profile
) -> None:
    flash = Worn()
    device = connect(Board(folder, A.image, flash=flash))
    relearn(device, wrong_words, A, words=["no"], force=True)
    before = device.weights()
    flash.is_worn = True
    with pytest.raises(StorageError):
        relearn(device, wrong_words, A, force=True)
    flash.is_worn = False
    assert device.weights() == before
    assert relearn(device, wrong_words, A, force=True).generation == 2


def test_what_is_not_saved_is_said(folder: Path, wrong_words: Profile) -> None:
    device = connect(Board(folder, A.image, flash=Flash()))
    told: list[Relearning] = []
    result = relearn(device, wrong_words, A, force=True, save=False, before_save=told.append)
    assert told == [result]
    assert (result.generation, device.info().changed) == (None, True)


@contextmanager
def counted(board: Board) -> Iterator[list[int]]:
    """Bytes that the host sends."""
    sent: list[int] = []
    write = board.write

    def count(data: bytes) -> None:
        sent.append(len(data))
        write(data)

    board.write = count  # type: ignore[method-assign]
    yield sent


def test_takes_go_over_the_line_as_features(folder: Path, wrong_words: Profile) -> None:
    board = Board(folder, A.image, flash=Flash())
    device = connect(board)
    with counted(board) as sent:
        relearn(device, wrong_words, A, force=True)
    content = sum(len(take.content) for take in wrong_words.takes)
    assert content < sum(sent) < 1.2 * content


def test_what_the_guard_refuses_of_a_folder_it_refuses_of_its_profile(
    opened: Open, takes: Path
) -> None:
    model = Model(image_that_hears_no())
    device, again = opened(model), opened(model)
    first = device.adapt(takes / "known", hold_out=False, model=model, profile="anna")
    assert first.learned == {"no": 3}
    result = again.learn_profile(Profile.load("anna"), model=model)
    assert result.refused == ("yes 1", "yes 2", "yes 3")
    assert again.weights() == device.weights()
