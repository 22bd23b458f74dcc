# SPDX-License-Identifier: Apache-2.0
"""Teachers: conventional networks on the student's features, from whose answers it learns.

Residual convolutions in time over all channels at once, as in TC-ResNet (Choi et al., arXiv
1904.03814). They do not ship.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tracekws.train.config import TeacherConfig, TrainConfig
from tracekws.train.group import Group


class BatchNorm(nn.Module):
    """Batch normalisation over the clips of all processes: (B, C, T)."""

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, group: Group, momentum: float = 0.1) -> None:
        """Start as the identity."""
        super().__init__()
        self.group = group
        self.momentum = momentum
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise by the batch in training, by the running moments else."""
        mean, variance = self.mean, self.variance
        if self.training:
            moments = self.group.mean(torch.stack([x.mean((0, 2)), (x * x).mean((0, 2))]))
            mean = moments[0]
            variance = torch.clamp(moments[1] - mean * mean, min=0)
            with torch.no_grad():
                self.mean.lerp_(mean, self.momentum)
                self.variance.lerp_(variance, self.momentum)
        gain = self.scale * torch.rsqrt(variance + 1e-5)
        return x * gain[:, None] + (self.shift - mean * gain)[:, None]


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv1d:
    """A convolution in time that keeps the number of steps, or divides it by the stride."""
    return nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class Block(nn.Module):
    """Two convolutions beside a shortcut, at half the steps."""

    def __init__(self, inputs: int, outputs: int, kernel: int, group: Group) -> None:
        """Draw the weights from torch's generator."""
        super().__init__()
        self.path = nn.Sequential(
            convolution(inputs, outputs, kernel, 2),
            BatchNorm(outputs, group),
            nn.ReLU(),
            convolution(outputs, outputs, kernel),
            BatchNorm(outputs, group),
        )
        self.shortcut = nn.Sequential(convolution(inputs, outputs, 1, 2), BatchNorm(outputs, group))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T) to (B, outputs, T / 2)."""
        return functional.relu(self.path(x) + self.shortcut(x))


class TeacherNetwork(nn.Module):
    """A first convolution, residual blocks, the mean over time, a linear readout.

    Args:
        inputs: features a step.
        words: logits.
        config: shape.
        group: over which the batch is spread.
    """

    def __init__(self, inputs: int, words: int, config: TeacherConfig, group: Group) -> None:
        """Draw the weights from torch's generator."""
        super().__init__()
        first, *blocks = config.channels
        layers: list[nn.Module] = [
            convolution(inputs, first, 3),
            BatchNorm(first, group),
            nn.ReLU(),
        ]
        widths = zip(config.channels, blocks, strict=False)
        layers += [Block(a, b, config.kernel, group) for a, b in widths]
        self.layers = nn.Sequential(*layers)
        self.readout = nn.Linear(config.channels[-1], words)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, words) of features (B, T, inputs), float."""
        logits: Tensor = self.readout(self.layers(features.transpose(1, 2)).mean(2))
        return logits


def answer(teachers: Sequence[TeacherNetwork], features: Tensor) -> Tensor:
    """Mean logits of the teachers, (B, words)."""
    with torch.no_grad():
        return torch.stack([teacher(features) for teacher in teachers]).mean(0)


def over_classes(logits: Tensor, keywords: int) -> Tensor:
    """Logits (B, C) of the classes from those of all words: the other words are one class."""
    others = torch.logsumexp(logits[:, keywords:-1], 1, keepdim=True)
    return torch.cat([logits[:, :keywords], others, logits[:, -1:]], 1)


def soft_loss(scores: Tensor, answer: Tensor, temperature: float) -> Tensor:
    """Divergence of the student from the teachers at a temperature, times its square.

    The square keeps the gradients' size (Hinton et al., arXiv 1503.02531).
    """
    student = functional.log_softmax(scores / temperature, 1)
    teacher = functional.log_softmax(answer / temperature, 1)
    divergence = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return temperature**2 * divergence


def taught(loss: Tensor, scores: Tensor, answer: Tensor | None, config: TrainConfig) -> Tensor:
    """A loss from labels, with that from the teachers' logits for the same scores beside it."""
    if answer is None:
        return loss
    soft = soft_loss(scores, answer, config.temperature)
    return (1 - config.soft_weight) * loss + config.soft_weight * soft
