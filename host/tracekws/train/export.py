# SPDX-License-Identifier: Apache-2.0
"""From a trained network to the model image: quantisation and replay."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from tracekws._core import lib
from tracekws.core import LATENT, READOUT, TAKES, FeatureConfig, Model, Network
from tracekws.data import SILENCE, UNKNOWN
from tracekws.modelfile import (
    Arrays,
    Convolution,
    Detector,
    Learning,
    OwnForm,
    Replay,
    TraceForm,
    build_image,
    sections_of,
    with_own_words,
    with_sections,
    with_traces,
)
from tracekws.train.network import READOUT_GAIN, SpikingNetwork
from tracekws.train.traces import Spoken, fit_form

N_LATENT = 196
OF_TRACES = (lib.TKWS_SECTION_TRACES, lib.TKWS_SECTION_OWN)
"""Sections that say how traces of a layer are compared."""
IMAGE_LIMIT = 192 * 1024
"""Bytes of the largest image for this class of device."""


def arrays_of(network: SpikingNetwork) -> Arrays:
    """The network's numbers in the layout of the image."""

    def numbers(tensor: torch.Tensor) -> NDArray[np.float64]:
        return tensor.detach().cpu().numpy().astype(np.float64)

    convolution = None
    if before := network.convolution:
        shape = before.shape
        kernels = numbers(before.weights)[:, 0]
        convolution = Convolution(kernels, numbers(before.bias), shape.stride, shape.margin)
    return Arrays(
        weights=numbers(network.weights).T,
        recurrent=numbers(network.recurrent),
        bias=numbers(network.bias),
        readout=numbers(network.readout) * READOUT_GAIN,
        readout_bias=numbers(network.readout_bias),
        taps=numbers(network.taps),
        decay=numbers(network.decay),
        target=numbers(network.target),
        convolution=convolution,
    )


def herd(rates: NDArray[np.float64], count: int) -> list[int]:
    """Rows whose mean stays close to the mean of all, in this order (Welling, ICML 2009).

    Args:
        rates: (clips, neurons) mean rates of a class.
        count: how many; all when there are fewer.
    """
    mean = rates.mean(0)
    wanted = mean.copy()
    free = np.ones(len(rates), dtype=bool)
    rows = []
    for _ in range(min(count, len(rates))):
        row = int(np.where(free, rates @ wanted, -np.inf).argmax())
        free[row] = False
        wanted += mean - rates[row]
        rows.append(row)
    return rows


def replay_rows(
    words: NDArray[np.int64], rates: NDArray[np.float64], keywords: int, count: int
) -> list[int]:
    """Rows to rehearse: half keywords, half others, evenly over the words, each by herding.

    Rows drawn at random make learning of one model lose rejection and that of the next keywords.

    Args:
        words: of the rows, numbered as in words_of().
        rates: (rows, H) of theirs.
        keywords: how many of the words are.
        count: rows wanted.
    """
    there = np.unique(words)[:-1]  # silence is the last
    both = (there[there >= keywords], there[there < keywords])
    kinds = [kind for kind in both if len(kind)]
    of = len(kinds)
    turns = [kinds[n % of][n // of % len(kinds[n % of])] for n in range(count)]
    herds = {}
    for word in set(turns):
        rows = np.flatnonzero(words == word)
        herds[word] = iter([int(rows[i]) for i in herd(rates[rows], turns.count(word))])
    return [row for word in turns if (row := next(herds[word], None)) is not None]


def replay_vectors(labels: NDArray[np.int64], rates: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Classes (n,) and mean rates (n, H) as an image has them: (n, 1 + H)."""
    return np.column_stack([labels, np.clip(np.rint(rates * 256), 0, 255)]).astype(np.uint8)


def export(
    name: str,
    network: SpikingNetwork,
    classes: tuple[str, ...],
    features: NDArray[np.int8],
    labels: NDArray[np.int64],
    words: NDArray[np.int64],
    config: FeatureConfig,
    learning: Learning,
    detector: Detector,
    latent: int = N_LATENT,
    sequences: int | None = None,
    spoken: Spoken | None = None,
    own_words: int = 0,
    start: Model | None = None,
) -> bytes:
    """The model image of a network.

    Args:
        name: of the model.
        network: trained.
        classes: labels of its outputs.
        features: (clips, steps, 80) int8 of training clips, for the replay and the form of traces.
        labels: their classes.
        words: theirs, numbered as in words_of(); silence is the last.
        config: of the front end.
        learning: constants of learning.
        detector: constants of the detector.
        latent: replay vectors.
        sequences: replay sequences; as many as fit IMAGE_LIMIT by default, maybe none.
        spoken: other words, for the form of traces alone.
        own_words: of the user's own that there is room for, where takes can be compared.
        start: a model whose layer the network has: traces are compared as by it.
    """
    arrays = arrays_of(network)
    kept = {} if start is None else {kind: sections_of(start).get(kind) for kind in OF_TRACES}
    kept_sections = {kind: payload for kind, payload in kept.items() if payload is not None}

    def image(replay: Replay, form: TraceForm | None = None) -> bytes:
        bare = build_image(
            name, classes, UNKNOWN, SILENCE, arrays, config, learning, detector, replay
        )
        if kept_sections:
            return with_sections(Model(bare), kept_sections)
        if form is None:
            return bare
        compares = with_traces(Model(bare), form)
        return with_own_words(Model(compares), OwnForm(own_words)) if own_words else compares

    keywords = len(classes) - 2
    heard = Network(Model(image(Replay())))
    rates = np.stack([heard.rates(clip) for clip in features])
    said = labels != classes.index(SILENCE)
    traces, of_word = rates[said], words[said]
    if spoken:
        traces = np.concatenate([traces, [heard.rates(take) for take in spoken.features]])
        of_word = np.concatenate([of_word, spoken.words + words.max() + 1])
    form = None if kept_sections else fit_form(traces, of_word)
    if (
        form is None and not kept_sections and learning.method & TAKES
    ):  # too few takes of any word: the readout learns
        learning = replace(learning, method=READOUT | LATENT, passes=Learning.passes)
    rows = replay_rows(words, rates, keywords, latent)
    vectors = replay_vectors(labels[rows], rates[rows])
    with_latent = image(Replay(latent=vectors), form)
    row_bytes = 1 + features.shape[1] * lib.TKWS_FEATURES
    room = (IMAGE_LIMIT - len(with_latent)) // row_bytes
    count = max(0, min(room, 256)) if sequences is None else sequences
    rows = replay_rows(words, rates, keywords, count)
    flat = features[rows].reshape(len(rows), row_bytes - 1).view(np.uint8)
    takes = np.column_stack([labels[rows].astype(np.uint8), flat])
    return image(Replay(vectors, takes), form)
