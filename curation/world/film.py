"""Make one film: a pure function of settings and number."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.world.captions import describe_film
from curation.world.config import WorldConfig
from curation.world.defects import COPIES, draw_defect, plant, swapped
from curation.world.render import RGB, render_shot, view_left
from curation.world.scene import CEILING, TIMBRE, Scene, Shot, draw_scene
from curation.world.sound import loudness, music_bed, place, tone, wind
from curation.world.speech import speak_line, voice_name

CHIME_GAIN = 0.25
SILENT_KINDS = ("jump",)


@dataclass(frozen=True)
class Film:
    """A film in memory with everything that is known about it."""

    pixels: NDArray[np.uint8]  # [N,H,W,3]
    fps: float
    samples: NDArray[np.float32]  # [channels,S] in −1…1
    rate: int
    truth: dict[str, Any]
    captions: dict[str, Any]


def make_film(config: WorldConfig, index: int) -> Film:
    """Film `index` of the world, its defect planted. Defects of the file itself are in the truth
    (`reencode`, `truncate`, `drops`) and left to the writer.
    """
    defect = draw_defect(config, index)
    kind = defect.get("kind")
    film = make_clean_film(config, defect["of"] if kind in COPIES else index)
    if not defect:
        return film
    truth = {**film.truth, "index": index, "defects": [defect]}
    pixels, samples = plant(defect, film.pixels, film.samples, film.rate, film.fps)
    if kind == "swap":
        samples = swapped(samples, make_clean_film(config, defect["of"]).samples)
    return Film(pixels, film.fps, samples, film.rate, truth, film.captions)


def make_clean_film(config: WorldConfig, index: int) -> Film:
    """Film `index` without defects."""
    return shoot(config, draw_scene(config, np.random.default_rng([config.seed, index])), index)


def shoot(config: WorldConfig, scene: Scene, index: int) -> Film:
    """The film of a scene."""
    pixels = np.empty((scene.frames, config.height, config.width, 3), np.uint8)
    for shot in scene.shots:
        render_shot(shot, config.fps, pixels[shot.first : shot.end])
    total = round(scene.frames / config.fps * config.rate)
    samples = np.zeros((config.channels, total), np.float32)
    truth: dict[str, Any] = {
        "version": 1,
        "seed": config.seed,
        "index": index,
        "fps": config.fps,
        "frames": scene.frames,
        "seconds": scene.frames / config.fps,
        "height": config.height,
        "width": config.width,
        "rate": config.rate,
        "samples": total,
        "shots": [],
        "objects": [],
        "events": [],
        "music": None,
        "speech": None,
        "defects": [],
    }
    for shot in scene.shots:
        add_shot(config, shot, truth, samples)
    truth["events"].sort(key=lambda event: event["sample"])
    add_beds(scene, truth, samples)
    peak = float(np.abs(samples).max(initial=0.0))
    if scene.unnamed:
        truth["unnamed"] = True
    gain = min(1.0, 0.95 / peak) if peak else 1.0
    samples *= np.float32(gain)
    truth["gain"] = round(gain, 6)
    return Film(pixels, config.fps, samples, config.rate, truth, describe_film(truth))


def add_shot(
    config: WorldConfig, shot: Shot, truth: dict[str, Any], samples: NDArray[np.float32]
) -> None:
    """Append a shot, its objects and its events to the truth and its sounds to the samples."""
    start, end = shot.first / config.fps, shot.end / config.fps
    number, first = len(truth["shots"]), len(truth["objects"])
    aspect = config.width / config.height
    pans = bool(shot.things) and shot.width > aspect + 1e-6
    direction = ("right" if shot.view[1] > shot.view[0] else "left") if pans else "still"
    truth["shots"].append(
        {
            "start": start,
            "end": end,
            "first_frame": shot.first,
            "end_frame": shot.end,
            "background": shot.background,
            "occluder": shot.occluder,
            "camera": {"move": direction, "view_left": shot.view, "world_width": shot.width},
        }
    )
    frames = range(shot.end - shot.first)
    for offset, thing in enumerate(shot.things):
        body = thing.body
        track = []
        for frame in frames:
            x, y, _, _ = body.at(frame / config.fps)
            track.append(on_screen(shot, frame, x, y, aspect))
        truth["objects"].append(
            {
                "id": first + offset,
                "shot": number,
                "shape": thing.shape,
                "colour": thing.colour,
                "rgb": RGB[thing.colour],
                "radius": round(body.radius, 4),
                "pitch_hz": round(thing.pitch, 2),
                "timbre": thing.timbre,
                "motion": thing.motion,
                "direction": thing.direction,
                "bounce": round(body.bounce, 4),
                "enters": start + body.enters,
                "track": track,
            }
        )
    end_sample = min(round(end * config.rate), samples.shape[1])
    for event in shot_events(shot, first, aspect, config.fps):
        time = start + event.pop("at")
        event |= {"time": round(time, 6), "sample": round(time * config.rate), "shot": number}
        truth["events"].append(event)
        if event["kind"] in SILENT_KINDS:
            continue
        voices = event.pop("voices")
        for timbre, pitch, gain in voices:
            sound = tone(timbre, pitch, config.rate)
            place(samples, sound, event["sample"], gain, event["x"], end_sample)
        event["timbre"] = [timbre for timbre, _, _ in voices]
        event["pitch_hz"] = [round(pitch, 2) for _, pitch, _ in voices]
        event["gain"] = round(sum(gain for _, _, gain in voices), 4)


def shot_events(shot: Shot, first: int, aspect: float, fps: float) -> list[dict[str, Any]]:
    """Every event of a shot, with the voices that sound at it."""
    events: list[dict[str, Any]] = []
    for impact in shot.impacts:
        x, y = on_screen(shot, impact.time * fps, impact.x, impact.y, aspect)
        event: dict[str, Any] = {"at": impact.time, "object": first + impact.body, "x": x, "y": y}
        event["visible"] = is_seen(shot, x, impact.x)
        if impact.other == "jump":
            events.append(event | {"kind": "jump"})
            continue
        gain = loudness(impact.speed)
        pair = [impact.body] + ([int(impact.other)] if impact.other.isdigit() else [])
        things = [shot.things[k] for k in pair]
        event["voices"] = [(t.timbre, t.pitch, gain / len(things)) for t in things]
        event["with"] = first + pair[1] if len(pair) == 2 else impact.other
        event |= {"kind": "impact", "speed": round(impact.speed, 4)}
        events.append(event | {"energy": round(impact.energy, 5)})
    for number, thing in enumerate(shot.things):
        if thing.body.enters > 0:
            here, up, _, _ = thing.body.at(thing.body.enters)
            x, y = on_screen(shot, thing.body.enters * fps, here, up, aspect)
            voices = [("chime", thing.pitch, CHIME_GAIN)]
            event = {"at": thing.body.enters, "kind": "appear", "object": first + number}
            event |= {"x": x, "y": y, "visible": is_seen(shot, x, here)}
            events.append(event | {"voices": voices})
    for unseen in shot.off_screen:
        timbre = TIMBRE[unseen.shape]
        voices = [(timbre, unseen.pitch, loudness(unseen.speed) / 2)]
        event = {"at": unseen.time, "kind": "off_screen", "object": None}
        event |= {"x": -0.5 if unseen.place == 0 else 1.5, "y": None, "visible": False}
        events.append(event | {"voices": voices})
    return events


def is_seen(shot: Shot, share: float, x: float) -> bool:
    """Whether a place lies in the picture (`share` of its width) and not behind the pillar."""
    hidden = shot.occluder is not None and shot.occluder[0] <= x <= shot.occluder[1]
    return 0.0 <= share <= 1.0 and not hidden


def on_screen(shot: Shot, frame: float, x: float, y: float, aspect: float) -> tuple[float, float]:
    """A place of the world as shares of the picture's width and height, (0, 0) at the top left."""
    return round((x - view_left(shot, frame)) / aspect, 4), round(CEILING - y, 4)


def add_beds(scene: Scene, truth: dict[str, Any], samples: NDArray[np.float32]) -> None:
    """Lay the music, the wind and the narrator under the whole film."""
    rate, total = truth["rate"], samples.shape[1]
    if scene.music is not None:
        bed, truth["music"] = music_bed(scene.music, total, rate)
        samples += bed
    if scene.wind is not None:
        samples += wind(scene.wind, total, rate)
        truth["wind"] = {"seed": scene.wind}
    if scene.speech is not None and (voice := voice_name()):
        text, share = scene.speech
        samples_of, said = speak_line(text, rate)
        line = samples_of[:total]
        start = round(share * (total - len(line)))
        place(samples, line, start, 1.0, 0.5, total)
        times = {"start": round(start / rate, 6), "end": round((start + len(line)) / rate, 6)}
        begun = start / rate
        words = [[word, round(begun + a, 4), round(begun + b, 4)] for word, a, b in said]
        words = [word for word in words if word[2] <= total / rate]
        truth["speech"] = {"text": text, "voice": voice, "words": words, **times}
