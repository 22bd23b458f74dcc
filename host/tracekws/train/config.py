# SPDX-License-Identifier: Apache-2.0
"""Settings of a training run: TOML files that say what differs from configs/base.toml."""

import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tracekws._core import lib
from tracekws.core import Model
from tracekws.data import SILENCE, UNKNOWN
from tracekws.errors import DataError
from tracekws.files import MIB, read_text
from tracekws.names import RULE, is_name, normalised

FOLDER = Path(__file__).parent / "configs"
LEAST = {
    "taps": 1,
    "frames": lib.TKWS_STACK,
    "width": 4,
    "stride": 1,
    "neurons": 8,
    "epochs": 1,
    "batch": 2,
    "kernel": 1,
    "copies": 1,
    "channels": 1,
    "temperature": 0.1,
    "unknown_weight": 0.01,
    "warp": 0.5,
    "gain_db": -40.0,
    "noise_db": -40.0,
    "talker_db": -40.0,
}
"""Smallest values; of other numbers it is 0."""
MOST = {
    "taps": lib.TKWS_MAX_TAPS,
    "kernels": lib.TKWS_FEATURES,
    "frames": lib.TKWS_MAX_PATCH // 4,
    "width": lib.TKWS_CHANNELS,
    "stride": (1 << 16) - 1,
    "margin": lib.TKWS_CHANNELS,
    "own_words": lib.TKWS_MAX_OWN,
    "neurons": 1024,
    "stretch": 0.5,
    "tempo": 0.5,
    "label_smoothing": 0.9,
    "context_share": 1.0,
    "soft_weight": 1.0,
    "noise_share": 1.0,
    "talker_share": 1.0,
    "room_share": 1.0,
    "mask_share": 1.0,
    "mask_steps": 20,
    "mask_channels": 20,
    "shift_ms": 400,
    "cut_ms": 400,
    "warp_share": 1.0,
    "warp": 2.0,
    "cut_share": 1.0,
    "gain_db": 40.0,
    "equaliser_db": 10.0,
    "noise_db": 60.0,
    "talker_db": 60.0,
}
LARGEST = (1 << 31) - 1
"""Of numbers that MOST does not name."""
OF_START = ("neurons", "taps", "own_words", "convolution")
"""Settings that are those of the model in `start`."""
MOST_WORDS = 30
"""Classes that an image may have, unknown words and silence aside."""


@dataclass(frozen=True)
class ConvolutionConfig:
    """What comes before the filters in time; base.toml explains each setting."""

    kernels: int
    frames: int
    width: int
    stride: int
    margin: int


@dataclass(frozen=True)
class TeacherConfig:
    """Shape and training of the teachers; base.toml explains each setting."""

    seed: int
    epochs: int
    batch: int
    channels: tuple[int, ...]
    kernel: int
    learning_rate: float
    weight_decay: float


@dataclass(frozen=True)
class SetsConfig:
    """How much oftener seconds of each set are drawn than a keyword; see base.toml."""

    talk: float
    words: float
    backwards: float
    phrases: float
    sounds: float
    tones: float


@dataclass(frozen=True)
class AugmentConfig:
    """What is done to clips before the network hears them; base.toml explains each setting."""

    seed: int
    copies: int
    stretch: float
    shift_ms: int
    tempo: float
    warp_share: float
    warp: tuple[float, float]
    cut_share: float
    cut_ms: int
    gain_db: tuple[float, float]
    equaliser_db: float
    noise_share: float
    noise_db: tuple[float, float]
    talker_share: float
    talker_db: tuple[float, float]
    room_share: float
    mask_share: float
    mask_steps: int
    mask_channels: int


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a run, all that its result depends on but the data; see base.toml."""

    words: tuple[str, ...]
    seed: int
    start: str
    taps: int
    neurons: int
    own_words: int
    epochs: int
    batch: int
    clips_per_epoch: int
    unknown_weight: float
    context_share: float
    window_weight: float
    word_weight: float
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    contrast_weight: float
    rate_target: float
    rate_weight: float
    teachers: int
    soft_weight: float
    temperature: float
    convolution: ConvolutionConfig
    teacher: TeacherConfig
    augment: AugmentConfig
    sets: SetsConfig

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels of the model's classes."""
        return (*self.words, UNKNOWN, SILENCE)

    @property
    def of_teachers(self) -> dict[str, object]:
        """The settings that a teacher depends on, its number aside."""
        names = ("words", "clips_per_epoch", "unknown_weight", "context_share", "label_smoothing")
        settings = asdict(self)
        return {name: settings[name] for name in (*names, "teacher", "augment", "sets")}


def check_number(where: str, key: str, value: float) -> None:
    """See that a number is in its range.

    Raises:
        DataError: it is not.
    """
    least, most = LEAST.get(key, 0), MOST.get(key)
    if not least <= value <= (LARGEST if most is None else most):  # nor if it is no number
        if most is not None:
            bounds = f"{least} to {most}"
        else:
            bounds = f"at most {LARGEST}" if value > LARGEST else f"at least {least}"
        raise DataError(f"{where}: {key} = {value}, but {bounds} is possible")


def converted(where: str, key: str, value: Any, model: Any) -> Any:
    """A value of the file as the dataclass has it, by the type that base.toml gives it.

    Raises:
        DataError: it is of another type, or out of range.
    """
    names = {int: "a whole number", float: "a number", str: "a text"}
    if isinstance(model, list):
        pair = key.endswith("_db") or key == "warp"
        if not isinstance(value, list) or not value or (pair and len(value) != 2):
            raise DataError(f"{where}: {key} must be a list{' of two' if pair else ''}")
        items = tuple(converted(where, key, item, model[0]) for item in value)
        if pair and items[0] > items[1]:
            raise DataError(f"{where}: {key}: the first number is above the second")
        return items
    wanted = type(model)
    fits = isinstance(value, int | float if wanted is float else wanted)
    if not fits or isinstance(value, bool):
        raise DataError(f"{where}: {key} must be {names[wanted]}")
    if wanted is not str:
        check_number(where, key, value)
    return wanted(value)


def merged(where: str, base: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The base's settings with those of a file in their place.

    Raises:
        DataError: a key that the base does not have, or a value that is not possible.
    """
    if unknown := sorted(set(given) - set(base)):
        raise DataError(
            f"{where}: unknown setting '{unknown[0]}'; there are {', '.join(sorted(base))}"
        )
    out: dict[str, Any] = {}
    for key, model in base.items():
        value = given.get(key, model)
        if isinstance(model, dict):
            if not isinstance(value, dict):
                raise DataError(f"{where}: {key} is a section: [{key}]")
            out[key] = merged(f"{where}: [{key}]", model, value)
        else:
            out[key] = converted(where, key, value, model)
    return out


def check_words(where: str, words: tuple[str, ...]) -> None:
    """See that words can be the labels of a model.

    Raises:
        DataError: they cannot.
    """
    if not 1 <= len(words) <= MOST_WORDS:
        raise DataError(f"{where}: {len(words)} words, but 1 to {MOST_WORDS} are possible")
    for word in words:
        if not is_name(word):
            raise DataError(f"{where}: {word!r} is no word: a word is {RULE}")
        if word.startswith("_") or words.count(word) > 1:
            raise DataError(f"{where}: '{word}': words are distinct, and begin with no _")


def read_toml(path: Path) -> dict[str, Any]:
    """Content of a TOML file.

    Raises:
        DataError: it is not there, or is none.
    """
    try:
        return tomllib.loads(read_text(path, MIB))
    except RecursionError as error:
        raise DataError(f"{path}: no TOML (nested too deeply)") from error
    except ValueError as error:
        raise DataError(f"{path}: no TOML ({error})") from error


def shipped() -> list[str]:
    """Names of the configurations that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def of_start(where: str, start: str, given: dict[str, Any]) -> dict[str, Any]:
    """The settings of OF_START.

    Raises:
        DataError: one is given.
        ModelError: there is no such model, or it is malformed.
    """
    if taken := sorted(set(OF_START) & set(given)):
        raise DataError(f"{where}: {taken[0]} is that of start = {start!r}: leave it out")
    model = Model.load(start)
    form = model.c.convolution
    return {
        "neurons": int(model.header.n_neurons),
        "taps": int(model.header.n_taps),
        "own_words": model.own_words,
        "convolution": {
            "kernels": int(form.n_kernels),
            "frames": int(form.n_frames),
            "width": int(form.width),
            "stride": int(form.stride),
            "margin": int(form.margin),
        },
    }


def check_convolution(where: str, shape: ConvolutionConfig) -> None:
    """Say in a line what the core would refuse of a convolution's shape (check_convolution() of C).

    Raises:
        DataError: it would.
    """
    kernels, frames, width, margin = shape.kernels, shape.frames, shape.width, shape.margin
    if not kernels:
        return
    bands = (lib.TKWS_CHANNELS + 2 * margin - width) // shape.stride + 1
    if kernels % 2:
        wrong = f"kernels = {kernels}, but even numbers are possible"
    elif width % 4:
        wrong = f"width = {width}, but multiples of 4 are possible"
    elif margin >= width:
        wrong = f"margin = {margin}, but less than width = {width} is possible"
    elif frames * width > lib.TKWS_MAX_PATCH:
        wrong = f"frames = {frames} times width = {width} is at most {lib.TKWS_MAX_PATCH}"
    elif kernels * bands != lib.TKWS_FEATURES:
        laid = f"{bands} bands, by stride = {shape.stride},"
        wrong = f"kernels = {kernels} times {laid} must be {lib.TKWS_FEATURES}"
    else:
        return
    raise DataError(f"{where}: [convolution]: {wrong}")


def load_config(name: str, **changes: Any) -> TrainConfig:
    """A configuration.

    Args:
        name: of a shipped one, or the path of a TOML file.
        changes: settings of the top level in place of the file's.

    Raises:
        DataError: there is none, or it says something that is not possible.
        ModelError: its start is no model.
    """
    is_path = name.endswith(".toml") or "/" in name
    if not is_path and name not in shipped():
        raise DataError(
            f"no configuration '{name}'; there are {', '.join(shipped())}, or name a file FILE.toml"
        )
    path = Path(name) if is_path else FOLDER / f"{name}.toml"
    where = str(path) if is_path else f"configuration {name}"
    given = read_toml(path) | changes
    settings = merged(where, read_toml(FOLDER / "base.toml"), given)
    if settings["start"]:
        settings |= of_start(where, settings["start"], given)
        if settings["teachers"]:
            raise DataError(f"{where}: teachers = 0 is needed, since start's layer stays as it is")
    settings["words"] = tuple(normalised(word) for word in settings["words"])
    check_words(where, settings["words"])
    batches = {"batch": settings["batch"]}
    if settings["teachers"]:
        batches["batch of [teacher]"] = settings["teacher"]["batch"]
    for name, batch in batches.items():
        if settings["clips_per_epoch"] < batch:
            raise DataError(f"{where}: clips_per_epoch is less than {name} = {batch}")
    settings["convolution"] = ConvolutionConfig(**settings["convolution"])
    check_convolution(where, settings["convolution"])
    settings["teacher"] = TeacherConfig(**settings["teacher"])
    if not (kernel := settings["teacher"].kernel) % 2:
        raise DataError(f"{where}: [teacher]: kernel = {kernel}, but odd numbers are possible")
    settings["augment"] = AugmentConfig(**settings["augment"])
    settings["sets"] = SetsConfig(**settings["sets"])
    return TrainConfig(**settings)
