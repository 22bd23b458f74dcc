# SPDX-License-Identifier: Apache-2.0
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from host_cli import tracekws, tracekws_json
from recordings import write_take
from tracekws import data
from tracekws.bench.stream import read_background
from tracekws.device.takes import copies, distinct, read_takes, read_word
from tracekws.errors import DataError


def write(path: Path, pcm: np.ndarray, rate: int = 16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, pcm, rate, subtype="PCM_16")


def sound(seed: int, samples: int = 16000) -> np.ndarray:
    return np.random.default_rng(seed).integers(-3000, 3000, samples).astype(np.int16)


def test_splits_follow_the_lists(tree):
    read = data.read_tree(tree)
    for split, speakers in (("training", 5), ("validation", 2), ("testing", 2)):
        clips = read.of(split)
        assert len(clips) == speakers * 13 * 4
        assert {clip.speaker[:3] for clip in clips} == {split[:3]}
    assert len(read.of("all")) == 9 * 13 * 4


def test_arabic_names_are_read_and_have_no_splits(tmp_path):
    write(tmp_path / "cancel" / "00000001_NO_03.wav", sound(1))
    tree = data.read_tree(tmp_path)
    assert [(c.word, c.speaker) for c in tree.clips] == [("cancel", "00000001")]
    with pytest.raises(DataError, match="use --split all"):
        tree.of("testing")


def test_a_speaker_in_two_splits_is_refused(tmp_path):
    write(tmp_path / "yes" / "ab_nohash_0.wav", sound(1))
    write(tmp_path / "no" / "ab_nohash_0.wav", sound(2))
    (tmp_path / "testing_list.txt").write_text("yes/ab_nohash_0.wav\n")
    (tmp_path / "validation_list.txt").write_text("")
    with pytest.raises(DataError, match="in two splits"):
        data.read_tree(tmp_path)


def test_repeats_are_dropped_whatever_their_padding(tmp_path):
    pcm = sound(1, 9000)
    pcm[[0, -1]] = 5
    write(tmp_path / "yes" / "ab_nohash_0.wav", pcm)
    write(tmp_path / "yes" / "ab_nohash_1.wav", np.pad(pcm, (300, 4000)))
    write(tmp_path / "yes" / "cd_nohash_0.wav", sound(2))
    read = data.read_recordings(data.read_tree(tmp_path).clips)
    assert [c.path.stem for c in read.clips] == ["ab_nohash_0", "cd_nohash_0"]
    assert [c.path.stem for c in read.repeats] == ["ab_nohash_1"]
    assert read.pcm.shape == (2, 16000)
    assert (read.pcm[0, 9000:] == 0).all()


def test_check_reports_every_kind_of_bad_file(tmp_path):
    write(tmp_path / "yes" / "ab_nohash_0.wav", sound(1))
    write(tmp_path / "yes" / "ab_nohash_1.wav", sound(2), 3000)
    write(tmp_path / "yes" / "ab_nohash_2.wav", sound(3, 400))
    (tmp_path / "yes" / "ab_nohash_3.m4a").write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(999))
    (tmp_path / "yes" / "ab_nohash_4.wav").write_bytes(b"RIFF not a sound")
    write(tmp_path / "yes" / "cut_nohash_0.wav", sound(6))
    cut = tmp_path / "yes" / "cut_nohash_0.wav"
    cut.write_bytes(cut.read_bytes()[:40])
    write(tmp_path / "yes" / "strange name.wav", sound(7))
    report = tracekws_json("data", "check", str(tmp_path))
    assert report["clips"] == 2
    assert report["words"] == {"yes": {"clips": 2, "speakers": 1, "repeats": 0, "bad": 5}}
    assert report["without_speaker"] == 1
    text = "\n".join(report["bad"])
    for reason in ("3000 Hz", "400 samples are too short", "ffmpeg -i", "not readable as audio"):
        assert reason in text


def test_check_of_a_good_tree_says_what_is_there(tree):
    report = tracekws_json("data", "check", str(tree))
    assert report["clips"] == 468
    assert report["speakers"] == 9
    assert report["splits"] == {"training": 260, "validation": 104, "testing": 104}
    assert report["bad"] == report["repeats"] == []
    assert tracekws("data", "check", str(tree)).returncode == 0


def test_noise_of_any_suffix_is_found_and_checked(tmp_path):
    write(tmp_path / "yes" / "ab_nohash_0.wav", sound(1))
    write(tmp_path / data.NOISE_FOLDER / "good.flac", sound(2, 90000))
    write(tmp_path / data.NOISE_FOLDER / "other rate.wav", sound(3, 90000), 2000)
    (tmp_path / data.NOISE_FOLDER / "README.md").write_text("not a recording")
    report = tracekws_json("data", "check", str(tmp_path))
    assert report["noise_recordings"] == 2
    (reason,) = report["bad"]
    assert "other rate.wav: its header says 2000 Hz" in reason


def test_a_bar_is_shown_on_a_terminal_only(tree):
    master, slave = os.openpty()
    command = [sys.executable, "-c", "from tracekws.cli import main; main()", "data", "check"]
    with subprocess.Popen(
        [*command, str(tree), "--json"], stdout=subprocess.PIPE, stderr=slave
    ) as process:
        os.close(slave)
        shown = b""
        try:
            while part := os.read(master, 4096):
                shown += part
        except OSError:  # a terminal whose other end is closed
            pass
        assert process.communicate()[0].startswith(b"{")
    os.close(master)
    assert b"reading" in shown
    assert tracekws("data", "check", str(tree)).stderr == ""


def test_repeats_are_in_one_split_of_a_tree_without_lists(tmp_path):
    for number in range(60):
        for name in (f"take_{number}", f"copy_{number}"):
            write(tmp_path / "yes" / f"{name}.wav", sound(number))
    tree = data.split_by_hash(data.without_repeats(data.read_tree(tmp_path)))
    parts = {split: data.read_recordings(tree.of(split)) for split in data.SPLITS}
    sounds = [pcm.tobytes() for part in parts.values() for pcm in part.pcm]
    assert len(sounds) == len({*sounds}) == 60
    assert all(len(part.pcm) for part in parts.values())


def test_a_link_to_itself_is_a_bad_file(tmp_path):
    write(tmp_path / "yes" / "ab_nohash_0.wav", sound(1))
    (tmp_path / "yes" / "cd_nohash_0.wav").symlink_to("cd_nohash_0.wav")
    read = data.read_recordings(data.read_tree(tmp_path).clips)
    assert [clip.path.stem for clip in read.clips] == ["ab_nohash_0"]
    assert [clip.path.stem for clip, _ in read.bad] == ["cd_nohash_0"]


def test_a_clip_of_both_lists_is_refused(tmp_path):
    write(tmp_path / "yes" / "ab_nohash_0.wav", sound(1))
    (tmp_path / "testing_list.txt").write_text("yes/ab_nohash_0.wav\n")
    (tmp_path / "validation_list.txt").write_text("\nyes\\ab_nohash_0.wav\n")
    said = (
        f"{tmp_path}: both lists have a clip: testing_list.txt, line 1: yes/ab_nohash_0.wav and "
        "validation_list.txt, line 2: yes\\ab_nohash_0.wav; remove it from one"
    )
    refused(said, "data", "check", str(tmp_path))


@pytest.mark.parametrize("there", ["testing_list.txt", "validation_list.txt"])
def test_one_list_alone_is_refused_and_the_other_named(tmp_path, there):
    write(tmp_path / "yes" / "ab_nohash_0.wav", sound(1))
    (tmp_path / there).write_text("yes/ab_nohash_0.wav\n")
    (missing,) = {"testing_list.txt", "validation_list.txt"} - {there}
    refused(f"{tmp_path}: {missing} is missing", "data", "check", str(tmp_path))


def test_lists_that_are_no_text_are_refused(tree, tmp_path):
    latin = tmp_path / "names.txt"
    latin.write_bytes("J\u00fcrgen\n".encode("latin-1"))
    run = ("--run", str(tmp_path / "run"), "--output", str(tmp_path / "x.tkws"))
    said = f"{latin}: not UTF-8 text"
    refused(said, "bench", "adapt", "--data", str(tree), "--speakers", str(latin))
    refused(said, "train", "--data", str(tree), *run, "--exclude-speakers", str(latin))
    write(tmp_path / "yes" / "ab_nohash_0.wav", sound(1))
    (tmp_path / "validation_list.txt").write_text("")
    latin.rename(tmp_path / "testing_list.txt")
    refused("testing_list.txt: not UTF-8 text", "data", "check", str(tmp_path))


LISTINGS = {
    "plain": lambda text: text,
    "backslashes": lambda text: text.replace("/", "\\"),
    "leading-dot": lambda text: "".join(f"./{line}\n" for line in text.splitlines()),
    "byte-order-mark": lambda text: "\ufeff" + text,
    "carriage-returns": lambda text: text.replace("\n", "\r\n"),
    "windows": lambda text: "\ufeff" + text.replace("/", "\\").replace("\n", "\r\n"),
    "blank-lines": lambda text: "\n \n" + text.replace("\n", " \n\n"),
    "repeats": lambda text: text + text,
    "upper-suffix": lambda text: text.replace(".wav", ".WAV"),
    "no-last-newline": lambda text: text.rstrip("\n"),
}


@pytest.mark.parametrize("name", LISTINGS)
def test_lists_are_read_however_their_paths_are_written(tree, tmp_path, name):
    """No clip of a list goes into training without a word."""
    wanted = {clip.path.name + clip.word: clip.split for clip in data.read_tree(tree).clips}
    copy = shutil.copytree(tree, tmp_path / "copy", copy_function=os.link)
    for split in ("testing", "validation"):
        path = copy / f"{split}_list.txt"
        text = path.read_text()
        path.unlink()  # it is the other tree's, too
        path.write_bytes(LISTINGS[name](text).encode())
    found = {clip.path.name + clip.word: clip.split for clip in data.read_tree(copy).clips}
    assert found == wanted


def test_words_and_speakers_may_have_spaces(tmp_path):
    write(tmp_path / "zoom in" / "00000001_NO_03.wav", sound(1))
    write(tmp_path / "zoom in" / "00000002_NO_03.wav", sound(2))
    (tmp_path / "testing_list.txt").write_text("zoom in/00000001_NO_03.wav\n")
    (tmp_path / "validation_list.txt").write_text("")
    assert [c.speaker for c in data.read_tree(tmp_path).of("testing")] == ["00000001"]


ABSENT = {
    "no-file": "yes/ab_nohash_9.wav",
    "no-folder": "no/ab_nohash_0.wav",
    "deeper": "speech_commands/yes/ab_nohash_0.wav",
    "above": "../yes/ab_nohash_0.wav",
    "absolute": "/yes/ab_nohash_0.wav",
    "no-word": "ab_nohash_0.wav",
    "other-form": "yes/ab_nohash_0.txt",
    "a-slash": "/",
}


@pytest.mark.parametrize("name", ABSENT)
def test_an_entry_without_its_file_is_an_error(name, tmp_path):
    write(tmp_path / "yes" / "ab_nohash_0.wav", sound(1))
    write(tmp_path / "yes" / "cd_nohash_0.wav", sound(2))
    (tmp_path / "testing_list.txt").write_text(f"yes/ab_nohash_0.wav\n\n{ABSENT[name]}\n")
    (tmp_path / "validation_list.txt").write_text("no/such_nohash_1.wav\n")
    said = f"testing_list.txt, line 3: {ABSENT[name]}: there is no such file, nor for 1 more"
    with pytest.raises(DataError) as error:
        data.read_tree(tmp_path)
    assert said in str(error.value)
    done = tracekws("data", "check", str(tmp_path), "--json")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert said in done.stderr
    report = json.loads(done.stdout)  # what there is, is told all the same
    assert report["listed_without_file"] == [
        f"testing_list.txt, line 3: {ABSENT[name]}",
        "validation_list.txt, line 1: no/such_nohash_1.wav",
    ]


@pytest.mark.parametrize("entry", ["yes/._ab_nohash_0.wav", "_background_noise_/hiss.wav"])
def test_an_entry_of_a_file_that_is_left_out_is_no_error(entry, tmp_path):
    for name in ("yes/ab_nohash_0.wav", "yes/._ab_nohash_0.wav", "_background_noise_/hiss.wav"):
        write(tmp_path / name, sound(1))
    (tmp_path / "testing_list.txt").write_text(f"{entry}\n")
    (tmp_path / "validation_list.txt").write_text("")
    assert len(data.read_tree(tmp_path).clips) == 1


def test_hidden_files_are_left_out_and_counted(tree, tmp_path, model_file):
    copy = shutil.copytree(tree, tmp_path / "copy", copy_function=os.link)
    count = 0
    for path in (*copy.glob("*/*.wav"), *copy.glob("*.txt")):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X        ")
        count += path.suffix == ".wav"
    write(copy / ".trash" / "old_nohash_0.wav", sound(1))
    report = tracekws_json("data", "check", str(copy))
    before = tracekws_json("data", "check", str(tree))
    assert (report.pop("hidden_files"), before.pop("hidden_files")) == (count + 1, 0)
    assert report == before
    assert f"{count + 1} hidden files left out" in tracekws("data", "check", str(copy)).stdout
    done = tracekws("evaluate", str(model_file), "--data", str(copy), "--split", "validation")
    assert done.returncode == 0, done.stderr


def test_of_long_clips_the_loudest_second_is_taken_and_told(tmp_path, model_file):
    rng = np.random.default_rng(1)
    for number in range(3):
        pcm = rng.normal(0, 4, 48000)
        pcm[20000 + 3000 * number :][:16000] += sound(number)
        write(tmp_path / "yes" / f"ab_nohash_{number}.wav", pcm.round().astype(np.int16))
        words = data.read_clip(tmp_path / "yes" / f"ab_nohash_{number}.wav")
        write(tmp_path / "go" / f"ab_nohash_{number}.wav", words[20000 + 3000 * number :][:16000])
    read = data.read_recordings(data.read_tree(tmp_path).clips)
    assert [clip.word for clip in read.long] == ["yes"] * 3
    np.testing.assert_array_equal(read.pcm[3:], read.pcm[:3])
    told = "3 clips longer than a second"
    assert tracekws_json("data", "check", str(tmp_path))["long_clips"] == 3
    assert told in tracekws("data", "check", str(tmp_path)).stdout
    arguments = ("evaluate", str(model_file), "--data", str(tmp_path), "--split", "all")
    assert tracekws_json(*arguments)["long_clips"] == 3
    assert told in tracekws(*arguments).stdout


def converted_tree(root: Path) -> Path:
    """Clips of a word in every form that people have, one of them unreadable."""
    sounds = {
        "ab_nohash_0.wav": (16000, 1),
        "ab_nohash_1.wav": (44100, 2),
        "ab_nohash_2.flac": (44100, 2),
        "ab_nohash_3.ogg": (48000, 1),
        "ab_nohash_4.mp3": (16000, 1),
        "ab_nohash_5.aiff": (8000, 1),
    }
    for name, (rate, channels) in sounds.items():
        pcm = np.random.default_rng(len(name)).normal(0, 0.1, (rate, channels))
        (root / "yes").mkdir(exist_ok=True)
        soundfile.write(root / "yes" / name, pcm, rate)
    (root / "yes" / "ab_nohash_6.m4a").write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(5000))
    noises = root / "_background_noise_"
    noises.mkdir()
    soundfile.write(noises / "room.mp3", np.random.default_rng(1).normal(0, 0.1, 96000), 48000)
    return root


def test_clips_of_any_form_are_read_in_trees(tmp_path):
    tree = data.read_tree(converted_tree(tmp_path))
    read = data.read_recordings(tree.clips)
    assert [clip.path.suffix for clip in read.clips] == [
        ".wav",
        ".wav",
        ".flac",
        ".ogg",
        ".mp3",
        ".aiff",
    ]
    ((clip, reason),) = read.bad
    assert clip.path.suffix == ".m4a"
    assert "convert it with: ffmpeg -i" in reason
    (noise,) = data.read_noise(tree.noises, "training")
    assert len(noise) == 32000 * 4 // 5
    (sound,), bad = read_background(tmp_path / "_background_noise_")
    assert (sound.samples, bad) == (32000, [])


def test_what_is_converted_is_told_in_one_line_a_command(tmp_path, model_file):
    converted_tree(tmp_path)
    report = tracekws_json("data", "check", str(tmp_path))
    assert report["converted"] == {
        "44100 Hz, 2 channels": 2,
        "48000 Hz, 1 channel": 2,
        "8000 Hz, 1 channel": 1,
    }
    assert len(report["bad"]) == 1
    done = tracekws("data", "check", str(tmp_path))
    assert "brought to 16 kHz mono: 2 of 44100 Hz, 2 channels, 2 of" in done.stdout
    arguments = ("--data", str(tmp_path), "--split", "all")
    done = tracekws("evaluate", str(model_file), *arguments)
    assert done.returncode == 0, done.stderr
    notices = [line for line in done.stderr.splitlines() if line.startswith("notice: ")]
    assert len(notices) == 2  # one of them of a low rate
    assert "(48000 Hz, 1 channel), and others like it" in notices[0]
    assert notices[1].endswith(
        "(8000 Hz, 1 channel), and others like it; at such a rate fewer words are heard"
    )


def test_nothing_is_told_of_what_is_16_khz_mono(tree, model_file):
    done = tracekws("evaluate", str(model_file), "--data", str(tree), "--split", "testing")
    assert done.returncode == 0
    assert "notice" not in done.stderr


def test_silent_clips_are_counted_and_not_refused(tmp_path):
    for number, pcm in enumerate((sound(1), np.zeros(16000, np.int16), np.full(9000, 5, np.int16))):
        write(tmp_path / "yes" / f"ab_nohash_{number}.wav", pcm)
        write(tmp_path / "yes" / f"cd_nohash_{number}.wav", pcm)
    report = tracekws_json("data", "check", str(tmp_path))
    assert (report["clips"], len(report["repeats"]), report["bad"]) == (3, 3, [])
    names = [Path(path).name for path in report["silent_clips"]]
    assert names == [f"{who}_nohash_{n}.wav" for who in ("ab", "cd") for n in (1, 2)]
    done = tracekws("data", "check", str(tmp_path))
    assert done.returncode == 0
    assert "4 silent ones" in done.stdout
    assert done.stderr.count("silent: ") == 4


def test_speakers_to_leave_out_of_whom_none_is_there_are_refused(tree, tmp_path):
    listed = tmp_path / "names.txt"
    listed.write_bytes(b"\xef\xbb\xbfnobody\r\nnone\r\n")
    run = ("--run", str(tmp_path / "run"), "--output", str(tmp_path / "x.tkws"))
    said = "none of the 2 speakers to leave out is in the tree"
    refused(said, "train", "--data", str(tree), *run, "--exclude-speakers", str(listed))


def test_what_the_system_refuses_is_one_line_with_its_name():
    name = "long" * 100
    refused(f"{name}: File name too long", "data", "check", name)


def refused(said: str, *arguments: str) -> None:
    """The command ends with one line and exit code 1."""
    done = tracekws(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert said in done.stderr


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_no_tree_is_one_line(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    done = tracekws("data", "check", str(tmp_path / folder))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")


def test_evaluation_noise_is_the_last_fifth(tree):
    paths = data.read_tree(tree).noises
    for path, train, held in zip(
        paths, data.read_noise(paths, "training"), data.read_noise(paths, "evaluation"), strict=True
    ):
        whole, _ = soundfile.read(path, dtype="int16")
        np.testing.assert_array_equal(np.concatenate([train, held]), whole)
        assert len(held) == len(whole) // 5
    assert data.silence_clips(data.read_noise(paths, "evaluation")).shape == (6, 16000)


@given(shots=st.integers(1, 3), negatives=st.integers(0, 20), seed=st.integers(0, 2**32 - 1))
def test_episodes_divide_the_speaker_without_overlap(shots, negatives, seed):
    clips = [
        data.Clip(Path(f"{word}{take}"), word, speaker, "testing")
        for speaker in ("a", "b")
        for word, takes in (("yes", 5), ("no", 4), ("up", 1), ("tree", 6))
        for take in range(takes)
    ]
    rng = np.random.default_rng(seed)
    drawn = data.episode(clips, "a", data.KEYWORDS, shots, negatives, rng)
    parts = (drawn.support, drawn.query, drawn.negatives, drawn.other_words)
    used = [i for part in parts for i in part]
    assert len(used) == len(set(used)) == 15  # "up" has too few takes
    assert {clips[i].speaker for i in used} == {"a"}
    for word, takes in (("yes", 5), ("no", 4)):
        assert sum(clips[i].word == word for i in drawn.support) == shots
        assert sum(clips[i].word == word for i in drawn.query) == takes - shots
    assert len(drawn.negatives) == min(6, negatives)
    assert {clips[i].word for i in (*drawn.negatives, *drawn.other_words)} == {"tree"}


def test_a_tree_can_be_copied_anywhere(tree, tmp_path):
    copy = shutil.copytree(tree, tmp_path / "copy")
    digests = [
        data.read_recordings(data.read_tree(root).of("testing")).digest for root in (tree, copy)
    ]
    assert digests[0] == digests[1]


SPEAKERS = {
    "folder": ("lamp/anna/1.wav", "anna"),
    "prefix": ("lamp/anna_1.wav", "anna"),
    "speech-commands": ("lamp/0a7c2a8d_nohash_3.wav", "0a7c2a8d"),
    "arabic": ("lamp/00000001_NO_03.wav", "00000001"),
    "word-behind": ("lamp/anna_lamp_1.wav", "anna"),
    "word-in-front": ("lamp/lamp_anna_1.wav", "anna"),
    "two-names": ("lamp/mary ann_12.flac", "mary ann"),
    "decomposed": ("lamp/Jose\u0301_1.wav", "Jos\u00e9"),
    "number": ("lamp/1.wav", ""),
    "the-word": ("lamp/lamp_1.wav", ""),
    "the-word-in-capitals": ("lamp/Lamp_1.wav", ""),
    "a-take": ("lamp/take_1.wav", ""),
    "a-date": ("lamp/20251130_120000.wav", ""),
    "no-number": ("lamp/anna.wav", ""),
}


@pytest.mark.parametrize("name", SPEAKERS)
def test_who_speaks_is_the_same_for_training_and_for_takes(tmp_path, name):
    file, speaker = SPEAKERS[name]
    write_take(tmp_path / file, 1)
    (clip,) = data.read_tree(tmp_path).clips
    assert (clip.word, clip.speaker) == ("lamp", speaker)
    (adapted,) = read_takes(tmp_path, ("lamp", "_unknown_"), "_unknown_", "_silence_")
    (taught,) = read_word([tmp_path / "lamp"], "lamp")
    assert adapted.speaker == taught.speaker == speaker
    assert (adapted.pcm == taught.pcm).all()


def test_a_text_is_no_recording_and_a_linked_folder_is_a_folder(tmp_path):
    """For training and for takes alike; what is there twice counts once."""
    tree, far = tmp_path / "tree", tmp_path / "far"
    for take in range(2):
        write_take(tree / "lamp" / f"{take}.wav", take)
        write_take(far / f"{take}.wav", 10 + take)
    for folder in (tree / "lamp", far):
        (folder / "notes.txt").write_text("no recording")
        (folder / "gone").symlink_to("nowhere")
    (tree / "lamp" / "anna").symlink_to(far)
    (tree / "lamp" / "again").symlink_to(".")
    trained = data.read_recordings(data.read_tree(tree).clips)
    assert not trained.bad
    files = [clip.path.relative_to(tree / "lamp").as_posix() for clip in trained.clips]
    assert files == ["0.wav", "1.wav", "anna/0.wav", "anna/1.wav"]
    labels = ("lamp", "_unknown_", "_silence_")
    adapted = read_takes(tree, labels, "_unknown_", "_silence_")
    taught = read_word([tree / "lamp"], "lamp")
    for takes in (adapted, taught):
        assert len(takes) == 6
        assert [take.name for take in distinct(takes)] == [f"lamp/{file}" for file in files]
        assert [(again.name, first.name) for again, first in copies(takes)] == [
            (f"lamp/again/{n}.wav", f"lamp/{n}.wav") for n in range(2)
        ]


def test_a_tree_of_speakers_folders_is_split_and_listed_by_its_paths(tmp_path):
    for speaker in ("anna", "ben"):
        write_take(tmp_path / "lamp" / speaker / "1.wav", len(speaker))
    (tmp_path / "lamp" / "anna" / ".2.wav").write_bytes(b"hidden")
    (tmp_path / "lamp" / "notes.txt").write_text("no recording")
    (tmp_path / "testing_list.txt").write_text("lamp/ben/1.wav\n")
    (tmp_path / "validation_list.txt").write_text("")
    tree = data.read_tree(tmp_path)
    assert {clip.speaker: clip.split for clip in tree.clips} == {
        "anna": "training",
        "ben": "testing",
    }
    assert tree.hidden == 1
    assert [clip.key for clip in tree.clips] == ["lamp/anna/1", "lamp/ben/1"]


def test_a_tree_without_words_says_what_is_expected(tmp_path):
    write(tmp_path / "loose.wav", sound(1))
    refused(f"expected are {tmp_path}/WORD/1.wav", "data", "check", str(tmp_path))


@pytest.mark.parametrize("speakers", [1, 3, 4, 10])
def test_parts_share_no_speaker_and_each_word_is_in_all(speakers):
    clips = [
        data.Clip(Path(f"{word}/{who}/{take}.wav"), word, f"voice{who}", "training")
        for word in ("lamp", "radio")
        for who in range(speakers)
        for take in range(8)
    ]
    parts = data.in_turn(clips, 4)
    for word in ("lamp", "radio"):
        assert {p for clip, p in zip(clips, parts, strict=True) if clip.word == word} == {
            0,
            1,
            2,
            3,
        }
    of = {}
    for clip, part in zip(clips, parts, strict=True):
        of.setdefault(clip.speaker, set()).add(part)
    assert all(len(found) == 1 for found in of.values()) == (speakers >= data.FEW_SPEAKERS)
    assert parts == data.in_turn(clips, 4)
