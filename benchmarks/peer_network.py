# SPDX-License-Identifier: Apache-2.0
"""DS-CNN-S as a peer in streams: trained on what ours is trained on, then made int8 for LiteRT."""

from pathlib import Path

import ai_edge_litert.interpreter as litert
import litert_torch
import numpy as np
import torch
from ai_edge_quantizer import quantizer, recipe
from anchors import AnchorRun, report
from numpy.typing import NDArray
from torch import Tensor

from tracekws._core import lib
from tracekws.bench.sets import SPEECH
from tracekws.core import FeatureConfig, Model, features
from tracekws.data import Stage, read_recordings, read_tree
from tracekws.train.augment import STEPS
from tracekws.train.config import TrainConfig
from tracekws.train.dataset import names_digest, read_training, training_clips, words_of
from tracekws.train.group import Group
from tracekws.train.loader import Batch, Loader, Sampling
from tracekws.train.loop import TeacherRun, label_loss, to_input
from tracekws.train.seconds import read_seconds, told_apart, training_parts
from tracekws.train.teacher import answer, over_classes, taught
from tracekws.train.windows import set_loss

NAME = "ds-cnn-s"
EVERY = 2
"""Steps of 20 ms from one answer to the next: 25 a second."""
CALIBRATION = 500
"""Clips by which the ranges of int8 are chosen."""


class StreamRun(AnchorRun):
    """Training for a stream: seconds that may cut words in some batches, and seconds of sets."""

    def __init__(self, config: TrainConfig, folder: Path, clips: str) -> None:
        """Start, or go on; see Run. It has no teachers yet."""
        super().__init__(NAME, config, folder, clips, [])
        sampling = self.sampling
        self.sampling = Sampling(
            sampling.stream, sampling.seed, sampling.batch, config.context_share
        )

    def loss(self, inputs: Tensor, batch: Batch) -> Tensor:
        """The weighted sum; where there is a context, of the second that may cut words."""
        config = self.config
        heard = batch.window.of(inputs) if batch.window else inputs
        scores = self.network(heard)
        if batch.window:
            loss = set_loss(scores, batch.window.right)
        else:
            loss = label_loss(scores, self.tensor(batch.labels), batch, config)
        wanted = over_classes(answer(self.teachers, heard), len(config.words))
        return taught(loss, scores, wanted, config)


def train(data: Path, run: Path, config: TrainConfig, stage: Stage) -> torch.nn.Module:
    """Train it, or take it from the run's folder, which has the teacher of `tracekws train`.

    Raises:
        DataError: nothing to train on, or a checkpoint that is damaged or of other settings.
    """
    torch.set_num_threads(1)
    tree = read_tree(data / SPEECH)
    clips = training_clips(tree, config.classes)
    parts = training_parts(data, config.words, config.sets)
    digest = names_digest(clips, parts)
    network = StreamRun(config, run, digest)
    if len(network.history) < network.epochs:
        words = len(words_of(clips, config.words, told_apart(parts)))
        teacher = TeacherRun(config, words, 0, run, digest, Group())
        network.teachers = [teacher.network]
        front_end = FeatureConfig()
        seconds = read_seconds(parts, config.sets, config.augment.seed)
        source, held, _ = read_training(tree, front_end, config.classes, stage("reading"), seconds)
        loader = Loader(source, run.parent / "cache", front_end, config, 1)
        del source, seconds  # a gigabyte, perhaps
        try:
            teacher.train(loader, held, report)
            teacher.network.eval()
            network.train(loader, held, report)
        finally:
            loader.close()
    return network.network.eval()


def int8_image(network: torch.nn.Module, data: Path, file: Path) -> Path:
    """The network as a LiteRT file of int8 weights and activations, for one second of features.

    Args:
        network: trained.
        data: folder of sets; validation clips choose the activations' ranges.
        file: to be written.

    Raises:
        DataError: the tree cannot be read.
    """
    tree = read_tree(data / SPEECH)
    recordings = read_recordings(tree.of("validation")[::5][:CALIBRATION])
    seconds = to_input(np.stack([features(pcm, FeatureConfig()) for pcm in recordings.pcm])).numpy()
    as_float = file.with_suffix(".float.tflite")
    litert_torch.convert(network, (torch.zeros(1, STEPS, lib.TKWS_FEATURES),)).export(str(as_float))
    work = quantizer.Quantizer(str(as_float), recipe.static_wi8_ai8())
    (name,) = litert.Interpreter(str(as_float)).get_signature_list()
    (argument,) = litert.Interpreter(str(as_float)).get_signature_list()[name]["inputs"]
    ranges = work.calibrate({name: [{argument: second[None]} for second in seconds]})
    file.unlink(missing_ok=True)
    work.quantize(ranges).export_model(str(file))
    return file


class Int8Network:
    """The int8 network at work on a stream."""

    def __init__(self, file: Path, model: Model) -> None:
        """Load it. `model` has the same classes; its window is a second."""
        self.net = litert.Interpreter(str(file), num_threads=1)
        self.net.allocate_tensors()
        (self.taken,) = self.net.get_input_details()
        (self.given,) = self.net.get_output_details()
        self.classes = len(model.labels)

    def second(self, steps: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (classes,) of a second (49, 80)."""
        scale, zero = self.taken["quantization"]
        numbers = np.clip(np.rint(steps / scale) + zero, -128, 127).astype(np.int8)
        self.net.set_tensor(self.taken["index"], numbers[None])
        self.net.invoke()
        scale, zero = self.given["quantization"]
        out = self.net.get_tensor(self.given["index"])[0].astype(np.float32)
        return np.asarray(scale * (out - zero))

    def stream(self, steps: NDArray[np.int8]) -> NDArray[np.int32]:
        """Scores (steps, classes), Q10, of features (steps, 80); between two answers the last."""
        heard = to_input(steps).numpy()
        scores = np.zeros((len(steps), self.classes), dtype=np.int32)
        for end in range(STEPS, len(steps) + 1, EVERY):
            logits = self.second(heard[end - STEPS : end])
            scores[end - 1 : end - 1 + EVERY] = np.rint(logits * 2.0**lib.TKWS_LOGIT_Q)
        return scores
