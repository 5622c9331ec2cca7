"""Reading audio: what comes out, and the one line that each kind of broken file gets."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sere_core.config.model import Features
from sere_core.features import audio
from sere_registry import Problem, Recording, SereError

RATE = 16_000
WHOLE = Features(trim=False)


def tone(seconds: float, rate: int = RATE, hz: float = 200.0, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate + 0.3)).astype(np.float32)


def recording(path: Path, start: float | None = None, end: float | None = None) -> Recording:
    return Recording(path.stem, path, "corpus", "de", "speaker", start=start, end=end)


def write(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str | None = None) -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def avi(path: Path, samples: np.ndarray, rate: int) -> Path:
    """An AVI file with one stereo track of 16-bit samples `[N, 2]`."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=rate, layout="stereo")
        whole = np.ascontiguousarray((samples * 32767).astype(np.int16).reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(whole, format="s16", layout="stereo")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    return path


def problem(path: Path, options: Features | None = None, **part: float) -> Problem:
    """The only problem of a file, which is named as its place."""
    with pytest.raises(SereError) as caught:
        audio.read(recording(path, **part), options or Features())
    (found,) = caught.value.problems
    assert str(found.place) == str(path)
    return found


def test_sixteen_kilohertz_mono_comes_out_as_it_is_and_so_does_a_part(tmp_path: Path) -> None:
    samples = tone(0.5)
    waveform = audio.read(recording(write(tmp_path / "a.wav", samples, subtype="FLOAT")), WHOLE)
    np.testing.assert_array_equal(waveform.samples, samples)
    assert waveform.facts.seconds == 0.5
    path = write(tmp_path / "a.wav", np.concatenate([tone(0.5, hz=200), tone(0.5, hz=300)]), subtype="FLOAT")
    waveform = audio.read(recording(path, start=0.5, end=0.9), WHOLE)
    np.testing.assert_array_equal(waveform.samples, tone(0.5, hz=300)[: round(0.4 * RATE)])


@pytest.mark.parametrize("container", ["wav", "avi"])
def test_stereo_at_48_kilohertz_is_mixed_down_and_resampled(tmp_path: Path, container: str) -> None:
    stereo = np.stack([tone(1.0, 48_000), np.zeros(48_000, np.float32)], axis=1)
    path = tmp_path / f"a.{container}"
    made = avi(path, stereo, 48_000) if container == "avi" else write(path, stereo, 48_000, "FLOAT")
    waveform = audio.read(recording(made), WHOLE)
    assert len(waveform.samples) == RATE
    middle = slice(1000, -1000)  # a resampler has nothing beyond the ends to work with
    np.testing.assert_allclose(waveform.samples[middle], tone(1.0)[middle] / 2, atol=1e-3)


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.aac", "aac"), ("a.webm", "libopus"), ("a.wma", "wmav2")])
def test_what_telephones_and_browsers_record_is_decoded_by_pyav(tmp_path: Path, name: str, codec: str) -> None:
    av, rate = pytest.importorskip("av"), 44_100 if codec == "wmav2" else 48_000
    with av.open(str(tmp_path / name), "w", format={"a.m4a": "ipod", "a.aac": "adts", "a.wma": "asf"}.get(name)) as file:
        stream = file.add_stream(codec, rate=rate, layout="mono", bit_rate=64_000)
        frame = av.AudioFrame.from_ndarray(tone(1.0, rate)[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    samples = audio.read(recording(tmp_path / name), WHOLE).samples
    assert len(samples) == pytest.approx(RATE, rel=0.2)
    spectrum = np.abs(np.fft.rfft(samples))
    expected = np.abs(np.fft.rfft(tone(1.0)))
    peak, wanted = spectrum.argmax() / len(samples), expected.argmax() / RATE
    assert peak == pytest.approx(wanted, rel=0.02), "it is the same tone"


def test_the_digest_is_that_of_the_samples_not_of_the_file(tmp_path: Path) -> None:
    steps = (tone(0.3) * 32767).astype(np.int16)
    names = ("a.wav", "b.wav", "a.flac")
    first, same, flac = (audio.read(recording(write(tmp_path / name, steps)), Features()).facts for name in names)
    other = audio.read(recording(write(tmp_path / "c.wav", tone(0.3, hz=201))), Features()).facts
    assert first.digest == same.digest == flac.digest != other.digest


def test_digital_silence_is_trimmed_from_both_ends_and_counted(tmp_path: Path) -> None:
    nothing, inside = np.zeros(RATE // 2, np.float32), np.zeros(100, np.float32)
    whisper = np.full(RATE // 4, 2e-5, np.float32)  # below -90 dBFS
    sound = np.concatenate([tone(0.2), inside, tone(0.2)])
    path = write(tmp_path / "a.wav", np.concatenate([nothing, whisper, sound, nothing]), subtype="FLOAT")
    waveform = audio.read(recording(path), Features())
    np.testing.assert_array_equal(waveform.samples, sound)
    assert waveform.facts.trimmed_seconds == pytest.approx(1.25)
    assert audio.read(recording(path), WHOLE).facts.seconds == pytest.approx(1.25 + len(sound) / RATE)


def test_what_is_longer_than_max_seconds_is_cut_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(1.5, 48_000), 48_000)
    facts = audio.read(recording(path), Features(max_seconds=1.0)).facts
    assert (facts.seconds, facts.cut_seconds) == (pytest.approx(1.0, abs=1e-3), pytest.approx(0.5, abs=1e-3))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.wav", b"", "0 bytes"),
        ("a.wav", b"just some notes\n", "text"),
        ("a.wav", b"<!DOCTYPE html><html>404</html>", "HTML"),
        ("a.flac", b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "Git LFS"),
        ("a.wav", bytes(4000), "zeros"),
        ("a.flac", b"fLaC" + bytes(range(256)), "FLAC"),
        ("a.avi", b"RIFF\x10\0\0\0AVI LIST" + bytes(100), "AVI"),
    ],
)
def test_what_is_no_audio_says_what_its_bytes_look_like(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    if name == "a.avi":
        pytest.importorskip("av")
    (tmp_path / name).write_bytes(content)
    found = problem(tmp_path / name)
    assert found.code == "D603" and says in found.message


def test_an_mp3_named_wav_and_a_missing_file(tmp_path: Path) -> None:
    write(tmp_path / "a.mp3", tone(0.5)).rename(tmp_path / "a.wav")
    found = problem(tmp_path / "a.wav")
    assert found.code == "D603" and ".wav" in found.message and "MP3" in found.message
    assert problem(tmp_path / "b.wav").code == "D603"


def test_a_truncated_file_is_not_taken_for_a_short_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(1.0), subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-10_000])
    found = problem(path)
    assert found.code == "D603" and "32000" in found.message and "22000" in found.message
    path = write(tmp_path / "a.flac", np.random.default_rng(0).normal(0, 0.1, RATE))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert problem(path).code == "D603"


def test_a_wav_written_to_a_pipe_does_not_know_its_length_and_is_fine(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(0.5), subtype="PCM_16")
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content)
    assert audio.read(recording(path), Features()).facts.seconds == pytest.approx(0.5, abs=1e-3)


def test_no_samples_nothing_but_silence_and_channels_that_cancel_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    assert problem(write(path, np.zeros(0))).code == "D604"
    silent = problem(write(path, np.zeros(RATE)))
    assert silent.code == "D605" and "1.00 s" in silent.message and not silent.hint
    cancelled = problem(write(path, np.stack([tone(0.5), -tone(0.5)], axis=1)))
    assert cancelled.code == "D605" and "channel" in cancelled.hint


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinite")])
def test_samples_that_are_not_finite_are_said_with_their_place(tmp_path: Path, value: float, word: str) -> None:
    samples = np.stack([tone(1.0), tone(1.0)], axis=1)
    samples[8000, 1] = value
    found = problem(write(tmp_path / "a.wav", samples, subtype="FLOAT"))
    assert found.code == "D606" and all(each in found.message for each in (word, "0.500 s", "channel 2"))


@pytest.mark.parametrize(
    ("part", "code", "says"),
    [
        ({"start": 2.0}, "D604", ("2.000 s", "1.000 s")),
        ({"start": 0.5, "end": 1.5}, "D603", ("1.500 s", "1.000 s")),
        ({"start": 0.5, "end": 0.5}, "D604", ("0.500 s",)),
    ],
)
def test_a_part_that_is_not_in_the_file(tmp_path: Path, part: dict[str, float], code: str, says: tuple[str, ...]) -> None:
    found = problem(write(tmp_path / "a.wav", tone(1.0)), **part)
    assert found.code == code and all(each in found.message for each in says)


def test_without_pyav_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = avi(tmp_path / "a.avi", np.full((100, 2), 0.1), 48_000)
    monkeypatch.setitem(sys.modules, "av", None)  # makes `import av` fail
    found = problem(path)
    assert found.code == "P108" and found.hint == 'pip install "sere[avi]"'


CONTAINERS = {
    "a.wav": {},
    "x.wav": {"endian": "BIG"},
    "a.w64": {},
    "a.flac": {},
    "a.aiff": {},
    "a.ogg": {},
    "a.mp3": {},
    "g.wav": {"subtype": "GSM610"},
}


@pytest.mark.parametrize("name", [*CONTAINERS, "a.m4a"])
def test_a_part_is_what_is_cut_out_of_the_decoded_file_which_is_decoded_once(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, samples = tmp_path / name, np.random.default_rng(0).normal(0, 0.1, 12 * RATE).astype(np.float32)
    if name == "a.m4a":
        av = pytest.importorskip("av")
        with av.open(str(path), "w", format="ipod") as file:
            stream = file.add_stream("aac", rate=RATE, layout="mono", bit_rate=64_000)
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.sample_rate = RATE
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                file.mux(packet)
    else:
        soundfile.write(path, samples, RATE, **CONTAINERS[name])
    whole = audio.read(recording(path), Features(trim=False, max_seconds=60)).samples
    spans = [(8.0, 9.5), (0.0, 1.0), (0.5, 2.25), (0.75, 0.875), (11.0, None), (3.0, 3.1)]
    parts = [Recording(f"{start}", path, "c", "de", "s", start=start, end=end) for start, end in spans]
    decoded, real = 0, soundfile.SoundFile.read

    def read(self: soundfile.SoundFile, *given: object, **named: object) -> np.ndarray:
        nonlocal decoded
        block = real(self, *given, **named)
        decoded += len(block)
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", read)
    found = {part.id: waveform for part, waveform in audio.read_parts(parts, WHOLE)}
    assert decoded <= len(whole) and len(found) == len(spans)
    for start, end in spans:
        waveform = found[f"{start}"]
        assert isinstance(waveform, audio.Waveform)
        expected = whole[round(start * RATE) : None if end is None else round(end * RATE)]
        np.testing.assert_array_equal(waveform.samples, expected)
        one = audio.read(recording(path, start=start, end=end), WHOLE) if end else waveform  # type: ignore[arg-type]
        assert one.facts == waveform.facts


def test_a_bad_part_leaves_the_others_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.concatenate([tone(1.0), np.zeros(RATE, np.float32), tone(1.0)]))
    spans = [(0.0, 1.0), (1.0, 2.0), (2.0, 9.0), (2.0, 2.0), (2.5, 3.0), (7.0, None)]
    parts = [Recording(f"{number}", path, "c", "de", "s", start=start, end=end) for number, (start, end) in enumerate(spans)]
    found = {part.id: each.problems[0].code if isinstance(each, SereError) else "" for part, each in audio.read_parts(parts, Features())}
    assert [found[str(number)] for number in range(6)] == ["", "D605", "D603", "D604", "", "D604"]


@pytest.mark.parametrize("size", [b"\0" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f"])
@pytest.mark.parametrize(("name", "at"), [("a.wav", 40), ("x.wav", 40), ("a.au", 8), ("a.aiff", None), ("a.caf", None)])
def test_a_size_that_was_never_filled_in_is_said_and_what_is_there_is_read(tmp_path: Path, name: str, at: int | None, size: bytes) -> None:
    path = tmp_path / name
    soundfile.write(path, tone(1.0), RATE, endian="BIG" if name == "x.wav" else None)
    content = path.read_bytes()
    if at is None and size[0]:
        pytest.skip("AIFF and CAF have none of these values")
    at = content.index(b"SSND" if name == "a.aiff" else b"data") + (8 if name == "a.caf" else 4) if at is None else at
    size = size[::-1] if name != "a.wav" else size
    path.write_bytes(content[:at] + size + content[at + 4 :])
    if size == b"\x7f\xff\xff\xff" and name == "a.au":
        assert problem(path).code == "D603"
        return
    facts = audio.read(recording(path), Features()).facts
    assert facts.seconds == pytest.approx(1.0, abs=0.002) and "unknown length" in facts.remarks[0]


def test_a_tag_in_front_is_looked_behind(tmp_path: Path) -> None:
    for name in ("a.flac", "a.wav", "a.mp3", "a.aiff", "a.ogg"):
        path = write(tmp_path / name, tone(1.0))
        path.write_bytes(b"ID3\x03\0\0\0\0\0\x0a" + bytes(10) + path.read_bytes())
        assert audio.read(recording(path), Features()).facts.seconds == pytest.approx(1.0, abs=0.1)
        path.write_bytes(path.read_bytes()[: int(0.6 * path.stat().st_size)])
        assert problem(path).code == "D603"


MONO, OTHER = tone(1.0), tone(1.0, hz=331)


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (np.stack([MONO, 0 * MONO], 1), "dead channel"),
        (np.stack([MONO, -0.97 * MONO], 1), "inverted channel"),
        (np.stack([MONO, OTHER], 1), "different channels"),
        (np.stack([MONO, 0.5 * MONO], 1), ""),
        (MONO, ""),
        (5 * MONO, "beyond full scale"),
        (0.01 * MONO + 0.3, "constant offset"),
        (np.clip(9 * MONO, -1, 1), "clipped"),
        (np.round(MONO * 10) / 10, "coarse"),
        (np.round(MONO / 0.3 * 8) / 80, "coarse"),
        (MONO[:1000], "very short"),
        (MONO * 1e-3, "very quiet"),
    ],
)
def test_what_is_odd_is_said(tmp_path: Path, samples: np.ndarray, says: str) -> None:
    remarks = audio.read(recording(write(tmp_path / "a.wav", samples, subtype="FLOAT")), Features()).facts.remarks
    assert [each.partition(":")[0] for each in remarks] == ([says] if says else [])


@pytest.mark.parametrize(
    ("samples", "code", "says"),
    [
        (np.round(32767 * MONO), "D606", "32768"),
        (1e29 * MONO, "D606", "scale"),
        (0 * MONO + 0.3, "D605", "offset"),
        (MONO[:300], "D612", "300 samples"),
        (np.concatenate([MONO[:300], 0 * MONO]), "D612", "300 samples of 16300"),
    ],
)
def test_what_cannot_be_speech_is_refused(tmp_path: Path, samples: np.ndarray, code: str, says: str) -> None:
    found = problem(write(tmp_path / "a.wav", samples, subtype="FLOAT"))
    assert found.code == code and says in found.message + found.hint


def test_samples_whose_bytes_are_swapped_are_refused_and_noise_is_not(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name, samples in {
        "voice": sum(tone(1.0, hz=hz, level=0.1) for hz in (150, 300, 900, 2400)) + random.normal(0, 0.003, RATE),
        "noise": random.normal(0, 0.1, RATE),
        "high": tone(1.0, hz=7000.0),
    }.items():
        whole = (np.asarray(samples) * 32767).astype(np.int16)
        assert len(audio.read(recording(write(tmp_path / f"{name}.wav", whole)), WHOLE).samples) == RATE
        if name == "voice":
            assert problem(write(tmp_path / "swapped.wav", whole.byteswap()), WHOLE).code == "D606"
    for subtype in ("PCM_U8", "ULAW", "ALAW", "PCM_24"):
        for name, samples in (("noise", random.normal(0, 0.1, RATE)), ("steps", np.repeat(random.normal(0, 0.1, RATE // 50), 50))):
            assert len(audio.read(recording(write(tmp_path / f"{name}-{subtype}.wav", samples, subtype=subtype)), WHOLE).samples) == RATE


def test_rates_that_no_recorder_writes(tmp_path: Path) -> None:
    assert problem(write(tmp_path / "a.wav", MONO, 7)).code == "D603"
    for rate in (15_999, 17_000):
        (remark,) = audio.read(recording(write(tmp_path / "a.wav", MONO, rate)), Features()).facts.remarks
        assert str(rate) in remark


@pytest.mark.parametrize(("size", "seconds", "says"), [(2, 1.0, "unknown length"), (16_000, 0.5, "odd length"), (31_900, 0.997, "")])
def test_samples_behind_what_a_header_counts(tmp_path: Path, size: int, seconds: float, says: str) -> None:
    content = bytearray(write(tmp_path / "a.wav", MONO).read_bytes())
    content[40:44] = size.to_bytes(4, "little")
    for name, behind in (("a.wav", b""), ("b.wav", b"id3 \x04\0\0\0text")):
        (tmp_path / name).write_bytes(content + behind)
        facts = audio.read(recording(tmp_path / name), Features()).facts
        assert [each.partition(":")[0] for each in facts.remarks] == ([says] if says else [])
        assert facts.seconds == pytest.approx(seconds, abs=2e-3)


def test_an_au_that_counts_less_than_it_holds(tmp_path: Path) -> None:
    content = bytearray(write(tmp_path / "a.au", MONO).read_bytes())
    content[8:12] = (8000).to_bytes(4, "big")
    (tmp_path / "a.au").write_bytes(content)
    (remark,) = audio.read(recording(tmp_path / "a.au"), Features()).facts.remarks
    assert remark == "odd length: behind its 8000 bytes of samples are 24000 more"


def test_a_chunk_behind_the_samples_is_no_remark(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", MONO)
    path.write_bytes(path.read_bytes() + b"id3 " + (900).to_bytes(4, "little") + bytes(900))
    assert audio.read(recording(path), Features()).facts.remarks == ()


def test_samples_of_four_bits(tmp_path: Path) -> None:
    content = bytearray(write(tmp_path / "a.wav", MONO, subtype="PCM_U8").read_bytes())
    content[34:36] = (4).to_bytes(2, "little")
    (tmp_path / "a.wav").write_bytes(content)
    assert "4 bits" in " ".join(audio.read(recording(tmp_path / "a.wav"), Features()).facts.remarks)


def test_a_channel_is_taken_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.stack([MONO, OTHER], 1), subtype="FLOAT")
    for channel, samples in (("left", MONO), ("right", OTHER), ("mix", (MONO + OTHER) / 2)):
        waveform = audio.read(recording(path), Features(channel=channel))
        np.testing.assert_array_equal(waveform.samples, samples)
        assert bool(waveform.facts.remarks) == (channel == "mix") and waveform.facts.channels == 2
