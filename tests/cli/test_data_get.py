# SPDX-License-Identifier: Apache-2.0
"""`tracekws data get`: it calls the library, and says where the tree is."""

import json
from pathlib import Path

import pytest

from tracekws import download
from tracekws.errors import DataError


def test_the_tree_is_the_result(run, tmp_path, monkeypatch):
    asked = []

    def get(folder: Path, stage: object) -> download.Fetched:
        asked.append(folder)
        return download.Fetched(folder / "tree", "pooch" if len(asked) < 3 else "")

    monkeypatch.setattr(download, "get", get)
    plain = run("data", "get", tmp_path)
    assert (plain.code, plain.out, plain.err) == (0, f"{tmp_path}/tree\n", "")
    assert json.loads(run("data", "get", tmp_path, "--json").out) == {
        "tree": f"{tmp_path}/tree",
        "by": "pooch",
    }
    again = run("data", "get", tmp_path)
    assert again.code == 0
    assert "there already" in again.err
    assert asked == [tmp_path] * 3


def test_what_fails_is_one_line(run, tmp_path, monkeypatch):
    def get(folder: Path, stage: object) -> download.Fetched:
        raise DataError("it broke off")

    monkeypatch.setattr(download, "get", get)
    done = run("data", "get", tmp_path)
    assert (done.code, done.out, done.err) == (1, "", "error: it broke off\n")


def test_a_folder_is_needed(run):
    assert run("data", "get").code == 2


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_one_line(name, run, tmp_path, monkeypatch):
    pytest.importorskip("pooch", reason="pooch is not installed: the extra data brings it")
    (tmp_path / "file").write_text("")
    done = run("data", "get", tmp_path / name)
    assert done.code == 1
    assert done.err.startswith(f"error: {tmp_path}/{name}: cannot be written")
    assert done.err.count("\n") == 1
