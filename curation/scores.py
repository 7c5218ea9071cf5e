"""Every score a scan writes: its unit and meaning. Null means "not available", never "fine"."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """One column of the score table. `text` scores are names, all others are float64."""

    unit: str
    about: str
    text: bool = False


PICTURE = {
    "motion": Score("heights/s", "mean optical flow, median over the clip's frames"),
    "camera_motion": Score("heights/s", "median flow vector: what the whole picture does"),
    "subject_share": Score("0…1", "share of pixels that move against the camera"),
    "frozen_share": Score("0…1", "share of frames that repeat the frame before"),
    "brightness": Score("0…1", "mean luma"),
    "contrast": Score("0…1", "standard deviation of luma, median over frames"),
    "sharpness": Score("levels²", "Laplacian variance at scan size, median over frames"),
    "black_share": Score("0…1", "share of frames with hardly a pixel above black"),
    "bars": Score("0…1", "share of the picture under black bars that never change"),
    "flicker": Score("0…1", "mean jump of brightness from frame to frame"),
    "colours": Score("names", "main colours by area, for captions", text=True),
    "phash": Score("hex", "perceptual hash of eight instants, 64 bits each", text=True),
    "duplicate_of": Score("clip_id", "the clip that this one repeats", text=True),
}
SOUND = {
    "has_sound": Score("0 or 1", "there is a track and it is not digital silence"),
    "rms_dbfs": Score("dBFS", "level over the whole clip"),
    "peak_dbfs": Score("dBFS", "largest sample"),
    "loudness_lufs": Score("LUFS", "ITU-R BS.1770-4, gated; null below the gate"),
    "clipped_share": Score("0…1", "share of samples in runs at full scale"),
    "silence_share": Score("0…1", "share of 20 ms frames below -60 dBFS"),
    "bandwidth_hz": Score("Hz", "highest frequency within 60 dB of the loudest band"),
    "centroid_hz": Score("Hz", "power-weighted mean frequency: dull or bright"),
    "onset_rate": Score("1/s", "sudden sounds a second"),
    "sound_marks": Score("base64", "marks by which the sound is known again", text=True),
    "sound_of": Score("clip_id", "the clip whose sound this one has", text=True),
    "channels": Score("count", "sound channels; 0 without a track"),
}
SYNC = {
    "sync_offset_ms": Score("ms", "sound behind (+) or ahead (-) of picture events"),
    "sync_confidence": Score("sigmas", "how far the best offset stands above all others"),
    "sync_floor_ms": Score("ms", "resolution: one frame; a smaller offset means nothing"),
}
SCORES = PICTURE | SOUND | SYNC

# Found among all clips of a scan by the embeddings of a judge.
ALIKE = {
    "alike": Score("cosine", "largest likeness in meaning to a better clip; 0 without any"),
    "alike_of": Score("clip_id", "that clip, when it shows the same thing", text=True),
}

# What a measure resolves at best on a clip, as a column of its own: finer rules are refused.
FLOORS = {"sync_offset_ms": "sync_floor_ms", "lip_offset_ms": "lip_floor_ms"}

# Facts of a clip, from the clips and sources tables, that a policy rule may use like scores.
FACTS = ("seconds", "fps", "width", "height", "drift_ms")
TEXT_FACTS = ("split", "licence")
