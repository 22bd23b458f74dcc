# SPDX-License-Identifier: Apache-2.0
"""The core's objects with the memory behind them, thin as can be, for tests."""

from typing import Any

import numpy as np

from images import TRAINABLE
from tracekws._core import ffi, lib

CANARY = 0xA5
N_CANARIES = 64


E = {
    ffi.string(entry.name).decode(): entry.number
    for entry in lib.tkws_error_table[0 : lib.tkws_error_count]
}


def check(result: int) -> int:
    """The result of a call that must succeed."""
    assert result >= 0, f"error {result}"
    return result


class Memory:
    """A buffer with canaries on both sides, aligned to 8."""

    def __init__(self, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self.buffer = ffi.new("uint64_t[]", (n_bytes + 7) // 8 + 2 * N_CANARIES // 8)
        self.bytes = np.frombuffer(ffi.buffer(self.buffer), np.uint8)
        self.bytes[:] = CANARY

    @property
    def pointer(self) -> Any:
        """Start of the usable part."""
        return ffi.cast("uint8_t *", self.buffer) + N_CANARIES

    def is_intact(self) -> bool:
        """Nothing was written outside the usable part."""
        used = slice(N_CANARIES, N_CANARIES + self.n_bytes)
        outside = np.delete(self.bytes, np.r_[used])
        return bool((outside == CANARY).all())


def parse(image: bytes) -> Any:
    """The model of an image; keeps the image alive."""
    model = ffi.new("tkws_model *")
    memory = ffi.from_buffer(image)
    check(lib.tkws_model_parse(model, memory, len(image)))
    return KeepAlive(model, image, memory)


class KeepAlive:
    """A C pointer together with what it points into."""

    def __init__(self, pointer: Any, *owners: Any) -> None:
        self.pointer = pointer
        self.owners = owners

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pointer, name)


class Machine:
    """A model, its weights, a network and a learner."""

    def __init__(self, image: bytes, seed: int = 1) -> None:
        self.model = parse(image)
        self.header = self.model.header
        h = self.header
        shapes = {
            "weights": (h.n_neurons, h.n_inputs),
            "recurrent": (h.n_neurons, h.n_neurons),
            "bias": (h.n_neurons,),
            "readout": (h.n_neurons, h.n_classes),
            "readout_bias": (h.n_classes,),
        }
        self.w: dict[str, np.ndarray] = {}
        self.weights = ffi.new("tkws_weights *")
        self.memories: list[Memory] = []
        for name in TRAINABLE:
            memory = self.memory(2 * int(np.prod(shapes[name])))
            setattr(self.weights, name, ffi.cast("int16_t *", memory.pointer))
            flat = np.frombuffer(ffi.buffer(memory.pointer, memory.n_bytes), np.int16)
            self.w[name] = flat.reshape(shapes[name])
        takes = self.memory(lib.tkws_model_takes_bytes(self.model.pointer))
        self.weights.takes = takes.pointer
        self.takes = np.frombuffer(ffi.buffer(takes.pointer, takes.n_bytes), np.uint8)
        if takes.n_bytes > 0:
            n_words = lib.tkws_model_words(self.model.pointer)
            n_row = lib.tkws_model_take_bytes(self.model.pointer)
            self.takes = self.takes[: n_words * n_row].reshape(n_words, n_row)
        lib.tkws_weights_load(self.model.pointer, self.weights)
        self.network = ffi.new("tkws_network *")
        m = self.memory(lib.tkws_network_memory_bytes(self.model.pointer))
        check(
            lib.tkws_network_init(
                self.network, self.model.pointer, self.weights, m.pointer, m.n_bytes
            )
        )
        self.learner = ffi.new("tkws_learner *")
        m = self.memory(lib.tkws_learner_memory_bytes(self.model.pointer))
        check(lib.tkws_learner_init(self.learner, self.network, m.pointer, m.n_bytes, seed))

    def memory(self, n_bytes: int) -> Memory:
        """Memory that is_intact() watches."""
        self.memories.append(Memory(n_bytes))
        return self.memories[-1]

    def is_intact(self) -> bool:
        """No buffer was overrun."""
        return all(m.is_intact() for m in self.memories)

    def state(self) -> dict[str, np.ndarray]:
        """A copy of all trainable weights."""
        return {name: values.copy() for name, values in self.w.items()}

    def array(self, pointer: Any, *shape: int) -> np.ndarray:
        """A copy of an array of the network or learner."""
        n_bytes = ffi.sizeof(ffi.typeof(pointer).item) * int(np.prod(shape))
        kind = {"int16_t *": np.int16, "uint16_t *": np.uint16, "int32_t *": np.int32}
        values = np.frombuffer(ffi.buffer(pointer, n_bytes), kind[ffi.typeof(pointer).cname])
        return values.reshape(shape).copy()

    def spikes(self) -> np.ndarray:
        """Which neurons fired in the last step."""
        fired = np.zeros(self.header.n_neurons, bool)
        fired[self.array(self.network.spikes, self.network.n_spikes)] = True
        return fired

    def step(self, features: np.ndarray) -> None:
        """One network step."""
        lib.tkws_network_step(self.network, int8s(features))

    def scores(self) -> np.ndarray:
        """Scores after the last step."""
        out = ffi.new("int32_t[]", self.header.n_classes)
        lib.tkws_network_scores(self.network, out)
        return np.frombuffer(ffi.buffer(out), np.int32).copy()

    def take(self, features: np.ndarray, label: int, method: int, scale_q15: int = 32767) -> int:
        """Learn from one take."""
        check(lib.tkws_learner_begin(self.learner, method, label, scale_q15))
        for row in features:
            check(lib.tkws_learner_step(self.learner, int8s(row)))
        return check(lib.tkws_learner_end(self.learner))


def int8s(features: np.ndarray) -> Any:
    """A pointer to one step's features."""
    return ffi.from_buffer("int8_t[]", np.ascontiguousarray(features, np.int8))


def random_features(seed: int, n_steps: int, high: int = 50) -> np.ndarray:
    """Features as speech gives them: small, never negative."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, high, (n_steps, lib.TKWS_FEATURES)).astype(np.int8)
