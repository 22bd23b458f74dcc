# SPDX-License-Identifier: Apache-2.0
"""The schedule of adaptation, and what an error does to it, on a device that logs its calls."""

from contextlib import contextmanager
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest

from tracekws.columns import CAPTIONS, Columns, Share, are_right, picture
from tracekws.core import FeatureConfig, features
from tracekws.device.adapt import adapt, teach
from tracekws.device.takes import Take
from tracekws.errors import DeviceError, TraceKwsError

CONFIG = FeatureConfig()


def take(label: str, number: int, level: int = 3000) -> Take:
    rng = np.random.default_rng(number)
    return Take(label, f"{label}/{number}", rng.integers(-level, level, 16000).astype(np.int16))


class Log:
    """Stands in for a device: hears the words it is told to, and writes down what is done."""

    def __init__(self, heard: list[str] | None = None, fail_at: str | None = None) -> None:
        self.heard = iter(heard or [])
        self.fail_at = fail_at
        self.done: list[str] = []
        self.taken: list[tuple] = []
        self.seeds: list[int] = []

    def step(self, name: str) -> None:
        self.done.append(name)
        if f"{name}{self.done.count(name)}" == self.fail_at:
            raise KeyboardInterrupt

    def info(self):
        words = ("yes", "no")
        return SimpleNamespace(unknown="_unknown_", keywords=words, passes=5, method=1)

    def classify(self, pcm):
        self.step("classify")
        return next(self.heard), np.zeros(3, np.int32)

    @contextmanager
    def learn(self, seed):
        self.seeds.append(seed)
        self.step("begin")
        try:
            yield self
        except BaseException:
            self.done.append("abort")
            raise
        self.step("end")

    def take_pcm(self, label, pcm, scale, method=None):
        self.step("pcm")
        self.taken.append(("pcm", label, pcm, scale, method))

    def take_features(self, label, values, scale, method=None):
        self.step("features")
        self.taken.append(("features", label, values, scale, method))

    def save(self):
        self.step("save")
        return 7


TAKES = [take("yes", 1), take("yes", 2), take("no", 3), take("_unknown_", 4)]


def quiet(what, done, total):
    assert 0 <= done <= total


def test_each_pass_has_every_take_once_at_a_falling_rate():
    device = Log()
    teach(device, TAKES, passes=5, seed=3, config=CONFIG, progress=quiet)
    assert len(device.taken) == 20
    scales = [32767, 26214, 19660, 13107, 6553]  # 32767 (1 - e / 5), rounded
    orders = []
    for e in range(5):
        taken = device.taken[4 * e : 4 * e + 4]
        assert {t[3] for t in taken} == {scales[e]}
        assert {t[0] for t in taken} == {"pcm" if e == 0 else "features"}
        assert sorted(t[1] for t in taken) == ["_unknown_", "no", "yes", "yes"]
        orders.append(tuple(t[1] for t in taken))
    assert len(set(orders)) > 1
    for kind, label, values, *_ in device.taken:
        mine = [
            t.pcm if kind == "pcm" else features(t.pcm, CONFIG) for t in TAKES if t.label == label
        ]
        assert any(np.array_equal(values, m) for m in mine)
    assert device.seeds == [3]


def test_the_same_seed_gives_the_same_order():
    def order(seed):
        device = Log()
        teach(device, TAKES, passes=3, seed=seed, config=CONFIG, progress=quiet)
        return [(t[1], t[3]) for t in device.taken]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_takes_that_are_kept_are_sent_once():
    device = Log()
    teach(device, TAKES, passes=5, seed=3, config=CONFIG, method=16, progress=quiet)
    assert sorted(t[1] for t in device.taken) == ["_unknown_", "no", "yes", "yes"]
    assert {t[4] for t in device.taken} == {16}


def test_an_unknown_front_end_sends_pcm_in_every_pass():
    device = Log()
    teach(device, TAKES, passes=2, seed=1, config=None, progress=quiet)
    assert {t[0] for t in device.taken} == {"pcm"}
    assert len(device.taken) == 8


def test_columns_count_words_and_rejections():
    test = [take("yes", 5), take("no", 6), take("_unknown_", 7), take("_unknown_", 8)]
    others = [take("yes", 9), take("_unknown_", 10)]
    before = ["no", "no", "_silence_", "yes", "_unknown_", "no"]
    after = ["yes", "no", "_unknown_", "_silence_", "yes", "_unknown_"]
    device = Log(before + after)
    result = adapt(device, TAKES, test, others, config=CONFIG, warnings=["w"])
    assert result.before == Columns(Share(1, 2), Share(1, 2), Share(0, 1), Share(0, 1))
    assert result.after == Columns(Share(2, 2), Share(2, 2), Share(1, 1), Share(1, 1))
    assert result.learned == {"yes": 2, "no": 1, "_unknown_": 1}
    assert result.generation == 7
    assert device.done.count("save") == 1
    assert device.done[-1] == "save"
    json = result.as_json()
    assert json["before"]["keywords_self"] == {"right": 1, "clips": 2, "percent": 50.0}
    assert json["warnings"] == ["w"]


@pytest.mark.parametrize(
    ("heard", "truth", "right"),
    [
        ("yes", "yes", True),
        ("no", "yes", False),
        ("_unknown_", "yes", False),
        ("_silence_", "yes", False),
        ("yes", "_unknown_", False),
        ("_unknown_", "_unknown_", True),
        ("_silence_", "_unknown_", True),
    ],
)
def test_a_keyword_is_right_when_heard_another_word_when_no_keyword_is(heard, truth, right):
    assert are_right([heard], [truth], ["yes", "no"]).tolist() == [right]
    classes = ["_silence_", "yes", "no", "_unknown_"]
    assert are_right([classes.index(heard)], [classes.index(truth)], [1, 2]).tolist() == [right]


def test_every_column_has_a_caption():
    assert [field.name for field in fields(Columns)] == list(CAPTIONS)[:4]


def test_columns_without_data_are_left_out():
    result = adapt(Log(["yes", "yes"]), TAKES, [take("yes", 5)], config=CONFIG)
    assert list(result.as_json()["before"]) == ["keywords_self"]


def test_no_save_saves_nothing():
    device = Log()
    result = adapt(device, TAKES, [], save=False, config=CONFIG)
    assert result.generation is None
    assert "save" not in device.done
    assert device.done[-1] == "end"


@pytest.mark.parametrize(
    "fail_at",
    ["begin1", "pcm1", "pcm4", "features1", "features16", "end1", "classify2", "save1"],
)
def test_an_interruption_anywhere_saves_nothing_and_takes_the_learning_back(fail_at):
    device = Log(["yes", "yes"], fail_at=fail_at)
    with pytest.raises(KeyboardInterrupt):
        adapt(device, TAKES, [take("yes", 5)], config=CONFIG)
    if fail_at == "save1":
        assert device.done[-1] == "abort"
        assert device.done.count("begin") == 2
    elif fail_at == "classify2":
        assert device.done[-2:] == ["begin", "abort"]
    elif fail_at not in ("begin1", "end1"):
        assert device.done[-1] == "abort"
    assert device.done.count("save") == (fail_at == "save1")


def test_an_error_before_learning_does_not_touch_the_weights():
    device = Log(["yes", "yes"], fail_at="classify1")
    with pytest.raises(KeyboardInterrupt):
        adapt(device, TAKES, [take("yes", 5)], config=CONFIG)
    assert device.done == ["classify"]


def test_the_first_error_is_the_one_that_is_told_when_the_line_is_gone():
    class Unplugged(Log):
        def save(self):
            raise DeviceError(-73, "STORAGE", "the storage refused")

        @contextmanager
        def learn(self, seed):
            if self.done.count("begin") == 1:
                raise TraceKwsError("the line is gone")
            with super().learn(seed) as session:
                yield session

    with pytest.raises(DeviceError, match="the storage refused"):
        adapt(Unplugged(), TAKES, [], config=CONFIG)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_picture_is_written_whole(suffix, tmp_path):
    path = tmp_path / f"p{suffix}"
    picture(path, Columns(Share(1, 2)), Columns(Share(2, 2)), "title")
    assert path.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(TraceKwsError, match="cannot be written"):
        picture(tmp_path / "no" / "p.png", Columns(Share(1, 2)), Columns(Share(2, 2)), "title")
