"""Every score a scan writes: its unit and meaning. Null means "not available", never "fine"."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Score:
    """One column of the score table. `text` scores are names, all others are float64."""

    unit: str
    about: str
    text: bool = False


# Measured on every frame at scan size (96 px by default) unless it says "full size".
PICTURE = {
    "motion": Score("heights/s", "mean optical flow, median over the clip's frames"),
    "camera_motion": Score("heights/s", "median flow vector: what the whole picture does"),
    "subject_share": Score("0…1", "share of pixels that move against the camera"),
    "frozen_share": Score("0…1", "share of frames that repeat the frame before"),
    "freeze_s": Score(
        "s",
        "longest stretch of repeats under which sounds go on, and that begins in full motion or "
        "ends in a jump or at the cut; 0 for rest, under 0.5 s; null without sound or in the dark",
    ),
    "irregular_share": Score(
        "0…1", "share of frames that come a quarter of a step too early or late: dropped or varying"
    ),
    "largest_gap_ms": Score("ms", "longest time from one frame to the next"),
    "brightness": Score("0…1", "mean luma"),
    "contrast": Score("0…1", "standard deviation of luma, median over frames"),
    "dark_share": Score("0…1", "share of the picture, bars apart, in black: underexposed or night"),
    "blown_share": Score("0…1", "share of the picture, bars apart, at white: overexposed"),
    "sharpness": Score("levels²", "Laplacian variance at scan size, median over frames"),
    "black_share": Score("0…1", "share of frames with hardly a pixel above black"),
    "bars": Score("0…1", "share of the picture under black bars that never change"),
    "bar_top": Score(
        "0…1", "share of the height to crop: the upper bar and the row at scan size where it ends"
    ),
    "bar_bottom": Score("0…1", "share of the height to crop below"),
    "bar_left": Score("0…1", "share of the width to crop at the left"),
    "bar_right": Score("0…1", "share of the width to crop at the right"),
    "flicker": Score("0…1", "mean jump of brightness from frame to frame"),
    "logo_share": Score(
        "0…1",
        "share of the picture under a logo that stays while the scene moves; smaller than 6 % of "
        "the height it is not seen at 96 px; null for one fixed camera in a film of one shot",
    ),
    "inset_share": Score(
        "0…1",
        "share of the picture of a fixed rectangle that holds all motion (screen in screen), "
        "0 without one; null when nothing moves",
    ),
    "blur_px": Score(
        "pixels", "full size, one keyframe: standard deviation of the blur on the sharpest edges"
    ),
    "noise": Score(
        "levels", "full size, one keyframe: standard deviation of noise where it is calmest"
    ),
    "blocking": Score(
        "0…1",
        "full size, one keyframe: share of detailed 8x8 cells whose sharpest corner lies on one "
        "grid of 8 pixels; chance is 0.03 on large pictures, up to 0.3 on 128x192",
    ),
    "text_share": Score(
        "0…1", "full size, one keyframe: share under lines of lettering, guessed without reading"
    ),
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
    "noise_dbfs": Score("dBFS", "level of hiss: between the tones, in the quietest moments"),
    "snr_db": Score(
        "dB", "all other sound against that; rain and wind count as noise too, 100 at most"
    ),
    "hum_db": Score(
        "dB", "steady lines at 50 or 60 Hz and their multiples against all sound: -20 is heard"
    ),
    "bandwidth_hz": Score("Hz", "highest frequency within 60 dB of the loudest band"),
    "band_share": Score(
        "0…1", "highest frequency ever heard as a share of half the rate: low when upsampled"
    ),
    "centroid_hz": Score("Hz", "power-weighted mean frequency: dull or bright"),
    "dead_channels": Score("count", "channels below -80 dBFS beside one above -60"),
    "channel_correlation": Score("-1…1", "of the first two channels: -1 is inverted phase"),
    "side_db": Score(
        "dB", "difference of the first two channels against their sum: -60 is fake stereo"
    ),
    "dc_offset": Score("0…1", "largest mean of a channel"),
    "dropout_rate": Score("1/s", "sudden holes in the sound a second"),
    "onset_rate": Score("1/s", "sudden sounds a second"),
    "sound_marks": Score("base64", "marks by which the sound is known again", text=True),
    "sound_of": Score("clip_id", "the clip whose sound this one has", text=True),
    "channels": Score("count", "sound channels; 0 without a track"),
}
SYNC = {
    "sync_offset_ms": Score(
        "ms",
        "sound behind (+) or ahead (-) of picture events; null under 15 frames a second, where it "
        "is a guess",
    ),
    "sync_confidence": Score("sigmas", "how far the best offset stands above all others"),
    "sync_match": Score(
        "sigmas", "how far no offset (within one frame) stands above all others: the pair as it is"
    ),
    "sync_floor_ms": Score("ms", "resolution: one frame; a smaller offset means nothing"),
    "sync_film_ms": Score(
        "ms", "median offset of the film's confident clips: what a repair would take back"
    ),
    "sync_agreement": Score("0…1", "share of these clips within one frame of that median"),
    "sync_votes": Score("count", "confident clips of the film: under 3 agree by chance"),
}
SCORES = PICTURE | SOUND | SYNC

# Found among all clips of a scan by the embeddings of a judge.
ALIKE = {
    "alike": Score("cosine", "largest likeness in meaning to a better clip; 0 without any"),
    "alike_of": Score("clip_id", "that clip, when it shows the same thing", text=True),
}

# Whether a caption and its clip agree (captions/agreement.py); null for words of measurements.
AGREEMENT = {
    "caption_picture": Score("cosine", "likeness in meaning of picture words and picture"),
    "caption_sound": Score("cosine", "likeness in meaning of sound words and sound (weak)"),
    "caption_scorer": Score("name", "what compared picture and words", text=True),
}

# What a measure resolves at best on a clip, as a column of its own: finer rules are refused.
FLOORS = {
    "sync_offset_ms": "sync_floor_ms",
    "sync_film_ms": "sync_floor_ms",
    "lip_offset_ms": "lip_floor_ms",
}

# Facts of a clip, from the clips and sources tables, that a policy rule may use like scores.
FACTS = ("seconds", "fps", "width", "height", "drift_ms")
TEXT_FACTS = ("split", "licence")

CROP = ("bar_top", "bar_bottom", "bar_left", "bar_right")
SHOWN = ("shown_width", "shown_height")  # facts too: pixels that are left when bars are cropped
Crop = tuple[float, float, float, float]  # shares to cut off at top, bottom, left and right


def crop_of(scores: dict[str, Any]) -> Crop | None:
    """What to cut off a clip by its bars; None where there are none or nobody looked."""
    top, bottom, left, right = (scores.get(name) or 0.0 for name in CROP)
    return (top, bottom, left, right) if top or bottom or left or right else None
