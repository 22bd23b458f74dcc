# SPDX-License-Identifier: Apache-2.0
"""Rules in the device's setting: against the C core, by hand, and through the command."""

import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the lab needs torch: make setup-train")

from host_cli import tracekws, tracekws_json  # noqa: E402
from images import Form, make_image, with_traces, write_image  # noqa: E402
from tones import write_tree  # noqa: E402
from tracekws.bench import adapting  # noqa: E402
from tracekws.bench.adapting import SAME_REJECTION, Experiment, bench_adapt  # noqa: E402
from tracekws.columns import CAPTIONS  # noqa: E402
from tracekws.core import GUARDED, LATENT, READOUT, TAKES, Model  # noqa: E402
from tracekws.data import read_tree  # noqa: E402
from tracekws.errors import DataError  # noqa: E402
from tracekws.lab import on_device  # noqa: E402
from tracekws.lab.model import device_rule, filtered, float_network, latent_of  # noqa: E402
from tracekws.lab.network import LabError  # noqa: E402
from tracekws.lab.on_device import BATCH, METHODS, FloatLearner, float_learner  # noqa: E402
from tracekws.lab.takes import TraceForm  # noqa: E402
from tracekws.learner import Learner  # noqa: E402

DEVICE_COLUMNS = list(CAPTIONS)[:4]
LAYER = ("0.W", "0.R", "0.b")
MOVES = ("tp+replay", "tp-batch+replay", "eprop+replay", "bptt+replay")
AGREE = 15.0
"""Points; a clip of the speakers' 40 is 2.5."""
MOVED = 60.0
"""Points that learning changes a column by, at least, in float and in the core."""
IN_CORE = ("readout", "readout+replay", "tp", "tp+replay", "takes")
STREAM_COLUMNS = ("stream_self", "stream_self_at_1", "stream_others")


@pytest.fixture(scope="module")
def image() -> bytes:
    """A small random model; W, R and b have one rate, as float has it."""
    return make_image(
        seed=3, n_classes=12, n_neurons=24, window_steps=50, n_latent=6, rate_bias=1 << 12
    )


@pytest.fixture(scope="module")
def model(image: bytes) -> Model:
    return Model(image)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("commands"))


def takes(count: int, seed: int = 0) -> list[tuple["np.ndarray", int]]:
    """Made-up features (49, 80) that make the random model fire, and labels."""
    rng = np.random.default_rng(seed)
    return [(rng.integers(0, 60, (49, 80)).astype(np.int8), k * 7 % 12) for k in range(count)]


def weights_after(learner: FloatLearner, count: int) -> dict[str, "torch.Tensor"]:
    for features, label in takes(count):
        learner.take(features, label, READOUT | LATENT, 20000)
    return learner.rule.network.parameters()


def learner_of(model: Model, name: str, **given: object) -> FloatLearner:
    learner = float_learner(model, name, 5, {name: given})
    assert isinstance(learner, FloatLearner)
    return learner


def test_float_agrees_with_the_core_in_every_column(tree: Path) -> None:
    """The small model learns made-up words; how near the two are on speech is in docs/lab.md.

    Replay is drawn by generators of their own, rounding is random in the core, and on tones a spike
    more or less decides: 8.4 points apart at most over three draws, where learning moves by 72.
    """
    model = Model.load(Path(__file__).parents[2] / "models" / "small.tkws")
    settings = Experiment(shots=2, passes=3, draws=3)
    people = adapting.read_people(
        model, read_tree(tree), None, None, settings, lambda done, total: None, talk=()
    )
    core = bench_adapt(model, people, settings, IN_CORE, 1)
    ours = on_device.compare(model, people, settings, IN_CORE, workers=1)
    for theirs, row in zip(core.rows, ours.rows, strict=True):
        assert theirs.method == row.method
        for name in (*DEVICE_COLUMNS, SAME_REJECTION, *STREAM_COLUMNS):
            a, b = theirs.summary()[name], row.summary()[name]
            print(f"{row.method} {name}: core {a:.1f} %, float {b:.1f} %")
            assert isinstance(a, float)
            assert a == pytest.approx(b, abs=AGREE)
        for own in (theirs.summary(), row.summary()) if row.method == "tp" else ():
            gain = own["gain"]
            assert isinstance(gain, dict)
            assert gain["unknown_self"]["mean"] < -MOVED


def test_every_method_hears_the_same_takes(model: Model, tree: Path) -> None:
    settings = Experiment(shots=1, passes=2, draws=1, negatives=1)
    people = adapting.read_people(
        model, read_tree(tree), None, None, settings, lambda done, total: None
    )
    heard: dict[str, list[tuple[bytes, int, int]]] = {}

    class Listener(Learner):
        def __init__(self, model: Model, name: str, seed: int) -> None:
            super().__init__(model, seed)
            self.name = name

        def take(self, features: "np.ndarray", label: int, method: int, scale_q15: int) -> None:
            assert method == METHODS[self.name].flags
            heard.setdefault(self.name, []).append((features.tobytes(), label, scale_q15))

    flags = {name: method.flags for name, method in METHODS.items()}
    methods = on_device.methods_for(model)
    bench_adapt(model, people, settings, methods, 1, flags=flags, maker=Listener)
    assert list(heard) == methods[1:]
    assert len(heard["readout"]) == 2 * 2 * (10 + 1)
    assert all(other == heard["readout"] for other in heard.values())


def test_the_readout_and_the_layer_learn_as_the_device_s_rule_does(model: Model) -> None:
    features, label = takes(1)[0]
    rule = device_rule(model)
    rule.start(1, torch.tensor([label]))
    for x in filtered(model, features):
        rule.step(x[None])
    rule.finish()
    learner = learner_of(model, "tp")
    learner.take(features, label, READOUT, 32768)
    found, expected = learner.rule.network.parameters(), rule.network.parameters()
    before = float_network(model).parameters()
    for name, weights in found.items():
        scaled = weights * 50 if name == "V" else weights
        assert not torch.equal(expected[name], before[name])
        torch.testing.assert_close(scaled, expected[name], rtol=1e-4, atol=1e-5)


def test_scores_are_those_of_the_device_s_rule_clip_by_clip(model: Model) -> None:
    clips = np.stack([features for features, _ in takes(3)])
    scores = learner_of(model, "readout").scores_of(clips)
    for features, row in zip(clips, scores, strict=True):
        rule = device_rule(model)
        rule.start(1, None)
        for x in filtered(model, features):
            rule.step(x[None])
        np.testing.assert_allclose(row, 1024 * rule.finish()[0].numpy(), atol=1)
    assert learner_of(model, "readout").scores_of(clips[:0]).shape == (0, 12)


def test_replay_is_what_the_image_has(model: Model) -> None:
    rates, labels = latent_of(model)
    first = Model(make_image(arrays={"latent": [[2, *range(8)], [4] * 9, [1] * 9]}))
    assert latent_of(first)[0][0].tolist() == [k / 256 for k in range(8)]
    assert latent_of(first)[1].tolist() == [2, 4, 1]
    assert rates.shape == (6, 24)
    drawn = np.random.default_rng(5).integers(6, size=2)  # the learner's seed, two a take
    features, label = takes(1)[0]
    learner, replayed = learner_of(model, "readout"), learner_of(model, "readout+replay")
    for one, flags in ((learner, READOUT), (replayed, READOUT | LATENT)):
        one.take(features, label, flags, 32767)
    for i in drawn:
        learner.descend_readout(rates[i], int(labels[i]), 32767 / 32768)
    for name in ("V", "c"):
        assert torch.equal(learner.weights[name], replayed.weights[name])


@pytest.mark.parametrize("name", MOVES)
def test_methods_differ_in_what_moves_the_layer_only(model: Model, name: str) -> None:
    factory = float_network(model).parameters()
    readout = weights_after(learner_of(model, "readout+replay"), BATCH)
    still = weights_after(learner_of(model, name, rate=0.0), BATCH)
    moved = weights_after(learner_of(model, name), BATCH)
    for part in LAYER:
        assert torch.equal(readout[part], factory[part])
        assert torch.equal(still[part], factory[part])
        assert not torch.equal(moved[part], factory[part])
    for part in ("V", "c"):
        assert torch.equal(still[part], readout[part])


def test_a_batch_is_ten_takes_as_they_come(model: Model) -> None:
    factory = float_network(model).parameters()
    learner = learner_of(model, "tp-batch+replay")
    waiting = weights_after(learner, BATCH - 1)
    assert all(torch.equal(waiting[part], factory[part]) for part in LAYER)
    assert len(learner.waiting) == BATCH - 1
    learner.take(*takes(1)[0], READOUT, 20000)
    assert learner.waiting == []
    assert not torch.equal(learner.rule.network.parameters()["0.W"], factory["0.W"])


def test_a_batch_has_the_logits_and_steps_of_the_device_s_rule(model: Model) -> None:
    device, batch = device_rule(model), on_device.batch_settings(model)
    rest = 1 - device.network.constants.beta
    # sums of spikes are 1 / rest times the device's traces, on both sides of the product
    assert batch["gain"] / rest**2 == pytest.approx(device.gain / 24**0.5)
    assert batch["rate"] / BATCH * batch["gain"] / rest == pytest.approx(device.rate)


def test_prototypes_are_means_of_replay_and_takes(model: Model) -> None:
    rates, labels = latent_of(model)
    learner = float_learner(model, "prototype", 1)
    assert isinstance(learner, on_device.NearestPrototype)
    for label in range(12):
        own = rates[labels == label]
        expected = own.mean(0) if len(own) else torch.zeros(24)
        torch.testing.assert_close(learner.rule.rates[label], expected)
    features, label = takes(1)[0][0], int(labels[0])
    own = rates[labels == label]
    heard, _ = on_device.rates_and_logits(device_rule(model), filtered(model, features)[None], None)
    learner.take(features, label, READOUT, 100)
    expected = (own.sum(0) + heard[0]) / (len(own) + 1)
    torch.testing.assert_close(learner.rule.rates[label], expected)
    scores = learner.scores_of(features[None])[0]
    cosine = torch.cosine_similarity(heard[0], expected, dim=0)
    assert scores[label] == pytest.approx(2**20 * float(cosine), abs=32)


@pytest.fixture(scope="module")
def keeping(image: bytes) -> Model:
    """The same model, which keeps takes."""
    return Model(with_traces(image, Form.random(24, 4, seed=2)))


def test_takes_are_compared_as_the_core_compares_them(keeping: Model) -> None:
    core, form = Learner(keeping), TraceForm.of(keeping)
    means = torch.zeros(12, 24)
    channels = np.arange(80) // 20
    for part, (features, label) in enumerate(takes(4)):
        spoken = np.where(channels == part, 2 * features, 0).astype(np.int8)
        core.take(spoken, label, TAKES, 32767)
        means[label] = torch.from_numpy(core.spikes(spoken).mean(0))
    heard = np.where(channels < 2, takes(1, seed=9)[0][0], 0).astype(np.int8)
    rates = torch.from_numpy(core.spikes(heard).mean(0, keepdims=True)).float()
    said = [label for _, label in takes(4)]
    ours = form.cosines(rates, means)[0][said].numpy()
    theirs = core.cosines(heard)[-1][said] / 32768
    assert ours == pytest.approx(theirs, abs=0.02)
    assert np.ptp(theirs) > 0.1


def test_takes_add_to_their_own_word_alone(keeping: Model) -> None:
    learner, plain = learner_of(keeping, "takes"), learner_of(keeping, "none")
    (features, label), *_ = takes(1)
    learner.take(features, label, TAKES, 32767)
    assert learner.takes is not None
    learner.takes.keep("again", label, next(iter(learner.takes.rates.values()))[1])
    more = learner.scores_of(features[None])[0] - plain.scores_of(features[None])[0]
    form = TraceForm.of(keeping)
    assert more[label] == pytest.approx(1024 * form.weight * (1 - form.floor), rel=0.02)
    assert not np.delete(more, label).any()
    for none in (keeping.unknown, keeping.silence):
        learner.take(features, none, TAKES, 32767)
    again = learner.scores_of(features[None])[0] - plain.scores_of(features[None])[0]
    assert (again == more).all()


def test_a_stream_is_heard_as_its_seconds_are(keeping: Model) -> None:
    learner = learner_of(keeping, "takes")
    (features, label), (other, _) = takes(2)
    learner.take(features, label, TAKES, 32767)
    long = np.concatenate([features, other, features])
    scores = learner.stream(long)
    assert scores.shape == (len(long), 12)
    np.testing.assert_allclose(scores[48], learner.scores_of(features[None])[0], atol=1)
    spikes = learner.spikes(filtered(keeping, long))
    window = spikes[100 - 50 + 1 : 101].mean(0, keepdim=True)
    np.testing.assert_allclose(scores[100], 1024 * learner.with_takes(window)[0], atol=1)


def test_a_take_of_another_word_is_refused(keeping: Model) -> None:
    features, _ = takes(1)[0]
    learner = learner_of(keeping, "takes")
    learner.weights["c"][3] -= 50
    assert learner.takes is not None
    for label, flags, kept in (
        (3, TAKES | GUARDED, False),
        (3, TAKES, True),
        (keeping.unknown, TAKES | GUARDED, True),
    ):
        learner.takes.rates.clear()
        learner.take(features, label, flags, 32767)
        assert bool(learner.takes.rates) == kept
    logits = learner_of(keeping, "none").scores_of(features[None])[0]
    best = int(np.argmax(logits))
    learner.takes.rates.clear()
    learner.take(features, best, TAKES | GUARDED, 32767)
    assert learner.takes.rates


def test_with_the_takes_as_the_bank_the_layer_moves_toward_them(keeping: Model) -> None:
    (features, label), *_ = takes(1)
    learner = learner_of(keeping, "tp-bank+takes", rate=0.1)
    learner.take(features, label, TAKES, 32767)
    assert isinstance(learner.rule, on_device.DeviceRule)
    assert learner.takes is not None
    expected = learner.takes.means()[label] - TraceForm.of(keeping).mean
    factory = float_network(keeping).parameters()
    moved = learner.rule.network.parameters()
    assert all(not torch.equal(moved[part], factory[part]) for part in LAYER)
    for part in ("V", "c"):
        assert torch.equal(moved[part], learner_of(keeping, "none").rule.network.parameters()[part])
    kept = learner.rule.kept
    assert kept is not None
    torch.testing.assert_close(kept[label], expected)
    rates, labels = latent_of(keeping)
    for other in {*range(12)} - {label}:
        own = rates[labels == other]
        mean = own.mean(0) - TraceForm.of(keeping).mean if len(own) else torch.zeros(24)
        torch.testing.assert_close(kept[other], mean)
    before = dict(learner.takes.rates)
    learner.stream(features)  # hears the take anew
    assert any(not torch.equal(before[key][1], learner.takes.rates[key][1]) for key in before)


def test_settings_are_of_methods_whose_layer_learns() -> None:
    found = on_device.settings_of(["eprop+replay.rate=1e-3", "eprop+replay.optimiser=sgd"])
    assert found == {"eprop+replay": {"rate": 1e-3, "optimiser": "sgd"}}
    for text, reason in (
        ("readout.rate=1", "METHOD is one of tp, tp+replay, tp-batch"),
        ("rate=1", "METHOD is one of"),
        ("tp.readout_rate=1", "tp has rate"),
        ("tp.target_scale=2", "tp has rate"),  # S is the image's
        ("tp-bank+takes.target_scale=2", "tp-bank+takes has rate"),
        ("tp-batch+replay.target_scale=2", "tp-batch+replay has rate"),
        ("bptt+replay.rate=fast", "rate is a number"),
    ):
        with pytest.raises(DataError, match=re.escape(reason)):
            on_device.settings_of([text])


def test_a_setting_that_a_rule_does_not_take_is_refused_first(model: Model) -> None:
    people, settings = None, Experiment()
    given = {"bptt+replay": {"optimiser": "newton"}}
    with pytest.raises(LabError, match="newton"):
        on_device.compare(model, people, settings, ["bptt+replay"], given)  # type: ignore[arg-type]
    with pytest.raises(LabError, match="keeps no takes"):
        on_device.compare(model, people, settings, ["takes"])  # type: ignore[arg-type]


def test_the_command_prints_a_row_a_method(image: bytes, tree: Path, tmp_path: Path) -> None:
    arguments = ("lab", "learn-on-device", str(write_image(tmp_path, image)), "--data", str(tree))
    few = ("--shots", "1", "--passes", "1", "--draws", "1", "--workers", "2")
    table = tracekws_json(*arguments, *few)
    assert [row["method"] for row in table["rows"]] == on_device.methods_for(Model(image))
    assert table["speakers"] == 2
    same = tracekws_json(*arguments, *few, "--method", "bptt+replay")
    assert same["rows"] == [table["rows"][0], table["rows"][7]]
    other = ("--method", "bptt+replay", "--set", "bptt+replay.rate=0.05")
    assert tracekws_json(*arguments, *few, *other)["rows"][1] != table["rows"][7]
    done = tracekws(*arguments, *few, "--method", "none")
    assert "2 speakers, 1 draws, 1 takes a word" in done.stdout
    done = tracekws(*arguments, "--method", "tpp")
    assert done.returncode == 2
    assert "'tpp' is none of none, readout" in " ".join(done.stderr.split())
    done = tracekws(*arguments, "--set", "tp.gaim=3")
    assert done.returncode == 1
    assert done.stderr.startswith("error: --set tp.gaim=3: tp has rate")
    assert done.stderr.count("\n") == 1
