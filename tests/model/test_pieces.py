"""Pieces of a long film have its latents and its clock; decoding it in parts shows no cut."""

from itertools import pairwise

import pytest
import torch

from model.geometry import AudioSpec, Geometry, VideoSpec
from model.pieces import CONTEXT, cut, decoded_in_time
from model.vae import load_video_vae

FILMS = (
    Geometry(121, 16, 16, 8.0),
    Geometry(161, 16, 16, 24.0, VideoSpec(), AudioSpec(32, 44_100, 1024)),
    Geometry(97, 16, 16, 23.976, VideoSpec(time=8), AudioSpec(32, 16_000, 640, lead=480)),
)


@pytest.mark.parametrize("film", FILMS)
@pytest.mark.parametrize(("frames", "overlap"), [(33, 9), (49, 1), (81, 17)])
def test_pieces_are_the_films_latents_at_the_films_times(film, frames, overlap):
    """Catches a piece between two latents, a clock that drifts, and sound that is made twice or
    not at all.
    """
    pieces = cut(film, frames, overlap)
    assert pieces[0].start == 0
    assert pieces[-1].start + frames == film.frames
    for one, two in pairwise(pieces):
        assert one.start < two.start <= one.start + frames - overlap
    for piece in pieces:
        before = piece.seconds_before
        there = slice(piece.latents_before + 1, piece.latents_before + piece.latent_frames)
        torch.testing.assert_close(piece.video_times()[1:] + before, film.video_times()[there])
        there = slice(piece.sound_before, piece.sound_before + piece.audio_latents)
        torch.testing.assert_close(piece.audio_times() + before, film.audio_times()[there])
        assert abs(piece.audio_times()[0]) < 2 * film.audio.hop / film.audio.sample_rate
    assert pieces[-1].sound_before + pieces[-1].audio_latents == film.audio_latents


def test_a_short_film_is_one_piece():
    """Catches an empty piece, and one that is longer than the film."""
    film = FILMS[0]
    (only,) = cut(film, 161, 9)
    assert (only.frames, only.start, only.bucket) == (film.frames, 0, film.bucket)
    assert torch.equal(only.audio_times(), film.audio_times())


@pytest.mark.parametrize("at_once", [1, 5, 9, 40])
def test_a_film_decoded_in_parts_is_the_film(at_once):
    """Catches frames lost or doubled at a cut, and a decoder that forgets what came before it."""
    vae, seen = load_video_vae(), []
    latent = torch.randn(16, 31, 2, 2, generator=torch.Generator().manual_seed(0))

    class Watched:
        spec = vae.spec

        def decode(self, x):
            seen.append(x.shape[2])
            return vae.decode(x)

    with torch.inference_mode():
        whole = vae.decode(latent[None])[0]
        parts = list(decoded_in_time(Watched(), latent, at_once))
        together = torch.cat(parts, dim=1)
        assert together.shape == whole.shape
        torch.testing.assert_close(together, whole, atol=1e-5, rtol=0)
        assert max(seen) <= at_once + CONTEXT, "memory is bounded"
        if at_once < 31:
            short = torch.cat(list(decoded_in_time(vae, latent, at_once, context=2)), dim=1)
            assert short.shape == whole.shape
            assert (short - whole).abs().max() > 1e-4, "the context does something"
