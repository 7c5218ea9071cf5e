"""Captions that follow from a film's truth, for any window of it."""

from typing import Any

COUNT = {1: "once", 2: "twice", 3: "three times", 4: "four times", 5: "five times"}
NUMBER = {2: "two", 3: "three", 4: "four", 5: "five"}
NOISE = {
    "wood": "wooden knock",
    "metal": "metal clang",
    "glass": "glass ping",
    "string": "plucked string note",
}
BACK = {
    "plain": "a plain background",
    "gradient": "a smoothly shaded background",
    "texture": "a cloudy background",
    "stripes": "a striped background",
}
MOVE = {
    "fall": "falls",
    "throw": "is thrown",
    "appear": "appears and falls",
    "collide": "is thrown",
}
BED = "slow quiet chords"
Event = dict[str, Any]


def describe_film(truth: dict[str, Any]) -> dict[str, Any]:
    """The caption sidecar of a film: one segment a shot."""
    spans = [(shot["start"], shot["end"]) for shot in truth["shots"]]
    return {
        "segments": [{"start": a, "end": b, **describe(truth, a, b)} for a, b in spans],
    }


def truth_events(truth: dict[str, Any], start: float, end: float) -> list[Event]:
    """The events within start…end seconds, their times as in the film."""
    return [event for event in truth["events"] if start <= event["time"] < end]


def describe(truth: dict[str, Any], start: float, end: float) -> dict[str, Any]:
    """{"short", "long", "structured": {"text", "sfx", "dialogue", "singing", "bgm"}} of a window.

    Only what is seen or heard in the window is told.
    """
    events = truth_events(truth, start, end)
    shots = [n for n, s in enumerate(truth["shots"]) if s["start"] < end and s["end"] > start]
    parts = [describe_shot(truth, number, events, start, end) for number in shots]
    noises = sounds(truth, events)
    spoken = truth["speech"]
    heard = spoken if spoken and spoken["start"] < end and spoken["end"] > start else None
    beside = [e for e in events if e["kind"] == "off_screen"]
    text = ". Cut to: ".join(parts)
    short = ", ".join([text, *([noises] if noises else [])])
    seen = ["The camera pans " + m for m in pans(truth, shots)]
    views = [BACK[truth["shots"][n]["background"]] for n in shots[:1]]
    behind = [n for n in shots if truth["shots"][n]["occluder"]]
    scene = [f"{sentence(text)} in front of {views[0]}"] if views else [sentence(text)]
    scene += seen + (["A dark pillar stands in front"] if behind else [])
    audio = [f"{sentence(noises)} sound at the impacts" if noises else "No impact is heard"]
    if beside:
        audio.append(f"{sentence(off_screen(beside))} from outside the picture")
    if heard:
        audio.append(f'A man says "{heard["text"]}"')
    if truth["music"]:
        audio.append(f"{sentence(BED)} play in the background")
    sfx = ", ".join(filter(None, [noises, off_screen(beside) + " off screen" if beside else ""]))
    structured = {
        "text": ". ".join(scene) + ".",
        "sfx": sfx,
        "dialogue": f'A man says: "{heard["text"]}"' if heard else "",
        "singing": "",
        "bgm": BED if truth["music"] else "",
    }
    return {"short": short, "long": ". ".join(scene + audio) + ".", "structured": structured}


def describe_shot(
    truth: dict[str, Any], number: int, events: list[Event], start: float, end: float
) -> str:
    """What a shot's objects do within the window, e.g. 'a red ball falls and bounces twice'."""
    shot = truth["shots"][number]
    here = [
        t for t in truth["objects"] if t["shot"] == number and t["enters"] < min(end, shot["end"])
    ]
    said = [describe_object(thing, events, start) for thing in here]
    hits = [e for e in events if e["shot"] == number and isinstance(e.get("with"), int)]
    if hits:
        said.append("they collide" + (f" {times(len(hits))}" if len(hits) > 1 else ""))
    return join(said) if said else "nothing is seen"


def describe_object(thing: dict[str, Any], events: list[Event], start: float) -> str:
    """One object's clause; 'falls' is only said where its fall lies in the window."""
    own = [e for e in events if e["object"] == thing["id"]]
    floor = sum(e["kind"] == "impact" and e["with"] == "floor" for e in own)
    wall = sum(e["kind"] == "impact" and e["with"] == "wall" for e in own)
    jumps = sum(e["kind"] == "jump" for e in own)
    acts = []
    if thing["enters"] >= start or (thing["enters"] == 0 and start <= 0.5) or floor:
        acts.append(MOVE[thing["motion"]] if start <= max(thing["enters"], 0.5) else "moves")
    if floor:
        acts.append(f"bounces {times(floor)}")
    if wall:
        acts.append(f"hits the wall {times(wall)}")
    if jumps:
        acts.append("jumps up again" if jumps == 1 else f"jumps up {times(jumps)}")
    return (
        f"{article(thing['colour'])} {thing['colour']} {thing['shape']} {join(acts or ['rests'])}"
    )


def sounds(truth: dict[str, Any], events: list[Event]) -> str:
    """The noises of the visible world, e.g. 'low wooden knocks and a high glass ping'."""
    counts: dict[str, int] = {}
    for event in events:
        if event["kind"] != "impact":
            continue
        makers = [event["object"]] + ([event["with"]] if isinstance(event["with"], int) else [])
        for maker in makers:
            thing = truth["objects"][maker]
            noise = f"{level(thing['pitch_hz'])} {NOISE[thing['timbre']]}"
            counts[noise] = counts.get(noise, 0) + 1
    chimes = sum(event["kind"] == "appear" for event in events)
    said = [f"{n}s" if count > 1 else f"{article(n)} {n}" for n, count in counts.items()]
    rings = [] if not chimes else ["a chime"] if chimes == 1 else ["chimes"]
    return join(said + rings)


def off_screen(events: list[Event]) -> str:
    """Noises of things nobody sees."""
    noises = [f"{level(e['pitch_hz'][0])} {NOISE[e['timbre']]}" for e in events]
    return join([f"{article(n)} {n}" for n in dict.fromkeys(noises)])


def level(pitch: float) -> str:
    """A word for a pitch in Hz; four words, one for each colour of the simplest world."""
    for limit, word in ((255, "low"), (370, "mellow"), (600, "bright")):
        if pitch < limit:
            return word
    return "high"


def pans(truth: dict[str, Any], shots: list[int]) -> list[str]:
    """Directions in which the camera moves."""
    moves = [truth["shots"][n]["camera"]["move"] for n in shots]
    return [move for move in dict.fromkeys(moves) if move != "still"]


def times(count: int) -> str:
    """A count in words: once, twice, three times, at the most 'many times'."""
    return COUNT.get(count, "many times")


def article(word: str) -> str:
    """'a' or 'an'."""
    return "an" if word[0] in "aeiou" else "a"


def join(parts: list[str]) -> str:
    """'a, b and c'."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def sentence(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]
