"""The metrics: what each is called, which way is better, and whose features it stands on."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", ""]
Group = Literal["sound and picture", "picture in time", "what was asked", "sound", "against real"]

EFFICIENTNET = "EfficientNet-Lite0"
YAMNET = "YAMNet (8 bit)"
FILE = "the recipe's file"
WINDOWS = f"frame features of {EFFICIENTNET}: mean and step of a second; not I3D"
CONSE = f"{EFFICIENTNET}, {YAMNET} and MiniLM (ConSE)"


@dataclass(frozen=True)
class Metric:
    """One measure of a clip, or with `of_set` of a folder against its reference."""

    name: str
    title: str
    group: Group
    better: Better
    features: str  # the network or algorithm behind it
    unit: str = ""
    rows: str = ""  # of a set: the features whose Fréchet distance or inception score it is
    needs: str = ""  # the network of the recipe, without which it is not listed

    @property
    def of_set(self) -> bool:
        """Whether it is of a folder, not of a clip."""
        return bool(self.rows)


TIME: Group = "sound and picture"
MOTION: Group = "picture in time"
ASKED: Group = "what was asked"
REAL: Group = "against real"

METRICS: tuple[Metric, ...] = (
    Metric("av_align", "AV-Align", TIME, "higher", "Farnebäck flow, librosa onsets"),
    Metric("event_f1", "events at once, F1", TIME, "higher", "one-sided block flow, onsets"),
    Metric("sync_match", "match without offset", TIME, "higher", "curation/sync.py", "σ"),
    Metric("sync_confidence", "confidence of the offset", TIME, "higher", "curation/sync.py", "σ"),
    Metric("sync_error_ms", "size of confident offsets", TIME, "lower", "curation/sync.py", "ms"),
    Metric("lip_likeness", "voice and lips", TIME, "higher", "CenterFace, mouth motion"),
    Metric("lse_d", "LSE-D", TIME, "lower", "judge.lips", needs="lips"),
    Metric("lse_c", "LSE-C", TIME, "higher", "judge.lips", needs="lips"),
    Metric("av_agreement", "sound and picture mean the same", TIME, "higher", CONSE),
    Metric("desync_s", "DeSync", TIME, "lower", FILE, "s", needs="desync"),
    Metric("temporal_flickering", "temporal flickering (VBench)", MOTION, "higher", "pixels"),
    Metric("motion_smoothness", "motion smoothness", MOTION, "higher", "DIS flow, not AMT"),
    Metric("dynamic_degree", "dynamic degree", MOTION, "", "DIS flow, not RAFT"),
    Metric("frame_consistency", "frame consistency", MOTION, "higher", EFFICIENTNET),
    Metric("subject_consistency", "subject consistency", MOTION, "higher", FILE, needs="dino"),
    Metric(
        "background_consistency",
        "background consistency",
        MOTION,
        "higher",
        FILE,
        needs="clip_image",
    ),
    Metric("brisque", "BRISQUE", MOTION, "lower", "natural scene statistics"),
    Metric("text_picture", "prompt and picture", ASKED, "higher", CONSE),
    Metric("text_sound", "prompt and sound", ASKED, "higher", CONSE),
    Metric("clip_score", "CLIP, prompt and picture", ASKED, "higher", "judge.clip", needs="clip"),
    Metric("clap_score", "CLAP, prompt and sound", ASKED, "higher", FILE, needs="clap"),
    Metric("wer", "word error rate of quoted words", ASKED, "lower", "Moonshine tiny"),
    Metric("kept_psnr", "PSNR of what was given", ASKED, "higher", "pixels", "dB"),
    Metric("kept_ssim", "SSIM of what was given", ASKED, "higher", "pixels"),
    Metric("kept_lpips", "LPIPS of what was given", ASKED, "lower", FILE, needs="lpips"),
    Metric("dnsmos_ovrl", "DNSMOS of speech, overall", "sound", "higher", "DNSMOS P.835"),
    Metric("dnsmos_sig", "DNSMOS of speech, signal", "sound", "higher", "DNSMOS P.835"),
    Metric("dnsmos_bak", "DNSMOS of speech, background", "sound", "higher", "DNSMOS P.835"),
    Metric("is_sound", "inception score of sound", "sound", "higher", YAMNET, rows="sound"),
    Metric(
        "is_sound_net",
        "inception score of sound",
        "sound",
        "higher",
        FILE,
        rows="sound_net",
        needs="sound",
    ),
    Metric("fd_frames", "Fréchet distance of clips", REAL, "lower", WINDOWS, rows="frames"),
    Metric("fvd", "FVD", REAL, "lower", FILE, rows="fvd", needs="fvd"),
    Metric("fd_sound", "Fréchet distance of sound", REAL, "lower", YAMNET, rows="sound"),
    Metric(
        "fd_sound_net",
        "Fréchet distance of sound",
        REAL,
        "lower",
        FILE,
        rows="sound_net",
        needs="sound",
    ),
    Metric("kl_sound", "KL of pairs' sound", REAL, "lower", YAMNET, "nats"),
    Metric("kl_sound_net", "KL of pairs' sound", REAL, "lower", FILE, "nats", needs="sound"),
    Metric("onset_f1", "onsets of pairs, F1", REAL, "higher", "curation/sound.py"),
)


def listed(networks: Iterable[str]) -> list[Metric]:
    """The metrics that a recipe with these networks can have."""
    there = set(networks)
    return [metric for metric in METRICS if not metric.needs or metric.needs in there]
