import wave

import av
import numpy as np
import pytest

from curation.media_write import transcode, write_clip, write_sound


def colours(frames=17, size=(48, 64)):
    """Frames of one plain colour each, red to blue."""
    pixels = np.zeros((frames, *size, 3), np.uint8)
    pixels[..., 0] = np.linspace(230, 20, frames)[:, None, None]
    pixels[..., 2] = np.linspace(20, 230, frames)[:, None, None]
    return pixels


def click(rate, channels, at, seconds=2.125):
    """A decaying click that starts exactly at `at` seconds."""
    samples = np.zeros((channels, round(seconds * rate)), np.float32)
    start, length = round(at * rate), round(0.02 * rate)
    samples[:, start : start + length] = 0.8 * np.linspace(1, 0, length) ** 2
    return samples


def hear(path):
    """All decoded samples, their first time and the rate, as a plain PyAV reader gets them."""
    with av.open(str(path)) as box:
        frames = list(box.decode(audio=0))
    sound = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    return sound, float(frames[0].time), frames[0].sample_rate


def see(path):
    with av.open(str(path)) as box:
        frames = list(box.decode(video=0))
    return np.stack([f.to_ndarray(format="rgb24") for f in frames]), [float(f.time) for f in frames]


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 2), (48000, 1)])
def test_a_click_is_read_back_where_it_was_written(tmp_path, rate, channels):
    """Catches AAC priming that moves the sound by 1024 samples against the picture."""
    path, at = tmp_path / "click.mp4", 0.7003
    write_clip(path, colours(), 8, click(rate, channels, at), rate)
    sound, start, got = hear(path)
    assert (got, len(sound), start) == (rate, channels, 0.0)
    onset = int(np.argmax(np.abs(sound[0]) > 0.4))
    assert abs(onset / rate - round(at * rate) / rate) < 0.001


def test_picture_starts_at_zero_in_even_steps_and_keeps_its_colours(tmp_path):
    """Catches B-frame delay, wrong time bases, and a colour matrix read back as another one."""
    path = tmp_path / "clip.mp4"
    write_clip(path, iter(colours()), 8, click(16000, 1, 1.0), 16000)
    pixels, times = see(path)
    np.testing.assert_allclose(times, np.arange(17) / 8, atol=1e-6)
    assert np.abs(pixels.astype(int) - colours().astype(int)).mean() < 4


@pytest.mark.parametrize("fps", [8, 12.5, 24000 / 1001, 30])
def test_duration_follows_the_frame_rate(tmp_path, fps):
    """Catches a frame rate that is rounded: sound and picture would drift apart."""
    path = tmp_path / "clip.mp4"
    write_clip(path, colours(30), fps)
    with av.open(str(path)) as box:
        video = box.streams.video[0]
        assert float(video.average_rate) == pytest.approx(fps, rel=1e-6)
        assert float(video.duration * video.time_base) == pytest.approx(30 / fps, abs=1e-3)
        assert not box.streams.audio


def test_the_same_input_gives_the_same_bytes(tmp_path):
    """Catches dates, random ids or thread races in the file: content hashes name every source."""
    for name in ("a.mp4", "b.mp4"):
        write_clip(tmp_path / name, colours(), 8, click(16000, 1, 0.5), 16000)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data == (tmp_path / "b.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "faststart: the index stands first"


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    """Catches half-written clips under the final name."""
    path = tmp_path / "clip.mp4"
    write_clip(path, colours(5), 8)
    before = path.read_bytes()

    def dying():
        yield from colours(3)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_clip(path, dying(), 8)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize(
    ("pixels", "samples", "match"),
    [
        (np.zeros((0, 8, 8, 3), np.uint8), None, "empty"),
        (np.zeros((2, 8, 8, 3), np.float32), None, "uint8"),
        (np.zeros((2, 9, 8, 3), np.uint8), None, "even"),
        (np.zeros((2, 8, 8, 3), np.uint8), np.full((1, 99), np.nan, np.float32), "NaN"),
        (np.zeros((2, 8, 8, 3), np.uint8), np.zeros((3, 99), np.float32), "channels"),
        (np.zeros((2, 8, 8, 3), np.uint8), np.zeros(99, np.float32), "channels"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 16, 3), np.uint8)], None, "frame 1"),
    ],
)
def test_wrong_input_is_named(tmp_path, pixels, samples, match):
    """Catches garbage that reaches the encoder and fails there without a reason."""
    with pytest.raises(ValueError, match=match):
        write_clip(tmp_path / "clip.mp4", pixels, 8, samples, 16000)
    assert not list(tmp_path.iterdir())


def test_transcode_keeps_time_and_loses_quality(tmp_path):
    """Catches a re-encode that shifts the sound or is as good as its source."""
    noisy = np.random.default_rng(0).integers(0, 255, (17, 48, 64, 3)).astype(np.uint8)
    clean, bad = tmp_path / "clean.mp4", tmp_path / "bad.mp4"
    write_clip(clean, noisy, 8, click(16000, 1, 0.7), 16000)
    transcode(clean, bad, crf=40, audio_bitrate=24_000)
    assert bad.stat().st_size < clean.stat().st_size / 2
    sound, _, rate = hear(bad)
    assert int(np.argmax(np.abs(sound[0]) > 0.3)) / rate == pytest.approx(0.7, abs=0.005)
    assert len(see(bad)[1]) == 17


def test_wav_holds_what_was_written(tmp_path):
    """Catches interleaving or scaling mistakes."""
    samples = np.stack([np.linspace(-1, 1, 500), np.linspace(1, 0, 500)]).astype(np.float32)
    write_sound(tmp_path / "s.wav", samples, 22050)
    with wave.open(str(tmp_path / "s.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 22050, 500)
        data = np.frombuffer(file.readframes(500), "<i2").reshape(500, 2).T / 32767
    np.testing.assert_allclose(data, samples, atol=1 / 32767)
