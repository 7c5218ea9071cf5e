"""What is wrong with a clip's sound: noise, missing band, channels that lie, holes.

Everything that a recording chain does to sound without being meant; nothing here judges content,
and steady sounds that are meant (rain, an engine, a drone) count as noise.
"""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]  # [channels, N]
Floats = NDArray[np.float64]

SIZE = 2048  # samples of a spectrum; 23 Hz a bin at 48 kHz
BAND = 64  # bins
LOW = 0.3
QUIET = 10  # percentile over time
QUIET_BIAS = 0.28  # what these two leave of white noise, half of the time alone
HUM_S = 0.3
HUM_QUIET = 15
ALONE = 20.0  # overtones 13 dB below the strongest line make it mains
MOST_SNR = 100.0
HEARD_DB = -95.0  # dBFS a bin: 16-bit rounding spreads -98 dBFS over all bins, a codec less
DEAD_DB = -80.0
ALIVE_DB = -60.0
STEP_S = 0.002
HOLE_DB = 35.0  # by how much a hole lies under the loudest moment
FALL_DB = 25.0  # by how much sound falls and rises at its edges
HOLE_S = (0.012, 0.25)  # lost packets; longer ones are pauses
EDGE_STEPS = 3  # steps within which it does: natural sounds take longer to end


def fault_scores(samples: Samples, rate: int) -> dict[str, float | None]:
    """Scores of a clip's sound [channels, N] that is neither empty nor silent."""
    loudest = samples[int(np.square(samples).sum(axis=1).argmax())].astype(np.float64)
    scores: dict[str, float | None] = {
        "dc_offset": float(np.abs(samples.mean(axis=1, dtype=np.float64)).max()),
        "dropout_rate": len(holes(loudest, rate)) / (loudest.size / rate),
        **channel_scores(samples),
    }
    if loudest.size >= 4 * SIZE:
        power = spectra(loudest)  # the mean of an inverted pair would be silence
        scores |= noise_scores(power)
        scores["band_share"] = band_share(power)
        scores["hum_db"] = hum(loudest, rate)
    return scores


def spectra(mono: Floats) -> Floats:
    """Power spectra [T, SIZE//2 + 1], Hann windows half over each other; a full-scale sine sums to
    0.5 over its bins.
    """
    count = 1 + (mono.size - SIZE) // (SIZE // 2)
    stride = mono.strides[0]
    frames = np.lib.stride_tricks.as_strided(
        mono, (count, SIZE), (stride * SIZE // 2, stride), writeable=False
    )
    window = np.hanning(SIZE)
    scale = 2 / (SIZE * np.square(window).sum())
    return np.asarray(np.square(np.abs(np.fft.rfft(frames * window, axis=1))) * scale)


def noise_scores(power: Floats) -> dict[str, float | None]:
    """Level of the hiss, and how far all sound stands above it.

    Minimum statistics (Martin 2001): what a band holds in its quietest moments is noise. Of a
    band's BAND bins the LOW lowest share speaks, so that tones that are held are no noise.
    """
    usable = power.shape[1] // BAND * BAND
    place = int(LOW * BAND)
    bands = np.partition(power[:, :usable].reshape(len(power), -1, BAND), place, axis=2)[..., place]
    noise = float(np.percentile(bands, QUIET, axis=0).sum() * BAND / QUIET_BIAS)
    whole = float(power.sum(axis=1).mean())
    if whole <= 0:
        return {}
    rest = max(whole - noise, 1e-3 * whole)
    snr = 10 * np.log10(rest / max(noise, 1e-30))
    return {
        "noise_dbfs": max(-120.0, float(10 * np.log10(max(noise, 1e-12)))),
        "snr_db": float(min(MOST_SNR, snr)),
    }


def hum(sound: Floats, rate: int) -> float | None:
    """Power of the steadiest mains lines against the whole in dB, -120 at least.

    Spectra of 0.3 s tell 100 Hz from a note at 110; the quietest sixth of all moments counts, so
    that bass notes that come and go do not. Mains has overtones: a lone line is a note that is
    held, and counts by ALONE times what the other lines hold. None for less than a second.
    """
    size = round(HUM_S * rate)
    if sound.size < 3 * size:
        return None
    starts = np.arange(0, sound.size - size + 1, size // 2)
    t = np.arange(size) / rate
    window = np.hanning(size)
    scale = 2 / (size * np.square(window).sum())
    best = 0.0
    for mains in (50.0, 60.0):
        waves = np.exp(-2j * np.pi * mains * np.arange(1, 5)[:, None] * t) * window
        lines = np.array([np.square(np.abs(waves @ sound[at : at + size])) for at in starts])
        # A line fills 1.5 bins of a Hann window.
        steady = np.percentile(lines, HUM_QUIET, axis=0)
        power = min(steady.sum(), ALONE * (steady.sum() - steady.max()))
        best = max(best, float(power * scale * 1.5))
    whole = float(np.square(sound).mean())
    return max(-120.0, 10 * float(np.log10(max(best / max(whole, 1e-30), 1e-12))))


def band_share(power: Floats) -> float:
    """Highest frequency that is ever heard, as a share of half the sample rate."""
    level = 10 * np.log10(np.maximum(np.percentile(power, 98, axis=0), 1e-30))
    heard = np.flatnonzero(level > HEARD_DB)
    return float(heard[-1] / (power.shape[1] - 1)) if heard.size else 0.0


def channel_scores(samples: Samples) -> dict[str, float | None]:
    """Empty channels, and how the first two channels go together; null for a single channel."""
    power = np.square(samples, dtype=np.float64).mean(axis=1)
    level = 10 * np.log10(np.maximum(power, 1e-30))
    alive = level.max() > ALIVE_DB
    scores: dict[str, float | None] = {
        "dead_channels": float(np.count_nonzero(level < DEAD_DB)) if alive else None
    }
    if len(samples) < 2 or not alive or level[:2].min() < DEAD_DB:
        return scores
    left, right = samples[0].astype(np.float64), samples[1].astype(np.float64)
    middle, side = np.square(left + right).mean(), np.square(left - right).mean()
    return scores | {
        "channel_correlation": float((left * right).mean() / np.sqrt(power[0] * power[1])),
        "side_db": float(np.clip(10 * np.log10(max(side, 1e-30) / max(middle, 1e-30)), -120, 120)),
    }


def holes(mono: Floats, rate: int) -> list[tuple[float, float]]:
    """(start, end) in seconds of sudden holes: sound stops and comes back at once.

    A natural sound may begin at once, but it dies away; a hole falls FALL_DB within EDGE_STEPS.
    """
    step = max(1, round(STEP_S * rate))
    frames = mono[: mono.size // step * step].reshape(-1, step)
    level = 10 * np.log10(np.maximum(np.square(frames).mean(axis=1), 1e-12))
    low = level < level.max(initial=-120.0) - HOLE_DB
    edges = np.flatnonzero(np.diff(np.r_[False, low, False].astype(np.int8))).reshape(-1, 2)
    found = []
    for first, last in edges:
        if not HOLE_S[0] <= (last - first) * STEP_S <= HOLE_S[1] or not first or last == len(level):
            continue
        before = level[max(0, first - EDGE_STEPS) : first].max()
        after = level[last : last + EDGE_STEPS].max()
        fall = before - level[first + EDGE_STEPS - 1]
        rise = after - level[last - EDGE_STEPS]
        if min(fall, rise) >= FALL_DB:
            found.append((float(first * STEP_S), float(last * STEP_S)))
    return found
