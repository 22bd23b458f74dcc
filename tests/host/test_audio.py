# SPDX-License-Identifier: Apache-2.0
"""Every form of recording gives the same samples, or one line that says what is wrong with it."""

import re
import shlex
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tones import utterance
from tracekws import audio
from tracekws.bench.stream import Sound, open_sounds
from tracekws.device.takes import read_takes
from tracekws.errors import DataError

NOT_WRITTEN = {
    ("AIFF", "DWVW_12"),
    ("MP3", "MPEG_LAYER_I"),
    ("MP3", "MPEG_LAYER_II"),
    ("WAV", "MPEG_LAYER_III"),
}
"""Forms that libsndfile names and cannot write."""
FORMS = [
    (container, subtype)
    for container in soundfile.available_formats()
    for subtype in soundfile.available_subtypes(container)
    if (container, subtype) not in NOT_WRITTEN
]
LEAST_SNR_DB = {
    "PCM_S8": 20.0,
    "PCM_U8": 20.0,
    "ULAW": 35.0,
    "ALAW": 35.0,
    "IMA_ADPCM": 18.0,
    "MS_ADPCM": 15.0,
    "GSM610": 12.0,
    "G721_32": 35.0,
    "G723_24": 28.0,
    "G723_40": 35.0,
    "NMS_ADPCM_16": 22.0,
    "NMS_ADPCM_24": 30.0,
    "NMS_ADPCM_32": 35.0,
    "MPEG_LAYER_III": 30.0,
    "VORBIS": 25.0,
    "OPUS": 25.0,
}
"""What a form's own loss leaves; all others are exact."""
LEAST_SNR_OF = {("SDS", "PCM_24"): 60.0}
"""libsndfile writes 21 bits of these."""
OTHER_RATES = {("VOC", "PCM_U8"), ("WVE", "ALAW"), ("XI", "DPCM_16"), ("XI", "DPCM_8")}
"""Forms that cannot say 16,000 Hz."""


def word() -> np.ndarray:
    """A second, int16, with loud samples and small ones."""
    return utterance(3, 1.0, np.random.default_rng(0))


def snr_db(heard: np.ndarray, pcm: np.ndarray) -> float:
    wrong = heard[: len(pcm)].astype(float) - pcm
    return float(10 * np.log10((pcm.astype(float) ** 2).sum() / max(1e-9, (wrong**2).sum())))


@pytest.mark.parametrize(("container", "subtype"), FORMS, ids=["-".join(form) for form in FORMS])
def test_every_form_gives_the_same_samples(container, subtype, tmp_path):
    pcm, path = word(), tmp_path / f"take.{container.lower()}"
    try:
        soundfile.write(path, pcm / 32768, 16000, format=container, subtype=subtype)
    except soundfile.LibsndfileError as error:
        pytest.skip(f"this libsndfile does not write it: {error}")
    if container == "RAW":
        with pytest.raises(DataError, match="samples without a header"):
            audio.read_clip(path)
        return
    heard = audio.read_clip(path)
    if (container, subtype) in OTHER_RATES:
        about = soundfile.info(path)
        assert about.samplerate != 16000
        assert abs(len(heard) - about.frames * 16000 / about.samplerate) < 1
        return
    assert heard.dtype == np.int16
    least = LEAST_SNR_OF.get((container, subtype), LEAST_SNR_DB.get(subtype))
    if least is None:
        np.testing.assert_array_equal(heard, pcm)
    else:
        assert 0 <= len(heard) - len(pcm) < 600  # some have blocks of a size of their own
        assert snr_db(heard, pcm) > least
    # a part, as streams read their background, is the same; of the others the decoder starts anew
    if least is None and soundfile.info(path).subtype[:4] in ("PCM_", "FLOA", "DOUB"):
        np.testing.assert_array_equal(Sound(path, 700, 900).read(), pcm[700:1600])


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("container", ["WAV", "CAF", "AIFF", "W64"])
def test_floats_scale_round_and_saturate(container, subtype, tmp_path):
    given = np.tile([0.0, 1.0, -1.0, 1.5, -50.0, 0.4 / 32768, 0.6 / 32768, -1.6 / 32768], 100)
    soundfile.write(tmp_path / "a.x", given, 16000, format=container, subtype=subtype)
    wanted = np.tile([0, 32767, -32768, 32767, -32768, 0, 1, -2], 100)
    np.testing.assert_array_equal(audio.read_clip(tmp_path / "a.x"), wanted)


@pytest.mark.parametrize(("subtype", "low"), [("PCM_24", 8), ("PCM_32", 16)])
def test_longer_integers_round_to_the_nearest(subtype, low, tmp_path):
    rng = np.random.default_rng(5)
    numbers = rng.integers(-(1 << (15 + low)), 1 << (15 + low), 4000)
    numbers[:2] = (1 << (15 + low)) - 1, -(1 << (15 + low))
    path = tmp_path / "a.wav"
    soundfile.write(path, (numbers << (16 - low)).astype(np.int32), 16000, subtype=subtype)
    wanted = np.clip(np.rint(numbers / 2**low), -32768, 32767)
    np.testing.assert_array_equal(audio.read_clip(path), wanted)


def test_loud_lossy_sound_saturates_and_never_wraps(tmp_path):
    pcm = np.clip(word() * (50000 / word().max()), -32768, 32767).astype(np.int16)
    for name in ("a.ogg", "a.mp3"):
        soundfile.write(tmp_path / name, pcm / 32768, 16000)
        heard = audio.read_clip(tmp_path / name).astype(int)
        loud = np.abs(pcm.astype(int)) > 32000
        assert loud.sum() > 100
        assert (heard[: len(pcm)][loud] * np.sign(pcm[loud]) > 15000).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_an_error_that_names_the_file(value, tmp_path):
    sound = word() / 32768
    sound[8000] = value
    soundfile.write(tmp_path / "bad.wav", sound, 16000, subtype="FLOAT")
    with pytest.raises(DataError, match=r"bad\.wav: some samples are no numbers"):
        audio.read_clip(tmp_path / "bad.wav")


def test_floats_of_another_unit_are_an_error_and_not_noise(tmp_path):
    path = tmp_path / "bad.wav"
    soundfile.write(path, word(), 16000, subtype="FLOAT")  # int16 into floats, as they are
    with pytest.raises(DataError, match=r"bad\.wav: float samples of up to \d+"):
        audio.read_clip(path)


def with_data_size(content: bytes, size: int) -> bytes:
    return content[:40] + struct.pack("<I", size) + content[44:]


def with_rate(content: bytes, rate: int) -> bytes:
    return content[:24] + struct.pack("<I", rate) + content[28:]


LIES = {
    "cut": (lambda wav: wav[:20000], "cut short: its header promises 32000 bytes"),
    "one-byte-cut": (lambda wav: wav[:-1], "cut short"),
    "more": (lambda wav: with_data_size(wav, 99000), "promises 99000 bytes .* 32000 are there"),
    "none": (lambda wav: with_data_size(wav, 0), "a length of 0, .* 32044 bytes: .*ffmpeg -ig"),
    "nothing-in-it": (lambda wav: with_data_size(wav, 0)[:44], "0 samples are too short"),
    "slow": (lambda wav: with_rate(wav, 3999), "its header says 3999 Hz"),
    "fast": (lambda wav: with_rate(wav, 800000), "its header says 800000 Hz"),
    "no-rate": (lambda wav: wav[:24] + bytes(4) + wav[28:], "not readable as audio"),
    "no-channels": (lambda wav: wav[:22] + bytes(2) + wav[24:], "not readable as audio"),
    "header-alone": (lambda wav: wav[:44], "cut short"),
    "empty": (lambda wav: b"", "not readable as audio"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_header_that_lies_is_an_error(name, tmp_path):
    spoil, said = LIES[name]
    path = tmp_path / "a.wav"
    soundfile.write(path, word(), 16000, subtype="PCM_16")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataError, match=said) as error:
        audio.read_clip(path)
    assert str(error.value).startswith(f"{path}: ")
    assert open_sounds([path]) == ([], [str(error.value)])


def test_a_stream_of_flac_without_a_length_is_named(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, word(), 16000)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # 36 bits of STREAMINFO are the number of samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    for read in (audio.read_clip, audio.check_format):
        with pytest.raises(DataError, match=r"no length, .* bytes: .*ffmpeg -i .*a\.flac -ac 1"):
            read(path)


BEGINNINGS = {
    "m4a": b"\0\0\0\x20ftypM4A \0\0\0\0",
    "3gp": b"\0\0\0\x18ftyp3gp4\0\0\0\0",
    "aac": b"\xff\xf1\x50\x80\x02\x1f\xfc\0",
    "wma": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
    "webm": bytes.fromhex("1a45dfa39f4286810142f78101"),
    "amr": b"#!AMR\n\x3c\x91\x17",
}


@pytest.mark.parametrize("suffix", ["own", "wav"])
@pytest.mark.parametrize("form", BEGINNINGS)
def test_forms_of_telephones_are_named_with_what_converts_them(form, suffix, tmp_path):
    path = tmp_path / f"it's a take.{form if suffix == 'own' else suffix}"
    path.write_bytes(BEGINNINGS[form] + bytes(5000))
    for read in (audio.read_clip, audio.check_format):
        with pytest.raises(DataError, match="is not read; convert it with: ffmpeg -i ") as error:
            read(path)
        command = str(error.value).partition("convert it with: ")[2]
        made = f"it's a take{'' if suffix == 'own' else '_converted'}.wav"
        given = ["ffmpeg", "-i", str(path), "-ac", "1", "-ar", "16000", str(tmp_path / made)]
        assert shlex.split(command) == given
    assert "\n" not in str(error.value)


RATES = (4000, 8000, 11025, 11127, 22050, 32000, 44100, 48000, 96000, 192000)


def tones(rate: int, seconds: float, channel: int = 0) -> np.ndarray:
    """Tones that every rate has, as numbers of an instant, 1 being full scale."""
    t = np.arange(round(rate * seconds)) / rate
    notes = ((440, 0.2, 0.0), (1234.5, 0.2, 1.0), (1701, 0.1, 2.0))
    return sum(a * np.sin(2 * np.pi * f * t + p + channel) for f, a, p in notes)


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("rate", RATES)
def test_any_rate_and_any_number_of_channels_give_16_khz_mono(rate, channels, tmp_path):
    path = tmp_path / "a.wav"
    given = np.stack([tones(rate, 3.3, c) for c in range(channels)], axis=1)
    soundfile.write(path, given, rate, subtype="DOUBLE")
    heard = audio.read_clip(path)
    wanted = np.mean([tones(16000, 3.3, c) for c in range(channels)], axis=0) * 32768
    assert abs(len(heard) - len(given) * 16000 / rate) <= 0.5
    assert len(heard) == audio.check_format(path)
    inside = slice(1600, -1600)  # where the filter has sound on both sides
    assert np.abs(heard - wanted[: len(heard)])[inside].max() <= 1
    for start, count in ((0, 700), (700, 900), (16000, 16000), (31000, 5000), (len(heard) - 5, 5)):
        part = Sound(path, start, count).read()
        wrong = np.abs(part.astype(int) - heard[start : start + count])
        assert wrong.max() <= (rate == 11127), start  # of no simple ratio


def test_what_16_khz_cannot_hold_is_filtered_and_not_folded(tmp_path):
    t = np.arange(48000) / 48000
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 9000 * t), 48000)
    heard = audio.read_clip(tmp_path / "a.wav")
    assert np.abs(heard[1600:-1600]).max() <= 1


def test_mixed_down_channels_of_16_khz_are_their_mean(tmp_path):
    rng = np.random.default_rng(3)
    pcm = rng.integers(-32768, 32768, (16000, 2)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", pcm, 16000)
    wanted = np.rint(pcm.astype(float).mean(1))
    np.testing.assert_array_equal(audio.read_clip(tmp_path / "a.wav"), wanted)


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (16000, 8), (48000, 2)])
def test_a_part_of_a_long_recording_takes_no_memory_of_all_of_it(rate, channels, tmp_path):
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", rate, channels, "PCM_16") as file:
        for minute in range(10):
            file.write(np.full((rate * 60, channels), minute + 1, np.int16))
    tracemalloc.start()
    try:
        part = Sound(path, 16000 * 60 * 7 + 16000, 16000).read()
        whole_seconds = audio.check_format(path) / 16000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert whole_seconds == 600
    assert (part == 8).all()
    assert peak < 16 << 20


def test_a_resampled_recording_that_ends_early_is_an_error(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, tones(44100, 9.0), 44100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(DataError, match=r"not readable as audio|they end after"):
        audio.read_clip(path)
    soundfile.write(path, tones(44100, 2.0), 44100)
    with pytest.raises(DataError, match=r"a\.flac: 32000 samples, and 33000 are needed"):
        audio.read_part(path, 32000, 1000)


@pytest.mark.parametrize("size", [0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFF - 36])
def test_a_writer_that_did_not_know_the_length_is_believed(size, tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, word(), 16000, subtype="PCM_16")
    path.write_bytes(with_data_size(path.read_bytes(), size))
    np.testing.assert_array_equal(audio.read_clip(path), word())


@pytest.mark.parametrize("name", ["a.flac", "a.mp3"])
def test_a_compressed_file_that_ends_early_is_an_error(name, tmp_path):
    path = tmp_path / name
    soundfile.write(path, word(), 16000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"not readable as audio|they end after"):
        audio.read_clip(path)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("at", ["one byte", "in a page", "between pages", "after the first pages"])
def test_an_ogg_file_that_ends_early_is_an_error(subtype, at, tmp_path):
    path = tmp_path / "a.ogg"
    noise = np.random.default_rng(2).normal(0, 0.1, 60000)
    soundfile.write(path, noise, 16000, format="OGG", subtype=subtype)
    content = path.read_bytes()
    assert len(audio.read_clip(path)) == 60000
    *_, last = pages = [place.start() for place in re.finditer(b"OggS", content)]
    end = {
        "one byte": len(content) - 1,
        "in a page": last - 100,
        "between pages": last,
        "after the first pages": pages[3],
    }[at]
    path.write_bytes(content[:end])
    for read in (audio.read_clip, audio.check_format):
        with pytest.raises(DataError, match=r"a\.ogg: cut short: its last page is missing"):
            read(path)


def test_more_than_an_hour_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "long.w64"
    with soundfile.SoundFile(path, "w", 16000, 1, "PCM_U8", format="W64") as file:
        for _ in range(3):
            file.write(np.zeros(20 * 60 * 16000, np.int16))
        file.write(np.zeros(1, np.int16))
    with pytest.raises(DataError, match="longer than an hour"):
        audio.read_clip(path)
    assert not Sound(path, 3600 * 16000 - 100, 100).read().any()


def quiet(rms: float) -> np.ndarray:
    return np.rint(np.random.default_rng(1).normal(0, rms, 16000)).astype(np.int16)


SILENT = {
    "zeros": np.zeros(16000, np.int16),
    "a-constant": np.full(16000, -1234, np.int16),
    "the-converter-s-own-noise": quiet(2.0),
    "with-an-offset": quiet(2.0) + np.int16(900),
    "short": np.full(3000, 700, np.int16),
    "long": np.full(50000, 700, np.int16),
}


@pytest.mark.parametrize("name", SILENT)
def test_takes_without_sound_are_all_named_in_one_message(name, tmp_path):
    for file, pcm in (
        ("yes/1", word()),
        ("yes/2", SILENT[name]),
        ("no/1", word() // 10),
        ("no/2", SILENT[name]),
    ):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"{file}.wav", pcm, 16000)
    (tmp_path / "no" / "3.wav").write_bytes(b"no sound at all")
    with pytest.raises(DataError) as error:
        read_takes(tmp_path, ("yes", "no", "_unknown_", "_silence_"), "_unknown_", "_silence_")
    said = str(error.value)
    assert "no/2.wav, yes/2.wav: record again" in said
    assert "3.wav: not readable as audio" in said
    assert "\n" not in said
    assert "1.wav" not in said


def test_a_word_at_the_quietest_level_is_not_taken_for_silence():
    pcm = word()
    frames = pcm[: 16000 // 320 * 320].astype(float).reshape(-1, 320)
    loudest = np.sqrt((frames**2).mean(1).max())
    for level, silent in ((6.0, False), (4.0, True)):
        scaled = np.rint(pcm * (level / loudest)).astype(np.int16)
        assert audio.is_silent(scaled) is silent, level


@pytest.mark.parametrize("name", ["raw", "no-suffix", "latin"])
def test_any_name_is_read(name, tmp_path):
    named = {
        "raw": "a.raw",
        "no-suffix": "a",
        "latin": b"\xe4.wav".decode("utf-8", "surrogateescape"),
    }
    path = tmp_path / named[name]
    soundfile.write(tmp_path / "b.wav", word(), 16000)
    (tmp_path / "b.wav").rename(path)
    if name == "raw":  # libsndfile goes by this suffix, and there is no header then
        with pytest.raises(DataError, match="samples without a header"):
            audio.read_clip(path)
    else:
        np.testing.assert_array_equal(audio.read_clip(path), word())


@pytest.mark.parametrize("suffix", ["", ".wav"])
def test_folders_are_no_recordings(suffix, tmp_path):
    path = Path(f"{tmp_path}/folder{suffix}")
    path.mkdir()
    with pytest.raises(DataError, match="this is a folder"):
        audio.read_clip(path)
