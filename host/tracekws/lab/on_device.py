# SPDX-License-Identifier: Apache-2.0
"""Rules in the device's own setting: the shipped model learns from one utterance at a time.

The experiment is `bench adapt`'s own (bench/adapting.py): the same speakers, divisions, order of
takes, passes with falling rates, and columns. In the place of the C core learns, in float, a rule
of the lab on the image's network. The readout learns in the same way beside every rule, so that
only what moves W, R and b differs: once a take, by its delta rule on the take's mean rates, with
the image's rates, and then on mean rates drawn from the image's latent replay.

The lab's readout sums up, that of the device takes the mean over its window of T steps: here V is
kept divided by T, and the sum over a window is the device's score.

Traces Propagation by batch is the published rule. The stream of single takes is cut into batches of
10 as it comes, over the ends of passes: a take's features wait until there are 10, then these are
heard again, side by side. What waits at the end is not learned by the layer. Its gain and rate give
the same logits and the same step for the same error as the device's rule.

The rates of e-prop and BPTT (Adam) were chosen from 1e-5, 3e-5 and 1e-4 on the tuning speakers, one
draw, with a model trained without them, for keywords at the same rejection; as in

    tracekws lab learn-on-device tuning.tkws --data DATA --speakers tuning_speakers.txt --draws 1
        --method bptt+replay --set bptt+replay.rate=1e-4
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tracekws.bench import adapting
from tracekws.bench.adapting import Adapting, People
from tracekws.core import GUARDED, LATENT, READOUT, TAKES, Model
from tracekws.data import Progress
from tracekws.errors import DataError
from tracekws.lab import experiment
from tracekws.lab.experiment import RuleSettings
from tracekws.lab.model import Second, device_rule, filtered, float_network, latent_of
from tracekws.lab.rule import Rule
from tracekws.lab.rules.device import DeviceRule
from tracekws.lab.rules.prototype import Prototype
from tracekws.lab.takes import GUARD, Takes

BATCH = 10
"""Takes in a batch of Traces Propagation by batch."""
EPROP_RATE, BPTT_RATE = 1e-4, 3e-5
"""By Adam."""
ONE = 1024
"""Of scores in Q10."""


def device_settings(model: Model) -> RuleSettings:
    """Rate and gain of the image."""
    rule = device_rule(model)
    return {"rate": rule.rate, "gain": rule.gain, "readout_bias_rate": 0.0}


def batch_settings(model: Model) -> RuleSettings:
    """Those of the image, for traces that are sums, not means, and for the mean over a batch."""
    own = device_settings(model)
    rest = 1 - model.header.trace_decay_q15 / 32768
    gain = own["gain"] * model.header.n_neurons**-0.5 * rest**2
    return {"rate": own["rate"] * BATCH * rest / gain, "gain": gain, "optimiser": "sgd"}


@dataclass(frozen=True)
class Method:
    """What learns."""

    flags: int
    """READOUT, LATENT, TAKES and GUARDED, as the core has them; 0 if nothing is learned."""
    rule: str = "readout"
    """Of the lab."""
    batch: int = 0
    """Takes that the rule learns from at once; with 0 the layer stays as it is."""
    settings: Callable[[Model], RuleSettings] = lambda model: {}
    """Of the rule, where the lab's defaults do not fit."""
    bank_of_takes: bool = False
    """Whether the rule's contrast is with the takes that are kept, not with S."""

    def settable(self) -> list[str]:
        """Settings of the rule that change anything here."""
        fixed = ("seed", "readout_rate", "readout_bias_rate", "target_scale")  # S is the image's
        known = experiment.rule_named(self.rule).settings()
        return [name for name in known if name not in fixed] if self.batch else []


METHODS = {
    "none": Method(0),
    "readout": Method(READOUT),
    "readout+replay": Method(READOUT | LATENT),
    "tp": Method(READOUT, "device", 1, device_settings),
    "tp+replay": Method(READOUT | LATENT, "device", 1, device_settings),
    "tp-batch+replay": Method(READOUT | LATENT, "tp", BATCH, batch_settings),
    "eprop+replay": Method(READOUT | LATENT, "eprop", 1, lambda model: {"rate": EPROP_RATE}),
    "bptt+replay": Method(READOUT | LATENT, "bptt", 1, lambda model: {"rate": BPTT_RATE}),
    "prototype": Method(READOUT, "prototype"),
    "takes": Method(TAKES | GUARDED),
    "tp+takes": Method(TAKES, "device", 1, device_settings),
    "tp-bank+takes": Method(TAKES, "device", 1, device_settings, bank_of_takes=True),
    "eprop+takes": Method(TAKES, "eprop", 1, lambda model: {"rate": EPROP_RATE}),
    "bptt+takes": Method(TAKES, "bptt", 1, lambda model: {"rate": BPTT_RATE}),
}


FLAGS = {name: method.flags for name, method in METHODS.items()}


def methods_for(model: Model) -> list[str]:
    """Those that a model can learn by."""
    return adapting.methods_for(model, FLAGS)


def rates_and_logits(rule: Rule, x: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """Run a rule over clips (N, T, 80), to learn if there are labels.

    Returns:
        Mean rates of the last layer's neurons, (N, H), and the rule's logits, (N, C).
    """
    count = torch.zeros(len(x), *rule.network.layers[-1].shape)

    def add() -> None:
        count.add_(rule.state.layers[-1].s.detach())

    rule.hear(len(x), x.unbind(1), labels, add)
    return count / x.shape[1], rule.finish()


def make_rule(
    model: Model, method: Method, given: RuleSettings, second: Second | None = None
) -> Rule:
    """A method's rule on the image's network and target path, its readout held still.

    With a second layer, if there is one.

    Raises:
        LabError: a setting that the rule does not take.
    """
    settings = {**method.settings(model), **given, "readout_rate": 0.0}
    rule = experiment.rule_named(method.rule)(network=float_network(model, second), **settings)
    if "S" in rule.fixed:
        rule.fixed["S"] = device_rule(model).fixed["S"]
    if isinstance(rule, DeviceRule):
        rule.taken = {model.unknown, model.silence}
    return rule


class FloatLearner:
    """A rule for the layer, and the device's rules for the readout: core.Learner in float.

    Takes that are kept are heard anew when the layer has moved.
    """

    def __init__(
        self,
        model: Model,
        method: Method,
        given: RuleSettings,
        seed: int,
        second: Second | None = None,
    ) -> None:
        """Start with the model's own weights; the seed is that of the draws of replay."""
        self.model, self.batch = model, method.batch
        self.rule = make_rule(model, method, given, second)
        self.rate = self.rule.rate
        self.weights = self.rule.network.readout
        self.window = model.header.window_steps
        self.weights["V"] /= self.window
        device = device_rule(model)
        self.rates = {
            "V": device.readout_rate / self.window**2,
            "c": device.readout_bias_rate,
        }
        self.latent, self.latent_labels = latent_of(model, second)
        self.rng = np.random.default_rng(seed)
        self.waiting: list[tuple[Tensor, int]] = []
        self.takes = Takes(model) if method.flags & TAKES else None
        self.bank_of_takes = method.bank_of_takes
        self.heard: dict[int, tuple[NDArray[np.int8], Tensor, int]] = {}
        self.moved = False

    def take(self, features: NDArray[np.int8], label: int, method: int, scale_q15: int) -> None:
        """Learn from one take (steps, 80) as core.Learner does, by the method's flags."""
        scale = scale_q15 / 32768
        self.rule.rate = scale * self.rate
        x = filtered(self.model, features)[None]
        if method & TAKES and not self.keep(features, x, label, bool(method & GUARDED)):
            return
        if method & READOUT or self.batch == 1:
            learned = torch.tensor([label]) if self.batch == 1 else None
            rates, _ = rates_and_logits(self.rule, x, learned)
            if method & READOUT:
                self.descend_readout(rates[0], label, scale)
        if method & LATENT and len(self.latent):
            for i in self.rng.integers(len(self.latent), size=self.model.header.latent_per_take):
                self.descend_readout(self.latent[i], int(self.latent_labels[i]), scale)
        if self.batch > 1:
            self.waiting.append((x, label))
        if self.waiting and len(self.waiting) == self.batch:
            clips, labels = zip(*self.waiting, strict=True)
            rates_and_logits(self.rule, torch.cat(clips), torch.tensor(labels))
            self.waiting = []

    def keep(self, features: NDArray[np.int8], x: Tensor, label: int, guarded: bool) -> bool:
        """Keep a take, heard as inputs x; whether it is: one of another word may be refused."""
        assert self.takes is not None
        spikes = self.spikes(x[0])
        logits = self.logits(spikes[-self.window :].mean(0))
        words = label not in (self.model.unknown, self.model.silence)
        others = torch.cat([logits[:label], logits[label + 1 :]])
        if guarded and words and others.max() - logits[label] > GUARD:
            return False
        self.heard[id(features)] = (features, x, label)  # and with it the id stays its own
        self.takes.keep(id(features), label, spikes.mean(0))
        self.moved = self.moved or self.batch == 1
        if self.bank_of_takes:
            assert isinstance(self.rule, DeviceRule)
            self.rule.kept = self.takes.bank(self.latent, self.latent_labels)
        return True

    def hear_takes_anew(self) -> None:
        """Make the traces of takes with the layer as it is now."""
        if self.takes and self.moved:
            for key, (_, x, label) in self.heard.items():
                self.takes.keep(key, label, self.spikes(x[0]).mean(0))
        self.moved = False

    def spikes(self, x: Tensor) -> Tensor:
        """Spikes (T, H) of the last layer over inputs (T, 80), heard from rest."""
        out: list[Tensor] = []

        def add() -> None:
            out.append(self.rule.state.layers[-1].s[0].detach().clone())

        self.rule.hear(1, x[:, None], None, add)
        return torch.stack(out)

    def stream(self, features: NDArray[np.int8]) -> NDArray[np.int32]:
        """Scores of every step of a stream (steps, 80) heard from rest: (steps, classes), Q10."""
        self.hear_takes_anew()
        spikes = self.spikes(filtered(self.model, features))
        sums = torch.cat([torch.zeros(1, spikes.shape[1]), spikes.cumsum(0)])
        end = torch.arange(1, len(sums))
        begin = (end - self.window).clamp(min=0)
        rates = (sums[end] - sums[begin]) / (end - begin)[:, None]
        return rounded(ONE * self.with_takes(rates))

    def with_takes(self, rates: Tensor) -> Tensor:
        """Logits (N, C) of mean rates (N, H), and what takes add to them."""
        logits = self.logits(rates)
        return logits + self.takes.bonus(rates) if self.takes else logits

    def logits(self, rates: Tensor) -> Tensor:
        """The readout of mean rates, (..., C)."""
        logits: Tensor = self.window * rates @ self.weights["V"] + self.weights["c"]
        return logits

    def descend_readout(self, rates: Tensor, label: int, scale: float) -> None:
        """The readout's delta rule on mean rates (H,)."""
        error = functional.softmax(self.logits(rates), 0)
        error[label] -= 1
        gradients = self.rule.readout_gradients(self.window * rates[None], error[None])
        for name, gradient in gradients.items():
            self.weights[name].sub_(gradient, alpha=scale * self.rates[name])

    def scores_of(self, clips: NDArray[np.int8]) -> NDArray[np.int32]:
        """Scores of clips (N, steps, 80), each heard from rest: int32 (N, classes), Q10."""
        if not len(clips):
            return np.zeros((0, len(self.model.labels)), np.int32)
        self.hear_takes_anew()
        rates, _ = rates_and_logits(self.rule, filtered(self.model, clips), None)
        return rounded(ONE * self.with_takes(rates))


class NearestPrototype:
    """Means of the image's latent replay and of the takes; in five passes a take counts five."""

    def __init__(self, model: Model, method: Method, second: Second | None = None) -> None:
        """Start with the means of the latent replay."""
        self.model = model
        rule = make_rule(model, method, {}, second)
        assert isinstance(rule, Prototype)
        self.rule = rule
        rates, labels = latent_of(model, second)
        truth = functional.one_hot(labels, len(model.labels)).to(torch.float32)
        rule.clips += truth.sum(0)[:, None]
        rule.rates += truth.T @ rates / rule.clips.clamp(min=1)

    def take(self, features: NDArray[np.int8], label: int, method: int, scale_q15: int) -> None:
        """Move the mean of the label's class."""
        rates_and_logits(self.rule, filtered(self.model, features)[None], torch.tensor([label]))

    def scores_of(self, clips: NDArray[np.int8]) -> NDArray[np.int32]:
        """Cosines of clips (N, steps, 80) with the prototypes: int32 (N, classes), Q20."""
        if not len(clips):
            return np.zeros((0, len(self.model.labels)), np.int32)
        _, cosines = rates_and_logits(self.rule, filtered(self.model, clips), None)
        return rounded(ONE * ONE * cosines)


def rounded(scores: Tensor) -> NDArray[np.int32]:
    """Integers, as the measure of the columns takes them."""
    return scores.round().to(torch.int32).numpy()


def float_learner(
    model: Model,
    name: str,
    seed: int,
    given: Mapping[str, RuleSettings] | None = None,
    second: Second | None = None,
) -> Adapting:
    """What learns by one of METHODS, with settings by the method's name."""
    torch.set_num_threads(1)
    method = METHODS[name]
    if method.rule == Prototype.name:
        return NearestPrototype(model, method, second)
    return FloatLearner(model, method, (given or {}).get(name, {}), seed, second)


def settings_of(texts: Iterable[str]) -> dict[str, RuleSettings]:
    """Settings by method from texts method.key=value.

    Raises:
        DataError: no such method, a key that it does not have, or a value of another kind.
    """
    settings: dict[str, RuleSettings] = {}
    for text in texts:
        name, _, setting = text.partition(".")
        if name not in METHODS or not METHODS[name].settable():
            able = ", ".join(name for name in METHODS if METHODS[name].settable())
            raise DataError(f"--set {text}: METHOD.key=value, where METHOD is one of {able}")
        method = METHODS[name]
        if setting.partition("=")[0] not in method.settable():
            raise DataError(f"--set {text}: {name} has {', '.join(method.settable())}")
        settings.setdefault(name, {}).update(experiment.settings_of(method.rule, [setting]))
    return settings


def compare(
    model: Model,
    people: People,
    settings: adapting.Experiment,
    methods: Iterable[str] | None = None,
    given: Mapping[str, RuleSettings] | None = None,
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
    second: Second | None = None,
) -> adapting.AdaptingReport:
    """Run methods ("none" is always among them) over all speakers and draws.

    Args:
        model: the model, with the rates to use.
        people: from adapting.read_people().
        settings: the experiment.
        methods: names of METHODS; all that the model can learn by, if none are named.
        given: settings of methods, by their names.
        workers: processes; all cores by default.
        progress: over draws of speakers.
        second: a second layer to put on the model's.

    Raises:
        LabError: the image's surrogate is not the lab's, a setting that a rule does not take, or
            takes are to be kept and the image keeps none.
    """
    chosen, given = tuple(methods or methods_for(model)), given or {}
    for name in chosen:
        make_rule(model, METHODS[name], given.get(name, {}), second)
        if METHODS[name].flags & TAKES:
            Takes(model)
    return adapting.bench_adapt(
        model,
        people,
        settings,
        chosen,
        workers,
        progress,
        FLAGS,
        partial(float_learner, given=given, second=second),
    )
