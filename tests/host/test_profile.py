# SPDX-License-Identifier: Apache-2.0
"""Profiles: their files, what is kept in them, and that a model learns of them what it had."""

import struct
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from images import image_that_hears_no, image_with_own_words, make_image
from recordings import changing_noise
from tracekws.core import FeatureConfig, Model, features
from tracekws.errors import DataError, TraceKwsError
from tracekws.files import state_folder
from tracekws.learner import Learner
from tracekws.profile import MOST_BYTES, KeptTake, Profile, begun, changing, front_end_crc, keep
from tracekws.renditions import renditions, take_features

pytestmark = pytest.mark.usefixtures("users_folder")
PCM = changing_noise(60, 1600)


A = Model(image_with_own_words(7))
B = Model(image_with_own_words(9, n_neurons=24, n_classes=4))
"""Without the word `up`."""
MOVING = Model(image_with_own_words(11, method=3, passes=3))
"""Its weights move."""
OTHER_FRONT_END = Model(image_with_own_words(7, mean_shift=5))


def cut(number: int) -> np.ndarray:
    return np.asarray(PCM[3000 * number : 3000 * number + 9001])


KEYWORDS = [("yes", 0), ("no", 1), ("yes", 2), ("up", 3)]
OWN = [("lamp", [4, 5]), ("yes", [6]), ("Tür", [7])]


def sounds(takes: Sequence[tuple[str, int]]) -> list[tuple[str, np.ndarray]]:
    return [(word, cut(number)) for word, number in takes]


def taught(model: Model, profile: str | None = "anna") -> Learner:
    """A learner that adapts, is taught words, and adapts once more."""
    learner = Learner(model)
    learner.learn(sounds(KEYWORDS), force=True, profile=profile)
    for word, numbers in OWN:
        learner.teach(word, [cut(number) for number in numbers], force=True, profile=profile)
    learner.learn(sounds([("no", 8), ("yes", 9)]), force=True, profile=profile)
    return learner


def test_a_model_learns_the_same_bits_again() -> None:
    learner = taught(A)
    profile = Profile.load("anna")
    assert profile.words == {"yes": 4, "no": 2, "up": 1, "lamp": 2, "Tür": 1}
    again = Learner(A)
    assert again.learn_profile(profile, force=True) == ()
    assert again.weights == learner.weights
    assert again.weights != Learner(A).weights
    assert list(again.words) == ["lamp", "Tür"]


def test_another_model_learns_what_the_takes_would_have_taught_it() -> None:
    taught(A)
    again = Learner(B)
    again.learn_profile(Profile.load("anna"), force=True)
    learner = Learner(B)
    learner.learn(sounds([take for take in KEYWORDS if take[0] != "up"]), force=True)
    for word, numbers in [("up", [3]), *OWN]:
        learner.teach(word, [cut(number) for number in numbers], force=True)
    learner.learn(sounds([("no", 8), ("yes", 9)]), force=True)
    assert again.weights == learner.weights
    assert list(again.words) == ["up", "lamp", "Tür"]


def test_a_model_whose_weights_move_learns_other_words_too() -> None:
    takes = sounds([*KEYWORDS, ("_unknown_", 5), ("_silence_", 6)])
    Learner(MOVING).learn(takes, profile="anna")
    profile = Profile.load("anna")
    assert profile.words == {"yes": 2, "no": 1, "up": 1, "_other": 1}, "silence is nobody's"
    learner, again = Learner(MOVING), Learner(MOVING)
    learner.learn(takes[:-1])
    again.learn_profile(profile)
    assert again.weights == learner.weights
    keeping, plain = Learner(A), Learner(A)
    keeping.learn_profile(profile, force=True)
    plain.learn(takes[: len(KEYWORDS)], force=True)
    assert keeping.weights == plain.weights


def test_words_may_be_chosen() -> None:
    taught(A)
    some, same = Learner(A), Learner(A)
    some.learn_profile(Profile.load("anna"), ["lamp", "T\u0075\u0308r"], force=True)
    for word, numbers in OWN:
        if word != "yes":
            same.teach(word, [cut(number) for number in numbers])
    assert some.weights == same.weights
    with pytest.raises(DataError, match="no word 'radio'; it has yes, no, up, lamp, Tür"):
        some.learn_profile(Profile.load("anna"), ["lamp", "radio"])
    assert some.weights == same.weights


def test_takes_that_sound_like_another_word_are_refused_by_name() -> None:
    model = Model(image_that_hears_no())
    takes = sounds([("no", 0), ("yes", 1), ("no", 2), ("no", 3), ("yes", 4)])
    learner = Learner(model)
    assert learner.learn(takes, profile="anna") == (1, 4)
    profile = Profile.load("anna")
    assert profile.words == {"no": 3, "yes": 2}, "another model may hear them"
    again = Learner(model)
    assert again.learn_profile(profile) == ("yes 1", "yes 2")
    assert again.weights == learner.weights
    before = Learner(model).weights
    wrong = Learner(model)
    with pytest.raises(DataError, match="3 of 3 takes sound like another word"):
        wrong.learn_profile(Profile(profile.front_end).plus(rendered("yes", 3), taught=True))
    assert wrong.weights == before
    assert wrong.learn_profile(profile, force=True) == ()


def test_what_is_refused_as_a_whole_is_not_kept() -> None:
    with pytest.raises(DataError, match="1 of 1 takes"):
        Learner(Model(image_that_hears_no())).learn([("yes", cut(0))], profile="anna")
    with pytest.raises(DataError, match="1 of 1 takes"):
        Learner(Model(image_that_hears_no())).teach("yes", [cut(0)], profile="anna")
    assert Profile.names() == []


def rendered(word: str, count: int, model: Model = A) -> list[tuple[str, np.ndarray]]:
    return [(word, take_features(cut(n), model.front_end, True)) for n in range(count)]


def test_a_take_is_kept_once() -> None:
    taught(A)
    once = Profile.load("anna")
    taught(A)
    assert Profile.load("anna") == once
    assert once.plus(rendered("yes", 1), taught=False) is once
    more = once.plus(rendered("radio", 2), taught=True)
    assert [take.session for take in more.takes[-2:]] == [once.takes[-1].session + 1] * 2


@pytest.mark.parametrize(
    ("word", "shape", "kind", "said"),
    [
        ("x" * 40, (6, 80), np.int8, "x"),
        ("a b", (6, 80), np.int8, "a b"),
        ("yes", (6, 40), np.int8, r"int8 \(steps, 80\)"),
        ("yes", (480,), np.int8, r"int8 \(steps, 80\)"),
        ("yes", (6, 80), np.int16, r"int8 \(steps, 80\)"),
    ],
)
def test_what_a_profile_could_not_read_again_is_not_added(word, shape, kind, said) -> None:
    with pytest.raises(DataError, match=said):
        Profile(1).plus([(word, np.zeros(shape, kind))], taught=False)


def test_takes_of_an_own_word_are_taught_once() -> None:
    learner = Learner(A)
    learner.teach("lamp", [cut(0), cut(1), cut(0)], profile="anna")
    assert learner.words["lamp"].takes == 2, "a copy counts once"
    before = learner.weights
    with pytest.raises(DataError, match="nothing new of 'lamp': the profile anna has all takes"):
        learner.teach("lamp", [cut(1), cut(0)], profile="anna")
    assert learner.weights == before
    learner.teach("lamp", [cut(1), cut(2)], profile="anna")
    plain = Learner(A)
    plain.teach("lamp", [cut(0), cut(1), cut(2)])
    assert learner.weights == plain.weights
    assert Profile.load("anna").words == {"lamp": 3}
    learner.teach("lamp", [cut(1)], profile="anna", force=True)
    learner.teach("lamp", [cut(1)])
    learner.teach("door", [cut(1)], profile="anna")
    assert {one.word: one.takes for one in learner.words.values()} == {"lamp": 5, "door": 1}


def test_what_was_forgotten_is_taught_again() -> None:
    """Of a word that stands on fewer takes than the profile has, nobody knows which it lacks."""
    learner = Learner(A)
    learner.teach("lamp", [cut(0)], profile="anna")
    before = learner.weights
    learner.teach("lamp", [cut(1)], profile="anna")
    learner.weights = before
    learner.teach("lamp", [cut(1)], profile="anna")
    assert learner.words["lamp"].takes == 2
    learner.forget("lamp")
    learner.teach("lamp", [cut(1)], profile="anna")
    assert learner.words["lamp"].takes == 1


def test_a_word_of_more_takes_than_are_counted_is_known_too() -> None:
    learner = Learner(A)
    for number in range(17):
        learner.teach("lamp", [cut(number)], profile="anna")
    assert learner.words["lamp"].takes == 16
    with pytest.raises(DataError, match="nothing new"):
        learner.teach("lamp", [cut(16)], profile="anna")


def test_takes_are_taken_out() -> None:
    taught(A)
    profile = Profile.load("anna")
    less = profile.without("yes", 2)
    assert less.words == {"yes": 3, "no": 2, "up": 1, "lamp": 2, "Tür": 1}
    gone = take_features(cut(2), A.front_end, True).tobytes()
    assert gone in {take.content for take in profile.takes}
    assert gone not in {take.content for take in less.takes}
    assert "yes" not in profile.without("yes").words
    for word, number, said in [
        ("radio", None, "no word 'radio'"),
        ("yes", 5, "no take 5 of 'yes': there are 4"),
        ("yes", 0, "no take 0"),
    ]:
        with pytest.raises(DataError, match=said):
            profile.without(word, number)


# --- who can learn it -----------------------------------------------------------------------------


def test_a_front_end_is_told_by_its_settings_and_by_what_it_does() -> None:
    plain = FeatureConfig()
    crcs = {
        front_end_crc(config)
        for config in (
            plain,
            FeatureConfig(alpha_q15=32112),
            FeatureConfig(mean_shift=5),
            FeatureConfig(fall_shift=4),
            FeatureConfig(energy_floor=1 << 19),
        )
    }
    assert len(crcs) == 5
    base, small = Model.load("base"), Model.load("small")
    assert front_end_crc(base.front_end) == front_end_crc(small.front_end)
    assert Profile(front_end_crc(base.front_end)).models() == ["base", "small"]
    assert Profile(front_end_crc(A.front_end)).models() == []


def test_a_model_of_another_front_end_is_refused() -> None:
    learner = taught(A)
    profile = Profile.load("anna")
    other = Learner(OTHER_FRONT_END)
    before = other.weights
    for learn in (
        lambda: other.learn_profile(profile),
        lambda: other.learn(sounds(KEYWORDS), profile="anna"),
        lambda: other.teach("lamp", [cut(0)], profile="anna"),
    ):
        with pytest.raises(DataError, match="another front end than that of random"):
            learn()
    assert other.weights == before
    assert Profile.load("anna") == profile
    assert learner.weights != before


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            Model(image_with_own_words(7, n_words=1)),
            "room for 1 words of your own, and these are 2: lamp, Tür",
        ),
        (Model(make_image(seed=7, n_neurons=16)), "keeps no takes: it cannot be taught lamp"),
    ],
    ids=["too many words", "no takes"],
)
def test_a_model_without_room_is_named(model: Model, said: str) -> None:
    taught(A)
    learner = Learner(model)
    before = learner.weights
    with pytest.raises(DataError, match=said):
        learner.learn_profile(Profile.load("anna"))
    assert learner.weights == before


def test_words_that_are_there_take_room() -> None:
    taught(A)
    learner = Learner(A)
    for word in ("a", "b"):
        learner.teach(word, [cut(0)])
    before = learner.weights
    with pytest.raises(TraceKwsError, match="room"):
        learner.learn_profile(Profile.load("anna"), force=True)
    assert learner.weights == before


def test_there_may_be_nothing_to_learn() -> None:
    crc = front_end_crc(A.front_end)
    for profile in (Profile(crc), Profile(crc).plus(rendered("_other", 2), taught=False)):
        with pytest.raises(DataError, match="nothing to learn"):
            Learner(A).learn_profile(profile)
    strange = Profile(crc).plus(rendered("_silence_", 1), taught=True)
    with pytest.raises(DataError, match="'_silence_' has no one sound"):
        Learner(A).learn_profile(strange)


# --- files ----------------------------------------------------------------------------------------


def sealed(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


def written(takes: Sequence[tuple[bytes, int, int, bytes]], **head: int) -> bytes:
    """The bytes of a file, as the module's text has them."""
    named = {"version": 1, "front_end": front_end_crc(A.front_end), "count": len(takes)} | head
    body = struct.pack("<4sIII", b"TKPR", named["version"], named["front_end"], named["count"])
    for word, session, was_taught, content in takes:
        body += struct.pack("<32sIII", word, session, was_taught, len(content) // 80) + content
    return sealed(body)


STEPS = bytes(range(240)) * 2
GOOD = [(b"yes", 0, 0, STEPS), ("Tür".encode(), 0, 1, STEPS * 2), (b"yes", 3, 0, STEPS * 3)]


def test_a_file_is_as_it_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "anna.profile"
    path.write_bytes(written(GOOD))
    profile = Profile.read(path)
    assert profile.front_end == front_end_crc(A.front_end)
    assert profile.takes == tuple(
        KeptTake(word.decode(), session, bool(was_taught), content)
        for word, session, was_taught, content in GOOD
    )
    assert profile.takes[1].features.shape == (12, 80)
    assert profile.content == path.read_bytes()
    profile.write(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_a_take_that_a_file_has_twice_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "anna.profile"
    taken = [(b"yes", 0), (b"yes", 0), (b"no", 1), (b"yes", 2)]
    path.write_bytes(written([(word, session, 1, STEPS) for word, session in taken]))
    profile = Profile.read(path)
    assert [(take.word, take.session) for take in profile.takes] == [("yes", 0), ("no", 1)]
    profile.write(path)
    assert Profile.read(path) == profile


def test_what_is_kept_of_a_take(users_folder: Path) -> None:
    Learner(A).learn([("yes", cut(0))], force=True, profile="anna")
    heard = np.concatenate([features(one, A.front_end) for one in renditions(cut(0))])
    content = (users_folder / "anna.profile").read_bytes()
    assert content == written([(b"yes", 0, 0, heard.tobytes())])
    assert cut(0).astype("<i2").tobytes()[:400] not in content, "no sound"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "this is no profile"),
        (b"TKPR", "this is no profile"),
        (b"RIFF" + bytes(100), "this is no profile"),
        (written(GOOD, version=2), "format 2, made by a newer version: update"),
        (sealed(struct.pack("<4sI", b"TKPR", 7) + b"of another form"), "format 7"),
        (written(GOOD, version=0), "damaged"),
        (written(GOOD)[:-1], "damaged"),
        (written(GOOD)[:-4] + bytes(4), "damaged"),
        (written(GOOD, count=2), "damaged"),
        (written(GOOD, count=4), "damaged"),
        (written(GOOD, count=0xFFFFFFFF), "damaged"),
        (written([(b"two words", 0, 0, STEPS)]), "damaged"),
        (written([(b"../../pwn", 0, 0, STEPS)]), "damaged"),
        (written([(b"\xff\xfe", 0, 0, STEPS)]), "damaged"),
        (written([(b"x" * 32, 0, 0, STEPS)]), "damaged"),
        (written([("u\u0308".encode(), 0, 0, STEPS)]), "damaged"),
        (written([(b"yes", 0, 2, STEPS)]), "damaged"),
        (written([(b"yes", 0, 0, b"")]), "damaged"),
        (written([(b"yes", 0, 0, bytes(7 * 80))]), "damaged"),
        (written([(b"yes", 4, 0, STEPS), (b"yes", 3, 0, STEPS)]), "damaged"),
        (sealed(written(GOOD)[:-4] + b"more"), "damaged"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value,
)
def test_what_is_no_profile_is_refused_and_stays(
    content: bytes, said: str, users_folder: Path
) -> None:
    users_folder.mkdir(parents=True)
    path = users_folder / "anna.profile"
    path.write_bytes(content)
    learner = Learner(A)
    before = learner.weights
    for use in (
        lambda: Profile.load("anna"),
        lambda: learner.learn(sounds(KEYWORDS), force=True, profile="anna"),
        lambda: learner.teach("lamp", [cut(0)], profile="anna"),
    ):
        with pytest.raises(DataError, match=said) as refused:
            use()
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)
    assert learner.weights == before
    assert path.read_bytes() == content
    assert Profile.names() == ["anna"]
    Profile.remove("anna")
    assert Profile.names() == []


def test_a_file_has_a_largest_size(users_folder: Path) -> None:
    users_folder.mkdir(parents=True)
    path = users_folder / "anna.profile"
    path.write_bytes(written(GOOD))
    with path.open("r+b") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(DataError, match="larger than"):
        Profile.load("anna")
    many = KeptTake("yes", 0, False, bytes(6 * 80 * 10000))
    full = Profile(1, (many,) * 14)
    with pytest.raises(DataError, match="14 takes are more than a profile has room for"):
        full.save("bert")
    assert Profile.names() == ["anna"]


def test_a_profile_that_cannot_be_written_leaves_nothing_learned(
    users_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught(A)
    there = (users_folder / "anna.profile").read_bytes()
    learner = Learner(A)
    before = learner.weights

    def refuse(path: Path, content: bytes, private: bool) -> None:
        raise DataError("no space is left")

    monkeypatch.setattr("tracekws.profile.write", refuse)
    with pytest.raises(DataError, match="no space"):
        learner.learn(sounds([("yes", 12)]), force=True, profile="anna")
    with pytest.raises(DataError, match="no space"):
        learner.teach("radio", [cut(12)], profile="anna")
    assert learner.weights == before
    assert (users_folder / "anna.profile").read_bytes() == there


def test_what_is_added_between_a_look_and_its_save_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program adds takes when this one has read the profile, and not yet written it."""
    refused = []

    def looked(*given: object) -> Profile:
        found = begun(*given)  # type: ignore[arg-type]
        if not refused:
            refused.append(True)
            for change in (
                lambda: keep("anna", A, rendered("lamp", 1), True),
                lambda: Profile.remove("anna"),
            ):
                with pytest.raises(DataError, match="another program is changing profiles"):
                    change()
        return found

    monkeypatch.setattr("tracekws.files.LOCK_TRIES", 1)
    monkeypatch.setattr("tracekws.profile.begun", looked)
    keep("anna", A, rendered("no", 1), False)
    keep("anna", A, rendered("lamp", 1), True)
    assert Profile.load("anna").words == {"no": 1, "lamp": 1}
    with pytest.raises(KeyboardInterrupt), changing():
        raise KeyboardInterrupt
    keep("anna", A, rendered("up", 1), True)
    assert Profile.load("anna").words == {"no": 1, "lamp": 1, "up": 1}


ADDING = """
import sys
import numpy as np
from tracekws import files
from tracekws.core import Model
from tracekws.profile import keep

files.LOCK_TRIES = 10**6
base = Model.load("base")
word, count = sys.argv[1], int(sys.argv[2])
sys.stdin.readline()
for number in range(count):
    keep("anna", base, [(word, np.full((6, 80), number, np.int8))], True)
"""


def test_processes_that_add_at_once_lose_no_take() -> None:
    words, count = ("lamp", "radio", "door"), 20
    processes = [
        subprocess.Popen([sys.executable, "-c", ADDING, word, str(count)], stdin=subprocess.PIPE)
        for word in words
    ]
    for process in processes:  # then each goes on from its readline()
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert Profile.load("anna").words == dict.fromkeys(words, count)


def test_names_of_profiles(users_folder: Path) -> None:
    assert Profile.names() == []
    with pytest.raises(DataError, match="no profile 'anna'; there is none"):
        Profile.load("anna")
    profile = Profile(1).plus(rendered("yes", 1), taught=False)
    profile.save("bert")
    profile.save("cafe\u0301")
    (users_folder / "no name.profile").write_bytes(b"")
    assert Profile.names() == ["bert", "caf\u00e9"]
    assert Profile.load("caf\u00e9") == Profile.load("cafe\u0301") == profile
    with pytest.raises(DataError, match="there are bert, café"):
        Profile.load("anna")
    for wrong in ("../bert", "a b", "", ".hidden", "x" * 32):
        for use in (profile.save, Profile.load, Profile.remove):
            with pytest.raises(DataError, match="no name"):
                use(wrong)
    with pytest.raises(DataError, match="no profile 'anna'"):
        Profile.remove("anna")
    assert {path.name for path in users_folder.iterdir()} == {
        "bert.profile",
        "caf\u00e9.profile",
        "no name.profile",
    }


def test_nobody_else_reads_the_folder_or_a_file(users_folder: Path, tmp_path: Path) -> None:
    Profile(1).save("anna")
    Profile(1).write(tmp_path / "exported")
    for path in (users_folder, users_folder / "anna.profile", tmp_path / "exported"):
        assert path.stat().st_mode & 0o077 == 0


def test_users_of_the_machine_have_profiles_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Profile(1).save("anna")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    assert Profile.names() == []
    assert state_folder().is_dir()
