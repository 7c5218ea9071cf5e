"""What stands on the clock before the clip: seen, ordered, and not there where nobody gives it."""

from dataclasses import replace

import pytest
import torch

from model.guidance import Guidance, guide
from model.references import GAP, Reference, gather, starts
from model.sample import grid, integrate
from tests.model.helpers import GEOMETRY, make_media, make_model, make_reference, with_references

IMAGE, CLIP, VOICE = (
    make_reference(3, "video", frames=1),
    make_reference(4, "both", frames=5),
    make_reference(5, "audio", frames=5),
)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def same(first, second, **how):
    """Whether the pictures and the sounds are alike."""
    how = how or CLOSE
    return [torch.allclose(a, b, **how) for a, b in zip(first, second, strict=True)]


@pytest.mark.parametrize("rows", [[IMAGE], [CLIP], [VOICE]], ids=["image", "clip", "voice"])
def test_references_change_picture_and_sound(rows):
    """Catches references that a tower takes in and nobody reads, in it or through the exchange."""
    model, media = make_model(awake=True), make_media()
    plain = model(*media)
    given = model(*with_references(media, [rows, rows]))
    assert [x.shape for x in given] == [x.shape for x in plain], "their outputs are not dropped"
    assert same(plain, given) == [False, False]
    other = [replace(r, **shifted(r)) for r in rows]
    assert same(given, model(*with_references(media, [other, other]))) == [False, False]


def shifted(reference):
    """The latents of a reference with other content."""
    there = {"video": reference.video, "audio": reference.audio}
    return {kind: latent + 1 for kind, latent in there.items() if latent is not None}


def test_nothing_given_is_nothing_at_all():
    """Catches an empty list that adds tokens, and shapes of a batch that change who has none."""
    assert gather([[], []]) == (None, None)
    model, media = make_model(awake=True), make_media()
    rows = [[IMAGE, VOICE], [CLIP]]
    video, audio = with_references(media, rows)
    gone = [replace(m, references=m.references.without()) for m in (video, audio)]
    assert all(same(model(*media), model(*gone)))


def test_references_of_one_sample_are_not_those_of_another():
    """Catches padding that is seen, and rows whose place depends on the longest of the batch."""
    model, media = make_model(awake=True), make_media(batch=3)
    rows = [[IMAGE, CLIP, VOICE], [], [VOICE]]
    video, audio = with_references(media, rows)
    together = model(video, audio)
    for m in (video, audio):  # whatever stands where a row is filled up
        r = m.references
        hidden = ~r.there.reshape(r.there.shape[0], 1, -1, *[1] * (r.latent.dim() - 3))
        r.latent.masked_fill_(hidden, 100.0)
        r.times.masked_fill_(~r.there, -3.0)
    assert all(same(together, model(video, audio)))
    for place, row in enumerate(rows):
        alone = model(*with_references([only(m, [place]) for m in media], [row]))
        assert all(same(alone, [x[place : place + 1] for x in together]))
    order = [2, 0, 1]
    turned = with_references([only(m, order) for m in media], [rows[i] for i in order])
    assert all(same(model(*turned), [x[order] for x in together]))


def only(media, places):
    """Some rows of a batch."""
    names = ["latent", "t", "text", "text_mask", "condition", "mask"]
    there = {n: getattr(media, n)[places] for n in names if getattr(media, n) is not None}
    return replace(media, **there)


def test_each_reference_has_its_span_before_the_clip():
    """Catches spans that overlap, reach into the clip, or move when another reference follows."""
    given = [IMAGE, CLIP, VOICE]
    began = starts(given)
    assert starts(given[:2]) == began[:2], "the first ones stay where they are"
    ends = [at + r.geometry.seconds for at, r in zip(began, given, strict=True)]
    assert ends == pytest.approx([-GAP, began[0] - GAP, began[1] - GAP])
    video, audio = gather([given])
    assert video.times.shape == (1, 1 + 2)
    assert video.times[0, -1] == pytest.approx(began[0] + 0.5 / GEOMETRY.fps)
    assert audio.times.shape == (1, 2 * CLIP.geometry.audio_latents)
    for side in (video, audio):
        assert (side.times < 0).all()
        assert (side.times.diff() > 0).all()
    heard = audio.times[0, CLIP.geometry.audio_latents :]
    seen = video.times[0, :2]
    assert heard[0] < seen[1]
    assert heard[-1] > seen[0], "a reference's sound is under its picture"


def test_order_is_told_by_time():
    """Catches references that are a heap: then @image_1 and @image_2 could not be told apart."""
    model, media = make_model(awake=True), make_media()
    other = make_reference(9, "video", frames=1)
    first = model(*with_references(media, [[IMAGE, other]] * 2))
    second = model(*with_references(media, [[other, IMAGE]] * 2))
    assert same(first, second) == [False, False]


def test_the_papers_clock_counts_down_from_the_clip():
    """Catches the option `paper` with seconds in it, or counted from the batch's longest row."""
    video, audio = gather([[IMAGE, CLIP], [IMAGE]])
    assert video.positions("paper", audio=False)[0].tolist() == [-3, -2, -1]
    assert video.positions("paper", audio=False)[1, 0] == -1
    assert audio.positions("paper", audio=True)[0, -1] == pytest.approx(-21 / 218)
    model, media = make_model(awake=True, clock="paper"), make_media()
    given = model(*with_references(media, [[IMAGE, CLIP], [IMAGE]]))
    assert same(given, model(*media)) == [False, False]


def test_references_are_clean_at_any_noise_level():
    """Catches references that are modulated as if they were as noisy as the clip."""
    model = make_model(awake=True)
    media = with_references(make_media(), [[IMAGE], [CLIP]])
    found = []
    for t in (0.1, 0.8):
        state = model.embed_video(replace(media[0], t=torch.full((2,), t)))
        (by, _) = model.blocks[0].video.modulations(state)
        found.append(by.gate_mlp.split([state.references, state.tokens - state.references], dim=1))
    assert torch.equal(found[0][0], found[1][0])
    assert not torch.allclose(found[0][1], found[1][1])


@pytest.mark.parametrize("drop", ["video", "audio"])
def test_a_tower_alone_takes_references(drop):
    """Catches references that need both towers."""
    model = make_model(awake=True)
    plain = make_media()
    given = with_references(plain, [[CLIP], [CLIP]])
    place, alone = (1, (None, given[1])) if drop == "video" else (0, (given[0], None))
    bare = [m and replace(m, references=None) for m in alone]
    assert not torch.allclose(model(*alone)[place], model(*bare)[place])


def test_sampler_and_guidance_carry_references():
    """Catches a doubled batch with half of the references, and a step that loses them."""
    model, media = make_model(awake=True), make_media()
    given = with_references(media, [[IMAGE, VOICE], []])
    guidance = Guidance(3.0, 3.0, cross_video=2.0, cross_audio=2.0)
    plain = integrate(guide(model, guidance), *media, grid(2))
    found = integrate(guide(model, guidance), *given, grid(2))
    for a, b in zip(plain, found, strict=True):
        assert not torch.allclose(a[0], b[0], **CLOSE)
        torch.testing.assert_close(a[1], b[1], rtol=1e-3, atol=1e-4)


def test_references_guide_each_modality_by_its_own_scale():
    """Catches swapped scales, a pass that still sees them, and a pull where there are none."""
    model, media = make_model(awake=True), make_media()
    given = with_references(media, [[IMAGE, VOICE], [CLIP]])
    every, none = model(*given), model(*media)
    got = guide(model, Guidance(reference_video=2.5))(*given)
    torch.testing.assert_close(got[0], every[0] + 1.5 * (every[0] - none[0]), **CLOSE)
    torch.testing.assert_close(got[1], every[1], **CLOSE)
    got = guide(model, Guidance(3.0, 3.0, reference_audio=0.0))(*given)
    text = guide(model, Guidance(3.0, 3.0))(*given)
    torch.testing.assert_close(got[0], text[0], **CLOSE)
    torch.testing.assert_close(got[1], text[1] - every[1] + none[1], **CLOSE)
    for one, other in zip(guide(model, Guidance(reference_video=4.0))(*media), none, strict=True):
        assert torch.equal(one, other)


def test_wrong_references_are_refused():
    """Catches a latent that does not fit its span, and pictures of another size than the clip's."""
    with pytest.raises(ValueError, match="picture, a sound or both"):
        Reference(GEOMETRY)
    with pytest.raises(ValueError, match="does not fit its geometry"):
        Reference(GEOMETRY, IMAGE.video)
    small = make_reference(1, "video", 1, replace(GEOMETRY, height=16))
    with pytest.raises(ValueError, match="must have the clip's size"):
        make_model()(*with_references(make_media(), [[small], []]))
