# SPDX-License-Identifier: Apache-2.0
"""The C core for the host: models, features, network and learner, as the device runs them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracekws._core import ffi, lib
from tracekws.errors import DataError, ModelError, TraceKwsError, check, code
from tracekws.files import MIB, read_bytes
from tracekws.names import NAME_BYTES, OTHER, is_name
from tracekws.shipped import SHIPPED, model_file, shipped_model

FEATURES: int = lib.TKWS_FEATURES
CHANNELS: int = lib.TKWS_CHANNELS
STEP_SAMPLES: int = lib.TKWS_STEP_SAMPLES

ODDS_ONE: int = lib.TKWS_ODDS_ONE
"""Odds of the detector's thresholds in Q8: the model's own."""
READOUT: int = lib.TKWS_LEARN_READOUT
TRACES: int = lib.TKWS_LEARN_TRACES
LATENT: int = lib.TKWS_LEARN_LATENT
SEQUENCES: int = lib.TKWS_LEARN_SEQUENCES
TAKES: int = lib.TKWS_LEARN_TAKES
GUARDED: int = lib.TKWS_LEARN_GUARDED
MOST_IMAGE_BYTES = 64 * MIB
"""Far above what any part has room for."""


@dataclass(frozen=True)
class FeatureConfig:
    """Energy normalisation of the front end (frontend.h)."""

    alpha_q15: int = 32113
    mean_shift: int = 6
    fall_shift: int = 3
    energy_floor: int = 1 << 20


def _other_format(image: bytes) -> str:
    """What is wrong with an image of a format that this version does not read, and what to do."""
    format_version = int.from_bytes(image[4:8], "little")
    if format_version > lib.TKWS_MODEL_FORMAT:
        return f"format_version: the image is of format {format_version}: update tracekws"
    return (
        f"format_version: the image is of format {format_version}, made by an older version: take a"
        " model that comes with this one, or make it again by the command that its card names"
        " (with the same --run, what was trained is not trained again)"
    )


def _names(cells: Any, count: int) -> tuple[str, ...]:
    """The names in cells of a checked image.

    Raises:
        ModelError: one is not in the form that the host compares names in.
    """
    raw = bytes(ffi.buffer(cells, count * NAME_BYTES))
    found = tuple(
        raw[at : at + NAME_BYTES].rstrip(b"\0").decode() for at in range(0, len(raw), NAME_BYTES)
    )
    for name in found:
        if not is_name(name):
            raise ModelError(f"name or labels: '{name}' is not in Unicode's form NFC")
    return found


class Model:
    """A checked model image.

    Example:
        >>> from tracekws import Model
        >>> Model.load("base").keywords
        ('yes', 'no', 'up', 'down', 'left', 'right', 'on', 'off', 'stop', 'go')

    Args:
        image: bytes of a file NAME.tkws.

    Raises:
        ModelError: the image is malformed; the message names the field.
    """

    def __init__(self, image: bytes) -> None:
        """Check the image and keep it."""
        self.image = image
        self._buffer = ffi.from_buffer("uint8_t[]", image)
        self.c = ffi.new("tkws_model *")
        result = lib.tkws_model_parse(self.c, self._buffer, len(image))
        if result == code("MODEL_FORMAT"):
            raise ModelError(_other_format(image))
        check(result)
        self.header: Any = self.c.header
        (self.name,) = _names(self.c.name, 1)
        self.labels = _names(self.c.labels, self.header.n_classes)
        self.crc: int = self.c.crc

    @classmethod
    def load(cls, path: Path | str) -> "Model":
        """Read a model.

        Args:
            path: of a file, or the name of one that comes with the package: "base" or "small".

        Returns:
            The model.

        Raises:
            ModelError: there is none, or it is malformed; the message names the file.
        """
        path = model_file(path)
        try:
            image = read_bytes(path, MOST_IMAGE_BYTES)
        except DataError as error:
            raise ModelError(str(error)) from error
        try:
            return cls(image)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error

    @property
    def identity(self) -> dict[str, str]:
        """Name and CRC, as results name their model."""
        return {"name": self.name, "crc": f"{self.crc:08x}"}

    @property
    def unknown(self) -> int:
        """Class of words that are no keywords."""
        return int(self.header.unknown_class)

    @property
    def silence(self) -> int:
        """Class of no speech."""
        return int(self.header.silence_class)

    @property
    def keywords(self) -> tuple[str, ...]:
        """Labels that are words."""
        return tuple(
            label for c, label in enumerate(self.labels) if c not in (self.unknown, self.silence)
        )

    def has_sound(self, word: str) -> bool:
        """Say whether a word has one sound.

        Args:
            word: the model's, or any other.

        Returns:
            False for other words, unknown ones and silence.
        """
        return word in self.keywords or word not in (OTHER, *self.labels)

    @property
    def front_end(self) -> FeatureConfig:
        """Settings of the model's front end: what features() takes."""
        h = self.header
        return FeatureConfig(h.alpha_q15, h.mean_shift, h.fall_shift, h.energy_floor)

    @property
    def isolated(self) -> bool:
        """Whether only words that stand by themselves are heard, unless it is asked for."""
        return bool(self.header.isolated)

    @property
    def trainable_bytes(self) -> int:
        """Bytes of all that is learned: weights and takes."""
        return int(lib.tkws_model_trainable_bytes(self.c))

    @property
    def takes_bytes(self) -> int:
        """Bytes of the takes among them; 0 where the model keeps none."""
        return int(lib.tkws_model_takes_bytes(self.c))

    @property
    def keeps_takes(self) -> bool:
        """Whether takes are kept and compared with what is heard."""
        return bool(self.c.traces.rank)

    @property
    def own_words(self) -> int:
        """Words of the user's own that there is room for, beside the labels."""
        return int(self.c.own.n_words)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights that learning may change."""
        return self.trainable_bytes - self.takes_bytes

    def class_of(self, word: str) -> int:
        """Class of a word: its own, or that of unknown words.

        Args:
            word: any word.

        Returns:
            Its place in labels.
        """
        return self.labels.index(word) if word in self.keywords else self.unknown


def check_pcm(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    """The samples, in one piece.

    Raises:
        DataError: they are not int16 of one channel.
    """
    if not isinstance(pcm, np.ndarray) or pcm.dtype != np.int16 or pcm.ndim != 1:
        raise DataError("PCM must be int16 of one channel")
    return np.ascontiguousarray(pcm)


def frontend_at_rest(config: FeatureConfig) -> Any:
    """The state of a front end that has heard nothing."""
    frontend = ffi.new("tkws_frontend *")
    check(
        lib.tkws_frontend_init(
            frontend,
            config.alpha_q15,
            config.mean_shift,
            config.fall_shift,
            config.energy_floor,
        )
    )
    return frontend


def features(pcm: NDArray[np.int16], config: FeatureConfig) -> NDArray[np.int8]:
    """Features of a recording, heard from reset: int8 (steps, 80), Q4, a step every 20 ms."""
    return features_and_loudness(pcm, config)[0]


def features_and_loudness(
    pcm: NDArray[np.int16], config: FeatureConfig
) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Features of a recording, as features(), and the loudness of its steps.

    Args:
        pcm: (samples,).
        config: of the normalisation; loudness does not depend on it.

    Returns:
        Features, and (steps,) logarithms to base 2 of energies, Q10: 340 is 1 dB.
    """
    frontend = frontend_at_rest(config)
    pcm = np.ascontiguousarray(pcm, dtype=np.int16)
    out = np.empty((len(pcm) // STEP_SAMPLES + 1, FEATURES), dtype=np.int8)
    loudness = np.empty(len(out), dtype=np.int32)
    source = ffi.from_buffer("int16_t[]", pcm)
    consumed = ffi.new("size_t *")
    at = steps = 0
    while at < len(pcm):
        row = ffi.from_buffer("int8_t[]", out[steps])
        done = lib.tkws_frontend_push(frontend, source + at, len(pcm) - at, consumed, row)
        at += consumed[0]
        if done:
            loudness[steps] = frontend.loudness
            steps += 1
    return out[:steps].copy(), loudness[:steps].copy()


def energies(pcm: NDArray[np.int16]) -> NDArray[np.uint64]:
    """Mel energies of recordings of one length, before they are normalised.

    Args:
        pcm: (..., samples), at least a window (25 ms) long.

    Returns:
        (..., frames, 40), in 1/16 squared PCM steps; a frame every 10 ms.
    """
    pcm = np.ascontiguousarray(pcm, dtype=np.int16)
    samples = pcm.shape[-1]
    frames = (samples - lib.TKWS_WINDOW) // lib.TKWS_HOP + 1
    out = np.empty((*pcm.shape[:-1], frames, CHANNELS), dtype=np.uint64)
    source, target = ffi.from_buffer("int16_t[]", pcm), ffi.from_buffer("uint64_t[]", out)
    lib.batch_energies(source, pcm.size // samples, samples, target)
    return out


def normalise(energies: NDArray[np.uint64], config: FeatureConfig) -> NDArray[np.int8]:
    """Features of mel energies, each clip from reset: normalise(energies(x), c) is features(x, c).

    Args:
        energies: (..., frames, 40); a frame without its pair at the end is left out.
        config: of the normalisation.

    Returns:
        (..., steps, 80), Q4.
    """
    frames = energies.shape[-2] // lib.TKWS_STACK * lib.TKWS_STACK
    source = np.ascontiguousarray(energies[..., :frames, :], dtype=np.uint64)
    out = np.empty((*source.shape[:-2], frames // lib.TKWS_STACK, FEATURES), dtype=np.int8)
    clips = int(np.prod(source.shape[:-2]))
    given, target = ffi.from_buffer("uint64_t[]", source), ffi.from_buffer("int8_t[]", out)
    lib.batch_normalise(frontend_at_rest(config), clips, frames, given, target)
    return out


class Weights:
    """The trainable state of a model, in memory of its own.

    Args:
        model: the image.
        state: as Weights.state gives it; the model's own by default.

    Raises:
        TraceKwsError: the state is of another model.
    """

    def __init__(self, model: Model, state: bytes | None = None) -> None:
        """Lay the matrices out."""
        self.model = model
        self._memory = ffi.new("int16_t[]", model.trainable_bytes // 2)
        self.c = ffi.new("tkws_weights *")
        check(lib.tkws_weights_init(self.c, model.c, self._memory, model.trainable_bytes))
        if state is not None:
            self.state = state

    @property
    def state(self) -> bytes:
        """As the device saves and sends it: int16, little endian, in the image's order."""
        n = self.model.trainable_bytes
        out = ffi.new("uint8_t[]", n)
        check(lib.tkws_weights_read(self.model.c, self.c, 0, out, n))
        return bytes(ffi.buffer(out))

    @state.setter
    def state(self, state: bytes) -> None:
        if len(state) != self.model.trainable_bytes:
            raise TraceKwsError(
                f"{len(state)} bytes are not the weights of {self.model.name}, which has"
                f" {self.model.trainable_bytes}"
            )
        source = ffi.from_buffer("uint8_t[]", state)
        check(lib.tkws_weights_write(self.model.c, self.c, 0, source, len(state)))


def known_model(crc: int, *given: Model | None) -> Model | None:
    """The model with a CRC: one of those that are given, or that come with the package.

    Args:
        crc: of its image.
        given: models, or None.

    Returns:
        The model; None where it is none of them.
    """
    found = [model for model in given if model and model.crc == crc]
    for name in SHIPPED:
        if not found and shipped_model(name).exists() and (model := Model.load(name)).crc == crc:
            found.append(model)
    return found[0] if found else None


@dataclass(frozen=True)
class OwnWord:
    """A word of the user's own.

    Example:
        >>> from tracekws import OwnWord
        >>> OwnWord("lamp", 3, 0.61).takes
        3
    """

    word: str
    takes: int
    """That it was taught by; at most 16 are counted."""
    agreement: float | None
    """Mean cosine of each take with those before it; None of one take."""

    @classmethod
    def of(cls, word: str, takes: int, agreement_q15: int) -> "OwnWord":
        """As the core and a device have it; the agreement of one take says nothing."""
        return cls(word, takes, agreement_q15 / 32768 if takes > 1 else None)


def own_words(model: Model, weights: bytes) -> dict[int, OwnWord]:
    """The words of the user's own in what was learned, by their numbers in events.

    Sounds that are no word are not among them.

    Args:
        model: the image.
        weights: as Network.weights gives them.

    Raises:
        TraceKwsError: the weights are of another model.
    """
    held = Weights(model, weights)
    found = {}
    for number in range(len(model.labels), lib.tkws_model_words(model.c)):
        cell = lib.tkws_own_name(model.c, held.c, number)
        if cell != ffi.NULL and not lib.tkws_own_is_nothing(model.c, held.c, number):
            (name,) = _names(cell, 1)
            takes = lib.tkws_takes_count(model.c, held.c, number)
            agreement_q15 = lib.tkws_own_agreement(model.c, held.c, number)
            found[number] = OwnWord.of(name, takes, agreement_q15)
    return found


def network_memory(model: Model) -> Any:
    """Memory for the state of a model's network."""
    return ffi.new("int32_t[]", lib.tkws_network_memory_bytes(model.c) // 4)


class Templates:
    """The takes among weights as the core compares them with what is heard (templates.h).

    Args:
        model: the image.
        weights: of which the takes are read, and only now.

    Raises:
        TraceKwsError: the model keeps no takes.
    """

    def __init__(self, model: Model, weights: Weights) -> None:
        """Make the templates, at rest."""
        n_bytes = lib.tkws_templates_memory_bytes(model.c)
        self._memory = ffi.new("int32_t[]", -(-n_bytes // 4))
        self.c = ffi.new("tkws_templates *")
        check(lib.tkws_templates_init(self.c, model.c, weights.c, self._memory, n_bytes))


def templates_of(model: Model, weights: Weights) -> Templates | None:
    """The templates of what was learned; None where no takes are kept."""
    wanted = lib.tkws_templates_wanted(model.c, weights.c)
    return Templates(model, weights) if wanted else None


class Network:
    """A network with weights of its own, to listen with.

    Args:
        model: the image.
        weights: the trainable state, as Network.weights gives it; the model's own by default.

    Raises:
        TraceKwsError: the weights are of another model.
    """

    def __init__(self, model: Model, weights: bytes | None = None) -> None:
        """Start at rest."""
        self.model = model
        self._weights = Weights(model, weights)
        self._templates: Templates | None = None
        self._takes_changed = True
        self._memory = network_memory(model)
        self._network = ffi.new("tkws_network *")
        n_bytes = ffi.sizeof(self._memory)
        check(lib.tkws_network_init(self._network, model.c, self._weights.c, self._memory, n_bytes))

    def scores(self, features: NDArray[np.int8]) -> NDArray[np.int32]:
        """Scores after a clip that is heard from rest.

        Args:
            features: int8 (steps, 80), Q4.

        Returns:
            int32 (classes,), Q10.
        """
        self._rest()
        self._run(features)
        out = np.empty(self.model.header.n_classes, dtype=np.int32)
        lib.tkws_network_scores(self._network, ffi.from_buffer("int32_t[]", out))
        if self._templates:
            lib.tkws_templates_add(self._templates.c, ffi.from_buffer("int32_t[]", out))
        return out

    def scores_of(self, clips: NDArray[np.int8]) -> NDArray[np.int32]:
        """Scores of clips, each heard from rest.

        Args:
            clips: int8 (N, steps, 80), Q4.

        Returns:
            int32 (N, classes), Q10.
        """
        out = np.empty((len(clips), self.model.header.n_classes), dtype=np.int32)
        for row, clip in zip(out, clips, strict=True):
            row[:] = self.scores(clip)
        return out

    def stream(self, features: NDArray[np.int8]) -> NDArray[np.int32]:
        """Scores of every step of a stream that is heard from rest.

        Args:
            features: int8 (steps, 80), Q4.

        Returns:
            int32 (steps, classes), Q10.
        """
        self._rest()
        out = np.empty((len(features), self.model.header.n_classes), dtype=np.int32)
        self._run(features, scores=ffi.from_buffer("int32_t[]", out))
        return out

    def rates(self, features: NDArray[np.int8]) -> NDArray[np.float64]:
        """Mean spikes a step of each neuron over a clip that is heard from rest.

        Args:
            features: int8 (steps, 80), Q4.

        Returns:
            (neurons,), 0 to 1.
        """
        mean: NDArray[np.float64] = self.spikes(features).mean(0)
        return mean

    def spikes(self, features: NDArray[np.int8]) -> NDArray[np.bool_]:
        """Which neurons spike in each step of a stream that is heard from rest.

        Args:
            features: int8 (steps, 80), Q4.

        Returns:
            bool (steps, neurons).
        """
        self._rest()
        out = np.zeros((len(features), self.model.header.n_neurons), dtype=np.uint8)
        self._run(features, spikes=ffi.from_buffer("uint8_t[]", out))
        return out.view(np.bool_)

    def cosines(self, features: NDArray[np.int8]) -> NDArray[np.int32]:
        """How like the takes of each word the last second is, in a stream that is heard from rest.

        Args:
            features: int8 (steps, 80), Q4.

        Returns:
            int32 (steps, classes, and words of the user's own that there is room for), Q15; 0 for
            words without takes.

        Raises:
            TraceKwsError: there are no takes.
        """
        self._rest()
        if not self._templates:
            raise TraceKwsError("there are no takes to compare with")
        words = lib.tkws_model_words(self.model.c)
        out = np.empty((len(features), words), dtype=np.int32)
        self._run(features, cosines=ffi.from_buffer("int32_t[]", out))
        return out

    def least(self) -> NDArray[np.float64]:
        """What the cosine of each word of the user's own is to be above (own.h).

        Returns:
            (words of the user's own that there is room for,); 0 for one that is not there.

        Raises:
            TraceKwsError: there are no takes.
        """
        self._rest()
        if not self._templates:
            raise TraceKwsError("there are no takes to compare with")
        first, there = len(self.model.labels), self._templates.c.n_words
        out = np.zeros(self.model.own_words)
        for place in range(first, there):
            out[place - first] = self._templates.c.words[place].least / 32768
        return out

    def _rest(self) -> None:
        lib.tkws_network_reset(self._network)
        if self._takes_changed:
            self._templates = templates_of(self.model, self._weights)
            self._takes_changed = False
        elif self._templates:
            lib.tkws_templates_reset(self._templates.c)

    @property
    def weights(self) -> bytes:
        """The trainable state as the device saves and sends it."""
        return self._weights.state

    @weights.setter
    def weights(self, state: bytes) -> None:
        self._weights.state = state
        self._takes_changed = True

    def _run(
        self,
        features: NDArray[np.int8],
        learner: Any = ffi.NULL,
        scores: Any = ffi.NULL,
        cosines: Any = ffi.NULL,
        spikes: Any = ffi.NULL,
    ) -> None:
        source = ffi.from_buffer("int8_t[]", np.ascontiguousarray(features, dtype=np.int8))
        learns = learner != ffi.NULL
        templates = self._templates.c if self._templates and not learns else ffi.NULL
        n_steps = len(features)
        check(
            lib.batch_steps(
                self._network, learner, templates, source, n_steps, scores, cosines, spikes
            )
        )


def detect(
    model: Model,
    scores: NDArray[np.int32],
    loudness: NDArray[np.int32],
    odds_q8: int = ODDS_ONE,
    isolated: bool | None = None,
) -> list[tuple[int, int]]:
    """Events of the model's detector over a stream's scores: class and end sample of each.

    Args:
        model: gives thresholds, smoothing and refractory time.
        scores: int32 (steps, classes), Q10, from Network.stream().
        loudness: (steps,), from features_and_loudness().
        odds_q8: what the thresholds' odds are multiplied by (detector.h).
        isolated: whether only words that stand by themselves are heard; as the model says by
            default.
    """
    detector = ffi.new("tkws_detector *")
    event = ffi.new("tkws_event *")
    lib.tkws_detector_init(detector, model.c)
    lib.tkws_detector_set_odds(detector, odds_q8)
    if isolated is not None:
        lib.tkws_detector_set_isolated(detector, isolated)
    rows = ffi.from_buffer("int32_t[]", np.ascontiguousarray(scores))
    events = []
    for step, loud in enumerate(loudness):
        at = step * scores.shape[1]
        if lib.tkws_detector_step(detector, rows + at, int(loud), event):
            events.append((event.word, event.end_sample))
    return events
