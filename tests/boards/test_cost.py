# SPDX-License-Identifier: Apache-2.0
"""Exact instruction counts on the boards' processors."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firmware import build_firmware
from host_cli import tracekws
from images import Form, make_image, with_traces, write_image
from toolchain import ROOT, find
from tracekws.bench import cost
from tracekws.boards.parts import MACHINES
from tracekws.boards.rp2040 import CYCLE_NANOS, Emulator, FlashFile, read_firmware
from tracekws.core import Model
from tracekws.errors import MissingTool, TraceKwsError

pytestmark = pytest.mark.toolchain

FEW_FRAMES = 4
TIMER0 = 0x40000000
PARTS = ("front_end", "network", "detector")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = make_image(seed=5, n_neurons=24, n_classes=12, window_steps=50, method=5)
    return write_image(tmp_path_factory.mktemp("cost"), with_traces(image, Form.random(24, 8, 1)))


def count_few(target: cost.Target, model: Path, folder: Path) -> list[dict[str, int]]:
    """What the program says of the first frames of one sound."""
    target = replace(target, flags=f"{target.flags} -DCOST_FRAMES={FEW_FRAMES}u")
    try:
        return cost.run(target, cost.build(target, model, 1, folder), folder)
    except MissingTool as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("board", ["stm32f405", "riscv-virt"])
def test_the_command_counts_what_adds_up(board: str, model: Path) -> None:
    """And the same as the function in this process."""
    done = tracekws("bench", "cost", str(model), "--board", board, "--json")
    if "apt-get install" in done.stderr:
        pytest.skip(done.stderr.strip())
    report = json.loads(done.stdout)
    assert report["rows"] == [row.summary() for row in cost.measure(board, model)]
    assert report["methods"] == {"learning": "readout+replay", "traces": "tp"}
    assert report["goals"]["Cortex-M0+"].keys() == {"total"}
    assert [row["sound"] for row in report["rows"]] == ["speech", "noise", "silence"]
    for row in report["rows"]:
        assert row["total"] == sum(row[part] for part in PARTS)
        assert row["with_takes"] == row["total"] + row["templates"]
        assert row["with_own_words"] == row["total"] + row["own_words"]
        # a window's products and lengths at least, and less than the network, which is dense
        assert 50 * 12 < row["templates"] < row["network"]
        assert row["templates_made"] > 12 * 24 * 2
        takes = [row[way] + row[f"{way}_end"] for way in ("learning", "traces")]
        assert row["with_learning"] == row["front_end"] + row["detector"] + max(takes)
        assert 100 * (row["frame"] - 1) < row["front_end"] <= 100 * row["frame"]
        assert 50 * (row["learning_step"] - 1) < row["learning"] <= 50 * row["learning_step"]
        # the network's own step is in one of learning, but not its scores
        assert row["traces"] > row["learning"] > 0.9 * row["network"]
        # two products an instruction at most, of 80 features with 24 neurons
        assert row["network"] > 50 * 80 * 24 / 2
    # about the same work, whatever the sound
    frames = [row["front_end"] for row in report["rows"]]
    assert max(frames) < 1.1 * min(frames)


def test_plain_c_takes_more_than_the_dsp_instructions(model: Path, tmp_path: Path) -> None:
    counts = []
    for name in ("stm32f405", "stm32f405, no DSP"):
        folder = tmp_path / str(len(counts))
        folder.mkdir()
        counts.append(count_few(cost.TARGETS[name], model, folder)[1])
    fast, plain = counts
    assert all(fast[part] < plain[part] for part in ("front_end", "network"))
    assert fast["detector"] == plain["detector"]


class CountingTimer:
    """In the place of the MPS2's TIMER0: counts down as there, by instructions executed."""

    def __init__(self) -> None:
        self.executed = 0

    def read_uint32(self, offset: int) -> int:
        """The value of the timer, at 25 MHz with 1,024 ns an instruction."""
        return (0xFFFFFFFF - self.executed * 256 // 10) % 2**32

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


def test_another_emulator_counts_the_same(model: Path, tmp_path: Path) -> None:
    """rp2040py executes the Cortex-M0+ code an instruction at a time, and each is counted here."""
    pytest.importorskip("rp2040py", reason="the emulated Pico needs rp2040py: make setup-test")
    expected = count_few(cost.TARGETS["rp2040"], model, tmp_path)
    flags = f"-DCOST_SOUNDS=1u -DCOST_FRAMES={FEW_FRAMES}u -Wa,-I{tmp_path}"
    settings = {"MAIN": "benchmarks/cost.c", "MODEL": model, "BOARD_FLAGS": flags}
    firmware = build_firmware("rp2040", tmp_path / "pico", **settings)
    # jumps between RAM and flash, which that machine's code does without
    symbols = subprocess.run(
        [find("arm-none-eabi-nm"), "-S", firmware], capture_output=True, text=True, check=True
    ).stdout
    veneers: set[int] = set()
    for line in symbols.splitlines():
        if line.endswith("_veneer"):
            start, n_bytes = (int(word, 16) for word in line.split()[:2])
            veneers.update(range(start, start + n_bytes))
    assert veneers
    emulator = Emulator(read_firmware(firmware), FlashFile(tmp_path / "pico.flash"))
    timer = CountingTimer()
    emulator.chip.peripherals[TIMER0 >> 12] = timer
    core, clock = emulator.chip.core, emulator.chip.clock
    while not emulator.sent.endswith(b"end\n"):
        assert timer.executed < 20_000_000, bytes(emulator.sent)
        timer.executed += core.pc not in veneers
        clock.tick(core.execute_instruction() * CYCLE_NANOS)
    lines = emulator.sent.decode().splitlines()[:-1]
    words = [line.split()[1:] for line in lines]
    assert expected == [{n: int(v) for n, v in zip(w[::2], w[1::2], strict=True)} for w in words]
    assert expected[1]["frames"] == FEW_FRAMES


def test_a_counter_that_is_off_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instructions of another length than the program thinks: the known loop tells."""
    off = replace(MACHINES["mps2-an386"], clock="shift=9,sleep=off")
    monkeypatch.setitem(MACHINES, "mps2-an386", off)
    cost.count.cache_clear()
    with pytest.raises(TraceKwsError) as caught:
        cost.measure("stm32f405", model)
    if isinstance(caught.value, MissingTool):
        pytest.skip(str(caught.value))
    assert "the counter cannot be trusted" in str(caught.value)


def test_the_recorded_counts_are_of_the_shipped_model_and_meet_the_goals() -> None:
    report = json.loads((ROOT / "benchmarks" / "cost.json").read_text())
    assert report["model"]["crc"] == f"{Model.load(ROOT / 'models' / 'base.tkws').crc:08x}"
    assert list(dict.fromkeys(row["board"] for row in report["rows"])) == list(cost.TARGETS)
    missed = [
        (row["board"], row["sound"], key)
        for row in report["rows"]
        for key in cost.describe(report["methods"])
        if cost.verdict(row["board"], key, row[key]).endswith("missed")
    ]
    assert not missed
    page = (ROOT / "benchmarks" / "README.md").read_text()
    for row in report["rows"]:
        assert f"{row['total']:,}" in page
    card = json.loads((ROOT / "models" / "base.json").read_text())
    assert card["cost"] == report["rows"]


@pytest.mark.parametrize("name", ["base", "small"])
def test_the_cards_of_the_shipped_models_have_their_instructions(name: str) -> None:
    card = json.loads((ROOT / "models" / f"{name}.json").read_text())
    assert card["crc"] == Model.load(ROOT / "models" / f"{name}.tkws").identity["crc"]
    assert [row["board"] for row in card["cost"] if row["sound"] == "speech"] == [*cost.TARGETS]
    text = (ROOT / "models" / f"{name}.md").read_text()
    for row in card["cost"]:
        assert row["sound"] != "speech" or f"{row['total']:,} on {row['processor']}" in text


def test_unknown_board_is_one_line(model: Path) -> None:
    done = tracekws("bench", "cost", str(model), "--board", "toaster")
    assert done.returncode == 2
    assert "'toaster' is none of" in done.stderr.replace("\n", " ")


def test_missing_compiler_is_one_line(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = model.parent / "tools"
    tools.mkdir()
    for name in ("make", "sh", "cmp", "cp", "mkdir"):
        (tools / name).symlink_to(find(name))
    monkeypatch.setenv("PATH", str(tools))
    done = tracekws("bench", "cost", str(model), "--board", "riscv-virt")
    assert done.returncode == 1
    assert "apt-get install gcc-riscv64-unknown-elf" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    done = tracekws("bench", "cost", str(model))
    assert done.stderr.count("left out") == len(cost.TARGETS)
    assert done.returncode == 1
