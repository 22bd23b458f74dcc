# SPDX-License-Identifier: Apache-2.0
"""Starting points made to be adapted: first-order meta-learning through the device's own rule.

Finn, Abbeel, Levine, *Model-Agnostic Meta-Learning*, arXiv 1703.03400, in the first-order form of
Nichol, Achiam, Schulman, *On First-Order Meta-Learning Algorithms*, arXiv 1803.02999 (FOMAML; phi
the starting point, tau a speaker):

    theta_tau = what phi becomes on the device after tau's support     (all passes, falling rates)
    g_tau     = how theta_tau changes by learning tau's query          (a take each, full rates)
    phi      <- phi + step mean_tau g_tau

Support and query, keywords and other words, are drawn anew each round. What learns is the C core,
in int16, and so is the change g; phi is kept in floating point, and rounded for each round. With
the layer's weights the mean rates of the replay vectors change: they are made anew, from the same
speakers' clips (changed, if sound is to be), for each round and for the end. So compare with a
starting point of no rounds and the same change. Thresholds, sequences to replay and the numbers by
which takes are compared stay as they are.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tracekws import modelfile
from tracekws.bench.adapting import DrawRunner, Experiment, People, choose_speakers, read_people
from tracekws.core import LATENT, SEQUENCES, Model, Network
from tracekws.data import Stage, Tree, episode, left_out
from tracekws.errors import DataError
from tracekws.learner import FULL_SCALE, Learner
from tracekws.parallel import spread
from tracekws.train.export import replay_rows, replay_vectors

Weights = NDArray[np.float64]


@dataclass(frozen=True)
class MetaSettings:
    """How to move a starting point."""

    method: int
    """Flags of learning: of the support; the query goes without replay."""
    rounds: int
    step: float
    adaptation: Experiment


def numbers(network: Network) -> Weights:
    """A network's weights, in their own units, without the takes that it keeps."""
    weights = network.weights[: network.model.weight_bytes]
    return np.frombuffer(weights, "<i2").astype(np.float64)


def pupils(model: Model, tree: Tree, excluded: frozenset[str], shots: int) -> tuple[str, ...]:
    """Training speakers with more takes, by their names, than `shots` of five keywords or more.

    Raises:
        DataError: there are none, or the tree has no lists.
    """
    if not tree.has_lists:
        raise DataError(
            f"{tree.root}: no testing_list.txt and validation_list.txt, which say who trains"
        )
    excluded = left_out(tree, excluded)
    clips = [clip for clip in tree.of("training") if clip.speaker not in excluded]
    return choose_speakers(clips, model.keywords, shots, None)[0]


def rehearsal(model: Model, people: People, count: int) -> NDArray[np.uint8]:
    """So many replay vectors, or fewer, of the speakers' clips: (n, 1 + H)."""
    names = sorted({clip.word for clip in people.clips} - set(model.keywords))
    words = (*model.keywords, *names)
    own = [i for i, clip in enumerate(people.clips) if clip.speaker in set(people.speakers)]
    network = Network(model)
    rates = np.stack([network.rates(people.features[i]) for i in own])
    spoken = [words.index(people.clips[i].word) for i in own]
    silence = np.zeros_like(rates[:1])  # replay_rows leaves the last word out
    rows = replay_rows(
        np.array([*spoken, len(words)]),
        np.concatenate([rates, silence]),
        len(model.keywords),
        count,
    )
    labels = np.array([model.class_of(people.clips[own[row]].word) for row in rows])
    return replay_vectors(labels, rates[rows])


def placed(model: Model, name: str, weights: Weights, people: People) -> Model:
    """The model with another name, other weights, and replay vectors made anew."""
    state = modelfile.to_int16(weights, 0)
    nothing = np.zeros((0, 1 + model.header.n_neurons), np.uint8)
    moved = Model(modelfile.with_weights(model, name, state, nothing))
    latent = rehearsal(moved, people, model.header.n_latent)
    return Model(modelfile.with_weights(model, name, state, latent))


class Pupils(DrawRunner):
    """One process's copy: what a speaker's query changes after the support."""

    def __init__(self, image: bytes, people: People, settings: MetaSettings, turn: int) -> None:
        """Keep what every speaker needs in this round."""
        super().__init__(image, people, settings.adaptation, {})
        self.method, self.turn = settings.method, turn

    def change(self, speaker: str) -> Weights:
        """g_tau."""
        shots, seed = self.settings.shots, self.settings.seed
        rng = np.random.default_rng([seed, self.turn, self.people.speakers.index(speaker)])
        draw = episode(self.people.clips, speaker, self.model.keywords, shots, 0, rng)
        learner = Learner(self.model, int(rng.integers(1, 2**32)))
        self.adapt(learner, draw, self.method, rng)
        before = numbers(learner)
        alone = self.method & ~(LATENT | SEQUENCES)
        for i in rng.permutation([*draw.query, *draw.other_words]):
            learner.take(self.people.features[i], int(self.truth[i]), alone, FULL_SCALE)
        return numbers(learner) - before


def learn(
    model: Model,
    tree: Tree,
    excluded: frozenset[str],
    settings: MetaSettings,
    name: str,
    stage: Stage,
    workers: int | None = None,
) -> tuple[Model, int]:
    """A model that starts from another point, and how many speakers it was moved by.

    With no rounds only its replay vectors are made anew: what to compare with.

    Args:
        model: the image to start from.
        tree: a data set with lists.
        excluded: speakers to leave out.
        settings: the method.
        name: of the model that is made.
        stage: gives the progress of reading and of the speakers of all rounds.
        workers: processes; all cores by default.

    Raises:
        DataError: nobody has enough takes.
    """
    speakers = pupils(model, tree, excluded, settings.adaptation.shots)
    people = read_people(
        model, tree, None, speakers, settings.adaptation, stage("reading"), noise_part="training"
    )
    weights = numbers(Network(model))
    progress, done = stage("speakers"), 0
    for turn in range(settings.rounds):
        now = placed(model, name, weights, people)
        make = partial(Pupils, now.image, people, settings, turn)
        total = np.zeros_like(weights)
        for change in spread(Pupils.change, people.speakers, workers, make):
            total += change
            done += 1
            progress(done, settings.rounds * len(people.speakers))
        weights += settings.step * total / len(people.speakers)
    return placed(model, name, weights, people), len(people.speakers)
