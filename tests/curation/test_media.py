"""Frames and sound of films whose every frame and sample is known."""

import os
import time
from types import SimpleNamespace

import av
import numpy as np
import psutil
import pytest

from curation import media_index as index
from curation.media import Limits, MediaReader
from curation.media_picture import AvPictures, DecordPictures, Shape, shape_for
from curation.media_write import write_clip
from curation.records import Reason, RejectedError
from tests import media_zoo as zoo


@pytest.fixture(scope="module")
def reader():
    with MediaReader(Limits(wall_s=60)) as reader:
        yield reader


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("zoo")


def numbers(frames):
    return [zoo.read_number(picture) for picture in frames.pixels]


@pytest.mark.parametrize("spec", zoo.PICTURES, ids=lambda spec: spec.name)
def test_every_access_path_gives_the_same_frame(spec, reader, folder):
    """Fails when a codec, container, rotation or seek shifts frames or their times."""
    path = zoo.make(spec, folder)
    count = len(spec.times)
    tick = 5.1e-4 if path.suffix in (".mkv", ".webm", ".flv") else 1e-5  # these round to 1 ms
    whole = reader.frames(path, short_side=64)
    assert numbers(whole) == list(range(count))
    np.testing.assert_allclose(whole.times, spec.times, atol=2 * tick)
    for number in np.random.default_rng(0).integers(0, count, 8):
        shown = reader.frames(path, short_side=64, times=[spec.times[number] + 2 * tick])
        assert numbers(shown) == [number]
        np.testing.assert_array_equal(shown.pixels[0], whole.pixels[number])
    backwards = reader.frames(path, times=spec.times[::-7])
    assert numbers(backwards) == list(range(count))[::-7]
    pieces = [reader.frames(path, short_side=64, start=a, end=a + 0.7) for a in np.arange(7) * 0.7]
    assert [n for piece in pieces for n in numbers(piece)] == list(range(count))
    video = reader.probe(path).video
    height, width = backwards.pixels.shape[1:3]
    upright = spec.size[::-1] if spec.rotation % 180 else spec.size
    assert (video.width, video.height) == (width, height) == upright


def test_edit_list_hides_what_was_cut(reader, folder):
    """Fails when frames before the cut are shown or the same time gives two frames (decord)."""
    path = zoo.make_edited(folder)
    whole = reader.frames(path, short_side=64)
    assert numbers(whole) == list(range(33, 96))
    assert whole.times[0] == 0
    for number in (40, 5, 62, 0):
        shown = reader.frames(path, short_side=64, times=[whole.times[number]])
        assert numbers(shown) == [33 + number]


@pytest.mark.parametrize("name", ["b_frames.mp4", "ntsc.mp4", "h264.mkv", "vfr.mp4", "ten_bit.mp4"])
def test_decord_and_pyav_agree(name, folder):
    """Fails when the two decoders behind the interface give different pictures."""
    spec = next(s for s in zoo.PICTURES if s.name == name)
    path = zoo.make(spec, folder)
    limits = Limits().model_dump()
    descriptor = os.open(path, os.O_RDONLY)
    kind = "matroska" if path.suffix == ".mkv" else "mov"
    with index.open_container(descriptor, kind, limits) as film:
        picture = index.describe(index.picture_stream(film), 0)
        clock = index.read_clock(film, limits)
    shape = Shape((64, 114), (64, 114))
    fast = DecordPictures.open(descriptor, kind, picture, clock, shape)
    assert fast is not None  # the fast path is taken for a plain film
    exact = AvPictures(descriptor, kind, picture, clock, shape, limits)
    wanted = np.array([0, 3, 17, 18, 19, 41, 59])
    results = []
    for decoder in (fast, exact):
        out = np.zeros((len(wanted), 64, 114, 3), np.uint8)
        assert decoder.read(wanted, out.__setitem__)
        results.append(out)
    os.close(descriptor)
    assert [zoo.read_number(picture) for picture in results[0]] == wanted.tolist()
    np.testing.assert_array_equal(*results)


def lag(heard, truth):
    """Samples by which `heard` is late, and the correlation there."""
    size = 1 << int(np.ceil(np.log2(len(heard) + len(truth))))
    both = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(truth, size))
    curve = np.fft.irfft(both, size)
    peak = int(curve.argmax())
    strength = curve[peak] / np.sqrt((heard**2).sum() * (truth**2).sum())
    return (peak if peak < size // 2 else peak - size), strength


@pytest.mark.parametrize("spec", zoo.SOUNDS, ids=lambda spec: spec.name)
def test_sound_lies_on_the_clock_of_the_picture(spec, reader, folder):
    """Fails when priming, padding, a gap, a late start or the resampler moves sound in time."""
    path = zoo.make(spec, folder)
    truth = zoo.noise(spec)
    late = round(spec.sound_at * spec.rate)
    heard = reader.sound(path, spec.rate)
    assert heard.samples.shape[0] == spec.channels == reader.probe(path).audio.channels
    for channel in range(spec.channels):
        delay, strength = lag(heard.samples[channel], truth[channel])
        # An mp4 keeps a late start in whole milliseconds; everything else is exact.
        assert abs(delay - late) <= (spec.rate / 1000 if late else 1)
        assert strength > (0.8 if late else 0.97)
    if spec.hole:
        first, end = (round(at * spec.rate) for at in spec.hole)
        middle = heard.samples[:, first + 1500 : end - 1500]
        assert np.abs(middle).max() < 1e-3
    # Lower rate, compared at the original one: at most one sample at 16 kHz, in practice 0.
    low = reader.sound(path, 16_000)
    grid = np.arange(truth.shape[1] + late) / spec.rate
    raised = np.interp(grid, np.arange(low.samples.shape[1]) / 16_000, low.samples[0])
    assert abs(lag(raised, truth[0])[0] - late) <= (spec.rate / 1000 if late else 1)


@pytest.mark.parametrize("name", ["aac.mp4", "aac44.mp4", "aac.mkv", "opus.webm", "sound.mp3"])
def test_sound_in_pieces_is_the_sound(name, reader, folder):
    """Fails when chunked or random reading clicks at the seams or loses the codec's preroll."""
    path = zoo.make(next(s for s in zoo.SOUNDS if s.name == name), folder)
    whole = reader.sound(path, 16_000, end=2.4).samples
    pieces = [reader.sound(path, 16_000, a / 10, (a + 6) / 10).samples for a in range(0, 24, 6)]
    np.testing.assert_array_equal(np.concatenate(pieces, 1), whole)
    for start in (1.7, 0.3, 1.25):
        piece = reader.sound(path, 16_000, start, start + 0.2)
        first = round(start * 16_000)
        assert piece.start == first / 16_000
        np.testing.assert_allclose(piece.samples, whole[:, first : first + 3_200], atol=0.02)
    mono = reader.sound(path, 16_000, end=2.4, mono=True).samples
    np.testing.assert_allclose(mono[0], whole.mean(0), atol=1e-5)


def test_noise_that_a_decoder_draws_is_the_same_in_every_piece(reader, folder):
    """Fails when what was decoded before decides what a film's coded noise sounds like."""
    path, rate = folder / "drawn.mp4", 48_000
    rng = np.random.default_rng(3)
    with av.open(str(path), "w") as box:
        track = box.add_stream("aac", rate, layout="mono", options={"aac_pns": "1"})
        track.bit_rate = 32_000
        for start in range(0, 14 * rate, 1024):
            noise = (0.2 * rng.standard_normal((1, 1024))).astype(np.float32)
            part = av.AudioFrame.from_ndarray(noise, "fltp", "mono")
            part.sample_rate, part.pts = rate, start
            box.mux(track.encode(part))
        box.mux(track.encode())
    whole = reader.sound(path, 16_000).samples
    for start in (9.3, 5.1, 11.0, 1.2, 7.7):
        piece = reader.sound(path, 16_000, start, start + 1.0)
        first = round(piece.start * 16_000)
        np.testing.assert_array_equal(piece.samples, whole[:, first : first + 16_000])


def test_sizes(reader, folder):
    """Fails when scaling distorts, or a crop is not the centre of a covering scale."""
    path = zoo.make(zoo.PICTURES[0], folder)
    assert reader.frames(path, times=[0]).pixels.shape == (1, 90, 160, 3)
    assert reader.frames(path, short_side=45, times=[0]).pixels.shape == (1, 45, 80, 3)
    wide = reader.frames(path, size=(45, 80), times=[1.0]).pixels
    square = reader.frames(path, size=(45, 45), times=[1.0]).pixels
    np.testing.assert_array_equal(square, wide[:, :, 17:62])
    assert reader.frames(path, size=(180, 100), times=[0, 2, 1]).pixels.shape == (3, 180, 100, 3)


@pytest.mark.parametrize("size", [(45, 80), (64, 64), (180, 100)])
def test_a_crop_leaves_no_pixel_of_what_is_cut_off(size):
    """Fails when a bar's edge mixes into the picture, or the part cut out is not inside the box."""
    film = SimpleNamespace(height=90, width=160)
    for crop in ([0.1, 0.14, 0, 0], [0, 0, 0.21, 0.2], [0.3, 0, 0, 0.01], [0.4, 0.4, 0.4, 0.4]):
        shape = shape_for(film, None, size, crop)
        assert shape.out == size
        for n, at, out, first, last in zip(
            shape.scaled, shape.at, size, crop[::2], crop[1::2], strict=True
        ):
            assert at >= first * n + (0.5 if first else 0)
            assert at + out <= (1 - last) * n - (0.5 if last else 0)
        scale = [a / b for a, b in zip(shape.scaled, (90, 160), strict=True)]
        assert abs(scale[0] / scale[1] - 1) < 0.02, "the picture is stretched"
    assert shape_for(film, 40, None, [0.25, 0.25, 0, 0]).out == (40, 142)
    with pytest.raises(RejectedError) as nothing:
        shape_for(film, None, size, [0.5, 0.5, 0, 0])
    assert nothing.value.reason == Reason.NO_VIDEO


def test_streams_that_are_not_there(reader, folder):
    """Fails when a film without sound or picture is an error of the system or a silent success."""
    silent = zoo.make(zoo.PICTURES[0], folder)
    deaf = zoo.make(zoo.Spec("sound.wav", None, sound="pcm_s16le"), folder)
    assert reader.probe(silent).audio is None
    assert reader.probe(deaf).video is None
    with pytest.raises(RejectedError) as no_sound:
        reader.sound(silent)
    with pytest.raises(RejectedError) as no_picture:
        reader.frames(deaf)
    assert (no_sound.value.reason, no_picture.value.reason) == (Reason.NO_AUDIO, Reason.NO_VIDEO)


def test_wrong_requests_are_value_errors(reader, folder):
    """Fails when a caller's mistake is blamed on the film, and so recorded as its rejection."""
    path = zoo.make(zoo.PICTURES[0], folder)
    for wrong in (
        {"start": -1},
        {"start": 2, "end": 1},
        {"short_side": 64, "size": (64, 64)},
        {"short_side": 0},
        {"times": [float("nan")]},
        {"times": [-1]},
        {"crop": (0.1, 0.1, 0, 0)},
        {"size": (9, 9), "crop": (1.0, 0, 0, 0)},
    ):
        with pytest.raises(ValueError, match=r"start|end|short_side|times|crop"):
            reader.frames(path, **wrong)
    with pytest.raises(ValueError, match="rate"):
        reader.sound(path, rate=0)
    with pytest.raises(RejectedError) as beyond:
        reader.frames(path, times=[99])
    assert beyond.value.reason == Reason.TOO_SHORT
    assert reader.frames(path, start=50, end=60).pixels.shape[0] == 0


def test_a_changed_file_is_read_anew(reader, folder):
    """Fails when the child answers from a film that has been replaced under the same name."""
    path = zoo.make(zoo.Spec("same.mp4", frames=24), folder)
    assert len(reader.frames(path).times) == 24
    path.unlink()
    zoo.make(zoo.Spec("same.mp4", frames=12), folder)
    assert len(reader.frames(path).times) == 12


def test_limits_hold_before_decoding(folder):
    """Fails when a cap is checked after the bill was paid."""
    path = zoo.make(zoo.Spec("big.mp4", frames=48, sound="aac", sound_s=2), folder)
    for limits, reason in (
        (Limits(frame_pixels=10_000), Reason.TOO_MANY_PIXELS),
        (Limits(film_pixels=500_000), Reason.TOO_MANY_PIXELS),
        (Limits(seconds=1), Reason.TOO_LONG),
        (Limits(streams=1), Reason.TOO_MANY_STREAMS),
        (Limits(channels=1), Reason.CORRUPT),
    ):
        with MediaReader(limits) as reader, pytest.raises(RejectedError) as refused:
            reader.probe(path)
        assert refused.value.reason == reason
    with MediaReader(Limits(result_mb=1)) as reader, pytest.raises(RejectedError, match="shorter"):
        reader.frames(path)


def test_small_films_cost_milliseconds(reader, folder):
    """Fails when every request starts a process or reopens the film (300 ms and more)."""
    path = zoo.make(zoo.PICTURES[0], folder)
    reader.frames(path, short_side=32)
    child = reader._guard.pid
    begin = time.process_time()
    for _ in range(20):
        reader.frames(path, short_side=32, times=[0.5])
    assert (time.process_time() - begin) / 20 < 0.02
    assert reader._guard.pid == child


@pytest.mark.parametrize("name", ["b_frames.mp4", "h264.mkv", "vfr.mp4"])
def test_keyframes_are_read_at_full_size_beside_a_scan(name, reader, folder):
    """Fails when a keyframe is named that is none, or one picture of another size is another frame
    than the one that the scan saw."""
    spec = next(s for s in zoo.PICTURES if s.name == name)
    path = zoo.make(spec, folder)
    whole = reader.frames(path, short_side=64)
    with av.open(str(path)) as film:
        packets = [p for p in film.demux(video=0) if p.pts is not None]
    first = min(p.pts for p in packets)
    keys = sorted(float((p.pts - first) * p.time_base) for p in packets if p.is_keyframe)
    asked = [0.0, whole.times[len(whole.times) // 2], whole.times[-1]]
    found = reader.keyframes(path, asked)
    assert found == pytest.approx([max(k for k in keys if k <= t + 1e-6) for t in asked])
    for time_s in found:
        number = int(np.abs(whole.times - time_s).argmin())
        shown = reader.frames(path, times=[time_s])
        assert numbers(shown) == [number]
        assert min(shown.pixels.shape[1:3]) == min(spec.size)
    again = reader.frames(path, short_side=64, start=whole.times[3], end=whole.times[5])
    assert numbers(again) == [3, 4]


def test_a_decoder_rests_between_requests(reader, tmp_path):
    """A decoder that goes on while nobody reads, into a queue without a bound."""
    pan = np.random.default_rng(0).integers(0, 255, (180, 320 + 360, 3), np.uint8)
    pixels = np.stack([pan[:, i : i + 320] for i in range(360)])
    write_clip(tmp_path / "pan.mp4", pixels, 30.0, None, 48_000)
    reader.close()
    others = {one.pid for one in psutil.Process().children()}  # a store of other tests, say
    reader.probe(tmp_path / "pan.mp4")
    (child,) = (one for one in psutil.Process().children() if one.pid not in others)
    child.cpu_affinity([min(os.sched_getaffinity(0))])  # now its two threads cannot keep pace
    worked = 0.0
    for second in range(4):
        reader.frames(tmp_path / "pan.mp4", start=float(second), end=second + 1.0)
        before = sum(child.cpu_times()[:2])
        time.sleep(0.3)
        worked += sum(child.cpu_times()[:2]) - before
    child.cpu_affinity(sorted(os.sched_getaffinity(0)))
    assert worked < 0.1, f"{worked:.2f} s of work that nobody asked for"
