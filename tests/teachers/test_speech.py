"""Tests of teachers.speech: texts spoken by a command."""

import sys
import wave

import numpy as np
import pytest
from scipy.io import wavfile

from data.errors import InputError
from teachers.speech import WORKERS, check_command, resampled, spoken, to_float

# Writes a tone of 100 Hz times the length of the text; fails on texts that say so.
SPEAKER = """
import sys, wave, math, array
text = sys.stdin.read()
if "fail" in text:
    print(text, file=sys.stderr)
    sys.exit(3)
if "nothing" in text:
    sys.exit(0)
pitch = 100 * len(text)
with wave.open(sys.argv[1], "wb") as file:
    file.setnchannels(1); file.setsampwidth(2); file.setframerate(22050)
    file.writeframes(array.array("h", (int(20000 * math.sin(6.283185307 * pitch * t / 22050))
                                       for t in range(4410))).tobytes())
"""


@pytest.fixture
def command(tmp_path):
    """A stand-in for espeak-ng."""
    (tmp_path / "speaker.py").write_text(SPEAKER)
    return (sys.executable, str(tmp_path / "speaker.py"), "{wav}")


@pytest.fixture
def waves(tmp_path):
    folder = tmp_path / "waves"
    folder.mkdir()
    return folder


def pitch_of(clip):
    """Its loudest frequency in Hz."""
    return np.argmax(np.abs(np.fft.rfft(clip))) * 16_000 / len(clip)


def test_each_text_has_its_clip_in_order_at_16_khz(command, waves):
    texts = ["a" * length for length in (9, 3, 7, 5, 8, 4)]
    clips = list(spoken(texts, texts, command, waves))
    assert [len(clip) for clip in clips] == [3200] * 6  # a fifth of a second
    assert [pitch_of(clip) for clip in clips] == [900, 300, 700, 500, 800, 400]
    assert max(np.abs(clips[0])) == pytest.approx(20000 / 2**15, rel=0.02)
    assert clips[0].dtype == np.float32
    assert not list(waves.iterdir())  # they are people's words


def test_two_readings_are_the_same(command, waves):
    first, second = (list(spoken(["so", "sad"], "ab", command, waves)) for _ in range(2))
    assert [clip.tobytes() for clip in first] == [clip.tobytes() for clip in second]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("we fail here", r"row 'b': speech.command '.*' ended with status 3: try it"),
        ("nothing to say", r"row 'b': speech.command wrote no WAV file .* one to \{wav\}$"),
    ],
)
def test_a_row_that_cannot_be_spoken_is_named_and_its_text_is_not_shown(
    command, waves, text, said, capfd
):
    with pytest.raises(InputError, match=said) as raised:
        list(spoken(["so sad", text], ["a", "b"], command, waves))
    shown = capfd.readouterr()
    assert text not in str(raised.value) + shown.out + shown.err


def test_a_file_that_holds_no_sound_is_named(tmp_path, waves):
    command = ("sh", "-c", "echo hello > {wav}")
    with pytest.raises(InputError, match=r"row 'a': speech.command wrote no WAV file"):
        list(spoken(["so"], ["a"], command, waves))


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(InputError, match=r"speech.command: 'no-such-speaker' is not there: give"):
        check_command(("no-such-speaker", "{wav}"))


def test_espeak_that_is_not_there_says_how_to_install_it(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=r"install Debian's package espeak-ng, or give"):
        check_command(("espeak-ng", "{wav}"))


def test_a_program_that_cannot_be_started_is_named(tmp_path, waves):
    program = tmp_path / "speaker"
    program.write_bytes(b"\x00\x01")
    program.chmod(0o755)
    with pytest.raises(InputError, match=r"row 'a': speech.command .* can't be started: "):
        list(spoken(["so"], ["a"], (str(program), "{wav}"), waves))


def test_a_program_that_hangs_is_stopped(waves, monkeypatch):
    monkeypatch.setattr("teachers.speech.PATIENCE", 0.2)
    with pytest.raises(InputError, match=r"row 'a': .* did not end within 0.2 seconds"):
        list(spoken(["so"], ["a"], ("sleep", "5"), waves))


def test_texts_that_wait_behind_a_program_that_hangs_are_not_spoken(waves, monkeypatch, tmp_path):
    monkeypatch.setattr("teachers.speech.PATIENCE", 0.5)
    program = tmp_path / "hangs"
    program.write_text(f"#!/bin/sh\necho >> {tmp_path}/started\nexec sleep 5\n")
    program.chmod(0o755)
    with pytest.raises(InputError, match="did not end within"):
        list(spoken(["so"] * 40, list(map(str, range(40))), (str(program), "{wav}"), waves))
    assert len((tmp_path / "started").read_text()) <= 2 * WORKERS


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([0, 128, 192], dtype=np.uint8), [-1, 0, 0.5]),
        (np.array([-(2**15), 2**14], dtype=np.int16), [-1, 0.5]),
        (np.array([-(2**31), 2**30], dtype=np.int32), [-1, 0.5]),
        (np.array([0.25, -0.5]), [0.25, -0.5]),
        (np.array([[2**14, 0], [0, -(2**15)]], dtype=np.int16), [0.25, -0.5]),
    ],
)
def test_samples_of_every_kind_become_numbers_from_minus_1_to_1(samples, expected):
    assert to_float(samples).tolist() == expected


def test_a_clip_at_16_khz_or_without_samples_stays_as_it_is():
    clip = np.float32([0.1, 0.2])
    assert resampled(clip, 16_000) is clip
    assert len(resampled(clip[:0], 22_050)) == 0


def test_a_header_written_before_the_length_was_known_is_read(waves, tmp_path):
    """A program that writes to a pipe can't go back to fill it in; scipy warns of it."""
    source = tmp_path / "source.wav"
    wavfile.write(source, 16_000, np.arange(800, dtype=np.int16))
    with wave.open(str(source)) as file:
        assert file.getnframes() == 800
    whole = bytearray(source.read_bytes())
    whole[40:44] = (1_000_000).to_bytes(4, "little")
    source.write_bytes(whole)
    (clip,) = spoken(["so"], ["a"], ("cp", str(source), "{wav}"), waves)
    assert len(clip) == 800
