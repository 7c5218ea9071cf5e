"""Captions that follow from a film's truth, for any window of it: only what is seen or heard."""

from typing import Any

COUNT = {1: "once", 2: "twice", 3: "three times", 4: "four times", 5: "five times"}
NOISE = {
    "wood": "wooden knock",
    "metal": "metal clang",
    "glass": "glass ping",
    "string": "plucked string note",
    "chime": "chime",
}
BACK = {
    "plain": "a plain background",
    "gradient": "a smoothly shaded background",
    "texture": "a cloudy background",
    "stripes": "a striped background",
}
ENTERS = {
    "fall": "falls",
    "throw": "is thrown",
    "appear": "appears and falls",
    "collide": "is thrown",
}
OPENING = 0.5  # seconds into its shot up to which an object's entrance is still to be seen
BED = "slow quiet chords"
WIND = "soft gusts of wind"
Event = dict[str, Any]
Truth = dict[str, Any]


def describe_film(truth: Truth) -> dict[str, Any]:
    """The caption sidecar of a film: one segment a shot."""
    spans = [(shot["start"], shot["end"]) for shot in truth["shots"]]
    return {"segments": [{"start": a, "end": b, **describe(truth, a, b)} for a, b in spans]}


def truth_events(truth: Truth, start: float, end: float) -> list[Event]:
    """The events within start…end seconds, their times as in the film."""
    return [event for event in truth["events"] if start <= event["time"] < end]


def describe(truth: Truth, start: float, end: float) -> dict[str, Any]:
    """Captions of a window: short, long, structured {text, sfx, dialogue, singing, bgm}."""
    events = truth_events(truth, start, end)
    shots = [n for n, s in enumerate(truth["shots"]) if s["start"] < end and s["end"] > start]
    action = ". Cut to: ".join(describe_shot(truth, n, events, start, end) for n in shots)
    sounds = hidden_noises if truth.get("unnamed") else noises
    near = sounds([e for e in events if e["visible"]])
    far = sounds([e for e in events if not e["visible"]])
    line = spoken(truth, start, end)
    picture = sentences([action + behind(truth, shots), *camera(truth, shots)])
    sound = [f"{near} {sound_verb(near)} at the impacts" if near else "no impact is heard"]
    sound += [f"from out of sight {comes(far)} {far}"] if far else []
    sound += [f"a man says: “{line}”"] if line else []
    windy = WIND if truth.get("wind") else ""
    sound += [f"{WIND} come and go"] if windy else []
    sound += [f"{BED} play in the background"] if truth["music"] else []
    extra = [f"{far} out of sight" if far else "", "a man speaks" if line else ""]
    extra += [windy, BED if truth["music"] else ""]
    return {
        "short": ", ".join(filter(None, [action, near, *extra])),
        "long": f"{picture} {sentences(sound)}",
        "structured": {
            "text": picture,
            "sfx": ", ".join(filter(None, [near, extra[0], windy])),
            "dialogue": f"A man says: “{line}”" if line else "",
            "singing": "",
            "bgm": BED if truth["music"] else "",
        },
    }


def describe_shot(truth: Truth, number: int, events: list[Event], start: float, end: float) -> str:
    """What a shot's objects do within the window, e.g. 'a red ball falls and bounces twice'."""
    here = [e for e in events if e["shot"] == number and e["visible"]]
    things = [t for t in truth["objects"] if t["shot"] == number]
    seen = [t for t in things if is_seen(truth, t, start, end)]
    said = [describe_object(truth, thing, here, start) for thing in seen]
    hits = sum(isinstance(e.get("with"), int) for e in here)
    if hits:
        said.append("they collide" + (f" {times(hits)}" if hits > 1 else ""))
    return join(said) if said else "nothing is to be seen"


def describe_object(truth: Truth, thing: dict[str, Any], events: list[Event], start: float) -> str:
    """One object's clause; how it enters is only said where that lies in the window."""
    own = [e for e in events if e["object"] == thing["id"]]
    floor = sum(e.get("with") == "floor" for e in own)
    wall = sum(e.get("with") == "wall" for e in own)
    jumps = sum(e["kind"] == "jump" for e in own)
    opening = max(thing["enters"], truth["shots"][thing["shot"]]["start"] + OPENING)
    side = f" to the {thing['direction']}" if thing["direction"] != "down" else ""
    acts = [ENTERS[thing["motion"]] + side] if start <= opening else []
    if floor:
        acts.append(f"bounces {times(floor)}")
    if wall:
        acts.append(f"hits the wall {times(wall)}")
    if jumps:
        acts.append("jumps up again" if jumps == 1 else f"jumps up {times(jumps)}")
    look = f"{article(thing['colour'])} {thing['colour']} {thing['shape']}"
    return f"{'something' if truth.get('unnamed') else look} {join(acts or ['moves'])}"


def is_seen(truth: Truth, thing: dict[str, Any], start: float, end: float) -> bool:
    """Whether an object's middle is in the picture in any frame of the window."""
    first = truth["shots"][thing["shot"]]["first_frame"]
    for number, (x, _) in enumerate(thing["track"], first):
        time = number / truth["fps"]
        if max(start, thing["enters"]) <= time < end and 0 <= x <= 1:
            return True
    return False


def noises(events: list[Event]) -> str:
    """What the events sound like, e.g. 'low wooden knocks and a high glass ping'."""
    counts: dict[str, int] = {}
    for event in events:
        for timbre, pitch in zip(event.get("timbre", ()), event.get("pitch_hz", ()), strict=True):
            noise = f"{level(pitch)} {NOISE[timbre]}"
            counts[noise] = counts.get(noise, 0) + 1
    return join([f"{n}s" if count > 1 else f"{article(n)} {n}" for n, count in counts.items()])


def hidden_noises(events: list[Event]) -> str:
    """The same without a word on what they are like."""
    count = sum(len(event.get("timbre", ())) for event in events)
    return {0: "", 1: "a noise"}.get(count, "noises")


def spoken(truth: Truth, start: float, end: float) -> str:
    """The narrator's line if most of it is heard within the window, else ''."""
    line = truth["speech"]
    if not line:
        return ""
    heard = min(end, line["end"]) - max(start, line["start"])
    return str(line["text"]) if heard > (line["end"] - line["start"]) / 2 else ""


def behind(truth: Truth, shots: list[int]) -> str:
    """' in front of a plain background' and the pillar, of the first shot of the window."""
    if not shots:
        return ""
    shot = truth["shots"][shots[0]]
    pillar = ", partly hidden by a dark pillar" if shot["occluder"] else ""
    return f" in front of {BACK[shot['background']]}{pillar}"


def camera(truth: Truth, shots: list[int]) -> list[str]:
    """A clause for each way in which the camera moves."""
    moves = [truth["shots"][n]["camera"]["move"] for n in shots]
    return [f"the camera pans {m}" for m in dict.fromkeys(moves) if m != "still"]


def level(pitch: float) -> str:
    """A word for a pitch in Hz; four words, one for each colour of the simplest world."""
    for limit, word in ((255, "low"), (370, "mellow"), (600, "bright")):
        if pitch < limit:
            return word
    return "high"


def times(count: int) -> str:
    """A count in words: once, twice, three times, at the most 'many times'."""
    return COUNT.get(count, "many times")


def sound_verb(noise: str) -> str:
    """'sounds' after a single noise, 'sound' after several."""
    return "sounds" if is_one(noise) else "sound"


def comes(noise: str) -> str:
    """'comes' before a single noise, 'come' before several."""
    return "comes" if is_one(noise) else "come"


def is_one(noise: str) -> bool:
    """Whether a list of noises names a single one."""
    return noise.startswith(("a ", "an ")) and " and " not in noise


def article(word: str) -> str:
    """'a' or 'an'."""
    return "an" if word[0] in "aeiou" else "a"


def join(parts: list[str]) -> str:
    """'a, b and c'."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def sentences(parts: list[str]) -> str:
    """Each part as a sentence: a capital letter and a full stop."""
    ends = ["" if p.endswith((".", ".”")) else "." for p in parts]
    return " ".join(p[:1].upper() + p[1:] + e for p, e in zip(parts, ends, strict=True))
