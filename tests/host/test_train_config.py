# SPDX-License-Identifier: Apache-2.0
"""Configurations: what differs from base, and one line where something is wrong."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from host_cli import tracekws
from tracekws.errors import DataError
from tracekws.train.config import load_config, shipped


def test_the_shipped_configurations_load_and_differ():
    assert shipped() == ["base", "quick", "small"]
    base, small = load_config("base"), load_config("small")
    differ = {
        name: getattr(small, name)
        for name in ("seed", "neurons", "own_words", "epochs", "rate_target")
    }
    assert small == replace(base, **differ)
    assert small.neurons < base.neurons


def test_a_file_says_what_differs_and_options_come_first(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('neurons = 40\nwords = ["cat", "dog"]\n[augment]\ngain_db = [-3, 3]\n')
    base = load_config("base")
    config = load_config(str(path), neurons=50)
    assert (config.neurons, config.words) == (50, ("cat", "dog"))
    assert config.classes == ("cat", "dog", "_unknown_", "_silence_")
    assert config.augment == replace(base.augment, gain_db=(-3.0, 3.0))
    path.write_text("[convolution]\nkernels = 0\n")
    assert load_config(str(path)).convolution == replace(base.convolution, kernels=0)
    assert replace(config, neurons=base.neurons, words=base.words, augment=base.augment) == base


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("neuron = 40", "unknown setting 'neuron'; there are "),
        ("[teacher]\nwidth = 3", "[teacher]: unknown setting 'width'; there are "),
        ("neurons = 40.5", "neurons must be a whole number"),
        ("neurons = true", "neurons must be a whole number"),
        ("learning_rate = 'big'", "learning_rate must be a number"),
        ("neurons = 4", "neurons = 4, but 8 to 1024 is possible"),
        ("batch = 0", "batch = 0, but at least 2 is possible"),
        ("clips_per_epoch = 100", "clips_per_epoch is less than batch = 128"),
        ("clips_per_epoch = 200", "clips_per_epoch is less than batch of [teacher] = 256"),
        (
            "[convolution]\nkernels = 10",
            "[convolution]: kernels = 10 times 10 bands, by stride = 4, must be 80",
        ),
        ("[convolution]\nkernels = 5", "[convolution]: kernels = 5, but even"),
        ("[convolution]\nwidth = 6", "[convolution]: width = 6, but multiples of 4"),
        ("[convolution]\nmargin = 8", "[convolution]: margin = 8, but less than width = 8"),
        ("[convolution]\nframes = 33", "[convolution]: frames = 33 times width = 8 is at most 256"),
        ("[convolution]\nframes = 1", "[convolution]: frames = 1, but 2 to 64 is possible"),
        ("[convolution]\nstride = 0", "[convolution]: stride = 0, but 1 to 65535 is possible"),
        ("[convolution]\nstride = 65536", "[convolution]: stride = 65536, but 1 to 65535"),
        ("[convolution]\nwidth = 44", "[convolution]: width = 44, but 4 to 40 is possible"),
        ("[convolution]\nkernels = 8.0", "[convolution]: kernels must be a whole number"),
        ("[convolution]\nbands = 8", "[convolution]: unknown setting 'bands'; there are "),
        ("teacher = 3", "teacher is a section: [teacher]"),
        ("[teacher]\nchannels = []", "[teacher]: channels must be a list"),
        ("[teacher]\nchannels = [0]", "[teacher]: channels = 0, but at least 1 is possible"),
        ("[augment]\nnoise_db = [1]", "[augment]: noise_db must be a list of two"),
        (
            "[augment]\nnoise_db = [9, 1]",
            "[augment]: noise_db: the first number is above the second",
        ),
        ("[augment]\nnoise_share = 2", "[augment]: noise_share = 2, but 0 to 1.0 is possible"),
        ("[augment]\nwarp = [0.0, 1.35]", "[augment]: warp = 0.0, but 0.5 to 2.0 is possible"),
        ("[augment]\nwarp = [0.8, 1e9]", "[augment]: warp = 1000000000.0, but 0.5 to 2.0 is"),
        ("[augment]\ngain_db = [-400, 0]", "[augment]: gain_db = -400, but -40.0 to 40.0 is"),
        ("[augment]\nequaliser_db = 400", "[augment]: equaliser_db = 400, but 0 to 10.0 is"),
        ("[teacher]\nkernel = 4", "[teacher]: kernel = 4, but odd numbers are possible"),
        ("words = []", "words must be a list"),
        ("words = ['cat', 'cat']", "'cat': words are distinct"),
        ("words = ['_x']", "'_x': words are distinct, and begin with no _"),
        ("words = ['aword" + "far" * 9 + "toolong']", "a word is 1 to 31 bytes of UTF-8"),
        ("words = ['zoom in']", "without spaces"),
        ("neurons = ", "no TOML"),
        ("learning_rate = nan", "learning_rate = nan, but at least 0 is possible"),
        ("learning_rate = inf", "learning_rate = inf, but at most 2147483647 is possible"),
        ("learning_rate = 1" + 400 * "0", "but at most 2147483647 is possible"),
        ("epochs = 9999999999", "epochs = 9999999999, but at most 2147483647 is possible"),
        ("[augment]\nnoise_db = [nan, nan]", "[augment]: noise_db = nan"),
        ("[augment]\nnoise_db = [-inf, 0]", "[augment]: noise_db = -inf"),
        ("neurons = 1" + 5000 * "0", "no TOML"),
        ("neurons = " + 5000 * "[" + 5000 * "]", "no TOML (nested too deeply)"),
        ("# " + 1100000 * "x", "larger than 1 MiB"),
    ],
)
def test_a_wrong_setting_is_one_line(tmp_path, text, said):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        load_config(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_documented_file_is_possible(tmp_path):
    text = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    path = tmp_path / "mine.toml"
    path.write_text(example)
    assert load_config(str(path)).teacher.channels == (64, 96, 128)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--config", "huge"], "no configuration 'huge'; there are base, quick, small"),
        (["--config", "none.toml"], "none.toml: No such file"),
        (["--neurons", "3"], "configuration base: neurons = 3, but 8 to 1024 is possible"),
        (["--words", "cat,"], "'' is no word: a word is 1 to 31"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, options, said):
    where = ["--data", str(tmp_path), "--run", "r", "--output", "x.tkws"]
    done = tracekws("train", *where, *options)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
