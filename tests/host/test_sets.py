# SPDX-License-Identifier: Apache-2.0
"""Sets of recordings with a table: what is read, and what is refused in one line."""

from pathlib import Path

import pytest

from recordings import write_take
from tracekws.bench.sets import read_set, speech_of, split_of, words_in
from tracekws.errors import DataError


def write_set(folder: Path, *rows: tuple[str, ...]) -> Path:
    """A set whose table has these rows, the first being the names of its columns."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    return folder


def test_a_set_is_read_in_the_order_of_its_table(tmp_path):
    write_take(tmp_path / "testing" / "b" / "1.wav", 1, 20000)
    write_take(tmp_path / "training" / "a.flac", 2)
    folder = write_set(
        tmp_path,
        ("file", "speaker", "text"),
        ("testing/b/1", "ann", 'Turn "it" ON, don\'t'),
        ("training/a.wav", "bob", "(no transcript, on)"),
    )
    first, second = read_set(folder, text=True)
    assert (first.name, first.split, first.speaker) == ("testing/b/1", "testing", "ann")
    assert first.words == {"turn", "it", "on", "don't"}
    assert (first.sound.samples, first.sound.read().shape) == (20000, (20000,))
    assert (second.name, second.split, second.words) == ("training/a", "training", frozenset())


def test_a_set_without_splits_is_divided_by_names_and_twins_stay_together():
    names = [f"dogs/bark_{number}" for number in range(2000)]
    testing = [name for name in names if split_of(name) == "testing"]
    assert 340 < len(testing) < 460
    assert {split_of(name) for name in names} == {"testing", "training"}
    for name in names[:50]:
        assert {split_of(f"{name}-A"), split_of(f"{name}-B"), split_of(f"{name}_L")} == {
            split_of(name)
        }
    # SHA-1 of the names, by another program
    assert [split_of(name) for name in ("alexa/0", "alexa/1", "alexa/2", "alexa/3")] == KNOWN


KNOWN = ["testing", "training", "testing", "training"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("Yes, go!", "yes go"),
        ("no-one (whispers)", "no one whispers"),
        ("(order)", ""),
        ("Ja, Gru\u0308ße!", "ja gr\u00fcße"),
    ],
)
def test_words_of_a_text(text, words):
    assert words_in(text) == frozenset(words.split())


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("name",), ("a",)], "index.tsv: no column 'file'; it has name"),
        ([("file",), ("a",)], "index.tsv: no column 'text'; it has file"),
        ([("file", "text")], "index.tsv: no rows"),
        ([("file", "text"), ("a",)], "line 2 has not as many values as the first line"),
        ([("file", "text"), ("a", "b", "c")], "line 2 has not as many values"),
        ([("file", "text"), ("",), ("a", "b"), ("",), ("a",)], "index.tsv: line 5 has not as many"),
        (
            [("file", "text"), ("",), ("b", "c")],
            "index.tsv: line 3 names 'b', and there is no such",
        ),
        ([("file", "text"), ("",), ("../b", "c")], "index.tsv: line 3: '../b' is no path in"),
        (
            [("file", "text"), ("b", "c")],
            "index.tsv: line 2 names 'b', and there is no such recording",
        ),
        ([("file", "text"), ("b" * 300, "c")], "and there is no such recording"),
        ([("file", "text"), ("a", "c" * 200000)], "index.tsv: not a table with tabs (field larger"),
        ([("file", "text"), ("r", "c")], "r.wav: 399 samples are too short"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_is_not_usable_is_one_line(tmp_path, rows, said):
    write_take(tmp_path / "a.wav", 1)
    write_take(tmp_path / "r.wav", 1, n_samples=399)
    write_set(tmp_path, *rows)
    with pytest.raises(DataError) as caught:
        read_set(tmp_path, text=True)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["..", "/"], ids=["relative", "absolute"])
def test_recordings_outside_of_the_folder_are_refused(place, tmp_path):
    write_take(tmp_path / "a.wav", 1)
    name = str(tmp_path / "a.wav") if place == "/" else "../a.wav"
    folder = write_set(tmp_path / "set", ("file",), (name,))
    with pytest.raises(DataError, match=r"a\.wav' is no path in the folder"):
        read_set(folder)


def test_a_set_without_a_table_or_with_no_text_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"index\.tsv: No such file"):
        read_set(tmp_path)
    (tmp_path / "index.tsv").write_bytes(b"file\n\xff\n")
    with pytest.raises(DataError, match="not UTF-8 text"):
        read_set(tmp_path)


def test_a_folder_of_sets_or_a_tree_alone(tmp_path):
    (tmp_path / "tree" / "yes").mkdir(parents=True)
    (tmp_path / "sets" / "gsc").mkdir(parents=True)
    (tmp_path / "others" / "talk").mkdir(parents=True)
    assert speech_of(tmp_path / "tree") == tmp_path / "tree"
    assert speech_of(tmp_path / "sets") == tmp_path / "sets" / "gsc"
    assert speech_of(tmp_path / "others") is None
    assert speech_of(tmp_path / "none") is None
