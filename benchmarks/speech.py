"""How good the embedded speech engine is: word errors, word times, voice, languages, cost.

    python -m benchmarks.speech --quick
    python -m benchmarks.speech --librivox FOLDER --turns WAV RTTM --foreign FOLDER

Without options: Dickens read aloud (in moonshine's package) and, with the extra `voice`, sentences
whose word times the synthesiser tells. `--librivox` is test/data of Debian's pocketsphinx-testdata,
`--turns` the sample of pyannote.audio 3.3.2, `--foreign` any folder of speech that is not English.
"""

import argparse
import json
import platform
import re
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
from numpy.typing import NDArray

from curation.speech.align import Aligner
from curation.speech.embedded import Embedded
from curation.speech.voice import Voice, package_folder, pieces, voiced_spans
from curation.speech.words import RATE, Segment, Spans, covered, shifted
from curation.world.speech import speak_line, voice_name
from pipelines.cuts import Speech, windows
from pipelines.scan_config import WindowConfig

AIM = 0.95  # share of word edges within CLOSE_S of the truth
CLOSE_S = 0.1
CITIES = (
    "it was the best of times it was the worst of times it was the age of wisdom it was the age of "
    "foolishness it was the epoch of belief it was the epoch of incredulity it was the season of "
    "light it was the season of darkness it was the spring of hope it was the winter of despair we "
    "had everything before us we had nothing before us we were all going direct to heaven we were "
    "all going direct the other way in short the period was so far like the present period that "
    "some of its noisiest authorities insisted on its being received for good or for evil in the "
    "superlative degree of comparison only"
)
SENTENCES = (
    "The little girl walked along the river until she found an old boat.",
    "Nobody in the village remembers how the fire began that evening.",
    "Please close the window before you leave the room.",
    "My brother bought three apples and a loaf of bread this morning.",
    "The train to London leaves from platform seven in ten minutes.",
    "She opened the letter, read it twice, and threw it into the fire.",
    "If the weather stays like this, we can walk along the beach.",
    "He never told his mother where the money came from.",
    "The teacher asked a question, but none of the children answered.",
    "A small black dog was sleeping under the kitchen table.",
    "There is nothing left to say about the accident.",
    "Two men in dark coats waited outside the station.",
)


class Recording(NamedTuple):
    """Sound [N] at 16 kHz, what is said, and word times where they are known."""

    name: str
    samples: NDArray[np.float32]
    text: list[str]
    times: Spans


class Heard(NamedTuple):
    """What the engine made of a recording, and the CPU seconds that took."""

    voiced: Spans
    segments: list[Segment]
    seconds: float


def load(path: Path) -> NDArray[np.float32]:
    """Mono 16 kHz samples [N] of a wav, ogg or flac file."""
    samples, _ = librosa.load(path, sr=RATE, mono=True)
    return np.asarray(samples, np.float32)


def plain(text: str) -> list[str]:
    """Lower-case words without punctuation."""
    return re.findall(r"[a-z0-9']+", text.lower().replace("-", " ").replace("mr.", "mister"))


def made(count: int) -> Iterator[Recording]:
    """Synthesised sentences with the word times that the voice drew its sound by."""
    lead = np.zeros(RATE // 2, np.float32)
    for number, sentence in enumerate(SENTENCES[:count]):
        line = speak_line(sentence, RATE)
        times = [(a + 0.5, b + 0.5) for _, a, b in line.words]
        samples = np.concatenate([lead, line.samples, lead])
        yield Recording(f"voice {number}", samples, plain(sentence), times)


def librivox(folder: Path) -> Iterator[Recording]:
    """The recordings with transcripts of pocketsphinx's test data."""
    for listing in (folder / "librivox/transcription", folder / "cards/cards.transcription"):
        for line in listing.read_text().splitlines():
            if said := re.fullmatch(r"<s>(.*)</s> \((.*)\)", line.strip()):
                path = listing.parent / f"{said[2]}.wav"
                yield Recording(f"{listing.parent.name} {said[2]}", load(path), plain(said[1]), [])


def hear(sound: NDArray[np.float32], voice: Voice, engine: Embedded) -> Heard:
    """As the pass does it, with the CPU time of this process."""
    begun = time.process_time()
    voiced = voiced_spans(voice.probabilities([sound]), len(sound) / RATE)
    segments: list[Segment] = []
    for number, (start, end) in enumerate(pieces(voiced, engine.gap_s, engine.longest_s)):
        inside = [(a - start, b - start) for a, b in voiced if a >= start and b <= end]
        part = sound[round(start * RATE) : round(end * RATE)]
        segments += [shifted(s, start, number) for s in engine.hear(part, inside)]
    return Heard(voiced, segments, time.process_time() - begun)


def errors(said: list[str], heard: list[str]) -> int:
    """Words to insert, delete or replace (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        corner, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (word != other))
    return row[-1]


def matched(said: list[str], heard: list[str]) -> list[tuple[int, int]]:
    """Pairs of places of equal words in both, in order (longest common subsequence)."""
    size = [[0] * (len(heard) + 1) for _ in range(len(said) + 1)]
    for i in range(len(said) - 1, -1, -1):
        for j in range(len(heard) - 1, -1, -1):
            same = said[i] == heard[j]
            size[i][j] = size[i + 1][j + 1] + 1 if same else max(size[i + 1][j], size[i][j + 1])
    pairs, i, j = [], 0, 0
    while i < len(said) and j < len(heard):
        if said[i] == heard[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif size[i + 1][j] >= size[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs


def gaps(recording: Recording, segments: list[Segment]) -> list[float]:
    """Seconds between the edges of words heard and those of the truth, start and end of each."""
    words = [w for s in segments for w in s.words]
    pairs = matched(recording.text, ["".join(plain(w.text)) for w in words])
    found = [(recording.times[i], words[j]) for i, j in pairs] if recording.times else []
    return [g for (a, b), word in found for g in (word.start - a, word.end - b)]


def voice_errors(path: Path, rttm: Path, voice: Voice) -> dict[str, float]:
    """Missed and false voice against reference turns, in shares of the reference."""
    sound = load(path)
    seconds = len(sound) / RATE
    turns = sorted(
        (float(f[3]), float(f[3]) + float(f[4]))
        for f in (line.split() for line in rttm.read_text().splitlines())
        if f and f[0] == "SPEAKER"
    )
    truth: Spans = []
    for a, b in turns:
        if truth and a <= truth[-1][1]:
            truth[-1] = (truth[-1][0], max(b, truth[-1][1]))
        else:
            truth.append((a, b))
    found = voiced_spans(voice.probabilities([sound]), seconds)
    total = sum(b - a for a, b in truth)
    both = sum(covered(found, a, b) for a, b in truth)
    false = sum(b - a for a, b in found) - both
    return {"missed": round(1 - both / total, 3), "false": round(false / total, 3)}


def report(name: str, recordings: list[Recording], voice: Voice, engine: Embedded) -> list[float]:
    """Print one row of the table; returns the gaps of word edges."""
    wrong = words = 0
    edges: list[float] = []
    cpu = film = spoken = 0.0
    for recording in recordings:
        heard = hear(recording.samples, voice, engine)
        text = [w for s in heard.segments for w in plain(s.text or "")]
        wrong, words = wrong + errors(recording.text, text), words + len(recording.text)
        edges += gaps(recording, heard.segments)
        cpu, film = cpu + heard.seconds, film + len(recording.samples) / RATE
        spoken += sum(b - a for a, b in heard.voiced)
    shares = ""
    if edges:
        far, early = np.abs(edges), np.median(np.reshape(edges, (-1, 2)), axis=0) * 1000
        shares = (
            f", edges: {np.mean(far <= CLOSE_S):.1%} within 100 ms, {np.mean(far <= 0.05):.1%} "
            f"within 50 ms, median {np.median(far) * 1000:.0f} ms ({len(edges)} edges; starts "
            f"{early[0]:+.0f} ms, ends {early[1]:+.0f} ms in the median)"
        )
    print(
        f"{name}: WER {wrong / words:.1%} of {words} words; RTF {cpu / film:.3f} of film, "
        f"{cpu / spoken:.3f} of voice, one core{shares}"
    )
    return edges


def cuts(recording: Recording, config: WindowConfig) -> str:
    """What windows that know the words cost, beside windows that do not, in one shot."""
    seconds = len(recording.samples) / RATE
    rows = []
    for name, speech in (("blind", Speech()), ("with words", Speech(recording.times))):
        clips = windows(0.0, seconds, config, speech)
        edges = [edge for s, n in clips for edge in (s, s + n / config.fps)]
        inside = sum(any(a + 1e-3 < e < b - 1e-3 for a, b in recording.times) for e in edges)
        kept = sum(n for _, n in clips) / config.fps
        rows.append(f"{name} {inside} of {len(edges)} edges in a word, {kept:.1f} s kept")
    return f"{config.min_s:g} to {config.max_s:g} s at {config.fps:g}/s: {'; '.join(rows)}"


def noisy(recording: Recording, decibels: float) -> Recording:
    """The recording with pink noise, so far under it as `decibels` says."""
    size = len(recording.samples)
    white = np.fft.rfft(np.random.default_rng(0).normal(size=size))
    pink = np.fft.irfft(white / np.sqrt(np.maximum(np.arange(len(white)), 1)), size)
    level = np.std(recording.samples) / np.std(pink) * 10 ** (-decibels / 20)
    samples = (recording.samples + level * pink).astype(np.float32)
    return recording._replace(name=f"{recording.name} {decibels:g} dB", samples=samples)


def aligned(recording: Recording, aligner: Aligner) -> Recording:
    """The recording with the aligner's own times for the true text."""
    times = aligner.align(recording.samples, " ".join(recording.text))
    return recording._replace(times=[(t.start, t.end) for t in times or []])


def main() -> None:
    """Print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--librivox", type=Path, help="test/data of pocketsphinx-testdata")
    parser.add_argument("--turns", type=Path, nargs=2, help="a wav and its RTTM")
    parser.add_argument("--foreign", type=Path, help="folder of speech that is not English")
    parser.add_argument("--quick", action="store_true", help="within 50 s")
    asked = parser.parse_args()
    voice, engine, aligner = Voice(), Embedded(), Aligner()
    dickens = load(package_folder("moonshine_voice") / "assets" / "two_cities.wav")
    cities = aligned(Recording("two cities", dickens, CITIES.split(), []), aligner)
    edges = report("Dickens, aligner with the true text as reference", [cities], voice, engine)
    for low, high in ((2.0, 5.0), (2.0, 2.2)):
        print(cuts(cities, WindowConfig(fps=8, min_s=low, max_s=high)))
    if not asked.quick:
        for decibels in (20.0, 10.0, 5.0):
            report(
                f"Dickens over pink noise, {decibels:g} dB",
                [noisy(cities, decibels)],
                voice,
                engine,
            )
    reference = "the aligner given the true text"
    if voice_name():
        sentences = list(made(4 if asked.quick else len(SENTENCES)))
        edges = report("synthesised, the voice's own times", sentences, voice, engine)
        reference = "the synthesiser's own durations"
    if asked.librivox:
        read = [aligned(r, aligner) for r in librivox(asked.librivox)]
        report("LibriVox and cards, aligner with the true text as reference", read, voice, engine)
    if asked.turns:
        print(
            f"voice against reference turns: {voice_errors(asked.turns[0], asked.turns[1], voice)}"
        )
    if asked.foreign:
        sounds = [p for p in asked.foreign.rglob("*") if p.suffix in {".wav", ".ogg", ".flac"}]
        paths = sorted(sounds, key=lambda p: -p.stat().st_size)
        heard = [hear(load(path), voice, engine) for path in paths[: 6 if asked.quick else 30]]
        parts = [s for h in heard for s in h.segments]
        said = sum(s.text is not None for s in parts)
        print(f"not English: {said} of {len(parts)} pieces were given a text")
    share = float(np.mean(np.abs(edges) <= CLOSE_S)) if edges else 0.0
    result = {
        "name": "speech",
        "ratio": round(share, 3),
        "aim": AIM,
        "ours": round(share, 3),
        "peer": 1.0,
        "unit": f"share of word edges within 100 ms of {reference}",
        "versions": {
            p: version(p) for p in ("moonshine-voice", "pocketsphinx", "silero-vad", "onnxruntime")
        },
        "machine": f"{platform.machine()}, one core",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
