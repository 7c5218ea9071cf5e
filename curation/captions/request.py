"""What a captioner is asked: frames, sound, our words, and strangers' words as quoted data.

Our words come from prompt.md. Text from media is never put into them: it travels as one JSON object
in a part of its own, in which no character can end the quotation or spell a control token.
"""

import base64
import io
import json
import re
import string
import wave
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from curation.captions.description import Description
from curation.captions.questions import Questions, yes_no_schema
from curation.files import fingerprint
from curation.media import MediaReader
from curation.records import Reason, RejectedError, clean
from curation.scores import crop_of
from curation.spoken import believed

PROMPT, ASKING, ENHANCING, REWRITING = (
    Path(__file__).with_name(name)
    for name in ("prompt.md", "questions.md", "enhance.md", "rewrite.md")
)
SOUND_RATE = 16_000  # what speech and audio encoders of the models listen at
JPEG_QUALITY = 90
EVIDENCE_CHARS = 2_000
FIRST = "first_caption"  # a typed caption that a second pass reads, in a clip's row and its request
# Keys of a clip's row that other passes may have filled, and what the request calls them.
EVIDENCE = {
    "transcript": "transcript",
    "text": "on_screen_text",
    "tags": "picture_tags",
    "events": "sound_events",
    "sound_class": "sound_class",
}
# Characters of which control tokens, tags and chat markers are made, written as JSON escapes: the
# same JSON value, but no tokenizer meets `<|im_end|>` or `[INST]` in it.
ESCAPES = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>[]|｜`#&"})
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')  # of JSON, its escapes within

Row = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """What a captioner gets to see and hear of one clip."""

    frames: tuple[bytes, ...]  # JPEG
    times: tuple[float, ...]  # seconds from the clip's start
    sound: bytes | None  # WAV, mono 16 bit at SOUND_RATE; None without a track
    seconds: float


@dataclass(frozen=True)
class Request:
    """One request about one clip, for a description or for answers to `questions`.

    The answer must give `clip_id` and `nonce` back.
    """

    clip_id: str
    nonce: str
    seen: Seen
    data: Row
    questions: Questions = ()
    words: Path = PROMPT  # ours, where there are no questions


def look(
    reader: MediaReader, path: str, clip: Row, frames: int, short_side: int, *, hear: bool = True
) -> Seen:
    """Frames without bars from the middles of equal parts of the clip, and its sound.

    Raises RejectedError.
    """
    import cv2  # noqa: PLC0415 - a recipe loads without it

    start, end = clip["start_s"], clip["end_s"]
    times = start + (np.arange(frames) + 0.5) * (end - start) / frames
    shown = reader.frames(path, short_side=short_side, times=times, crop=crop_of(clip))
    pictures = []
    for pixels in shown.pixels:
        done, data = cv2.imencode(
            ".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        )
        if not done:
            raise RejectedError(Reason.INTERNAL, "a frame could not be written as JPEG")
        pictures.append(data.tobytes())
    heard = None
    if hear and clip.get("has_audio"):
        heard = reader.sound(path, SOUND_RATE, start, end, mono=True).samples[0]
    return Seen(
        tuple(pictures),
        tuple(round(float(t - start), 3) for t in times),
        None if heard is None else wav(heard),
        end - start,
    )


def wav(samples: np.ndarray) -> bytes:
    """Mono samples float32 [N] as a WAV of 16 bits at SOUND_RATE."""
    whole = (np.clip(samples, -1, 1) * 32_767).round().astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as handle:
        handle.setnchannels(1)
        handle.setsampwidth(2)
        handle.setframerate(SOUND_RATE)
        handle.writeframes(whole.tobytes())
    return buffer.getvalue()


def evidence(clip: Row) -> Row:
    """What other passes read and heard in the clip, cleaned and capped; null keys stay out.

    An empty transcript stays: it says that somebody listened and heard no speech. Words that a gate
    flagged are left out of it: the model is told to copy them.
    """
    found: Row = {}
    for key, name in EVIDENCE.items():
        value = believed(clip) if key == "transcript" else clip.get(key)
        if isinstance(value, str) and (value.strip() or key == "transcript"):
            found[name] = clean(value, EVIDENCE_CHARS)
    if FIRST in clip:
        found[FIRST] = clip[FIRST]  # checked line by line when it was answered
    return found


def quoted_data(data: Row) -> str:
    """Evidence as one JSON object on one line, without a character that could be taken for more."""
    written = json.dumps({"data": data}, ensure_ascii=False, sort_keys=True)
    return STRING.sub(lambda text: text[0].translate(ESCAPES), written)  # lists keep their brackets


def messages(request: Request) -> list[Row]:
    """The chat of one request in OpenAI's form: text, frames and sound, then the quoted data."""
    system, user = prompt(ASKING if request.questions else request.words)
    seen = request.seen
    words = string.Template(user).substitute(
        clip_id=request.clip_id,
        nonce=request.nonce,
        questions="\n".join(f"- {n}: {' '.join(q.split())}" for n, q in request.questions),
        seconds=f"{seen.seconds:.2f}",
        count=len(seen.frames),
        times=", ".join(f"{t:g}" for t in seen.times),
        hears=(
            "Its sound is attached."
            if seen.sound
            else "No sound is attached: only the picture can tell."
            if request.questions
            else "No sound is attached: describe only the picture."
        ),
    )
    parts: list[Row] = [{"type": "text", "text": words}]
    parts += [
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{encoded(frame)}"}}
        for frame in seen.frames
    ]
    if seen.sound:
        parts.append(
            {"type": "input_audio", "input_audio": {"data": encoded(seen.sound), "format": "wav"}}
        )
    parts.append({"type": "text", "text": quoted_data(request.data)})
    return [{"role": "system", "content": system}, {"role": "user", "content": parts}]


def encoded(data: bytes) -> str:
    """Base64 text."""
    return base64.b64encode(data).decode()


@cache
def prompt(path: Path = PROMPT) -> tuple[str, str]:
    """The system and the user part of a prompt."""
    _, system, user = path.read_text().replace("# user\n", "# system\n").split("# system\n")
    return system.strip(), user.strip()


@cache
def schema(questions: Questions = ()) -> Row:
    """JSON schema of an answer: identity first, then what is told; every key is required."""
    told = yes_no_schema(questions) if questions else Description.model_json_schema()
    told["properties"] = {
        "clip_id": {"type": "string"},
        "nonce": {"type": "string"},
        **told["properties"],
    }
    told["required"] = list(told["properties"])
    return told


def prompt_fingerprint(questions: Questions = (), path: Path = PROMPT) -> str:
    """Names what is asked, apart from the clip: prompt, schema, evidence and encodings."""
    words = (ASKING if questions else path).read_text()
    return fingerprint([words, schema(questions), EVIDENCE, SOUND_RATE, JPEG_QUALITY])
