"""A loaded checkpoint that makes the films of requests."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from curation.files import sha256_file
from jobs.clip_request import ClipRequest
from jobs.clips import Decoders, Film, Latents, Sampling, Scene, decode, sample
from jobs.config import RecipeError
from jobs.generate_lora import Lora, with_adapters
from jobs.given import Known, known
from jobs.long import make_long
from jobs.paste import encode_known, pasted
from jobs.reference_files import references
from jobs.sharp import Refiner, make_stills
from jobs.shown import encoded_prompt
from jobs.training import checkpoint
from jobs.training.samples import load_decoders
from model.config import ModelConfig
from model.geometry import Geometry
from model.guidance import Guidance
from model.mmdit import ready
from model.noise import Draw
from model.text import TextCodec
from pipelines.text_encoder import encoder_of


class Maker:
    """A loaded checkpoint with its text encoder and autoencoders."""

    def __init__(
        self, folder: Path, device: str, refiner: Path | None = None, loras: Sequence[Lora] = ()
    ) -> None:
        found = checkpoint.read_weights(folder)
        self.loras = tuple(loras)
        self.folder, self.card = folder, found.card
        self.weights = sha256_file(folder / "ema.safetensors")
        self.decoders: Decoders = load_decoders(found.card)
        self.text: TextCodec = encoder_of(found.card["text"], str(folder), device)
        self.device = torch.device(device)
        weights = with_adapters(found.tensors, loras)
        self.model = ready(ModelConfig(**found.card["model"]), weights, self.device)
        self.refiner = Refiner(refiner, found.card, self.device) if refiner else None

    def make(self, request: ClipRequest, path: Path) -> Film:
        """Write the film of `request`. A pure function of it, the weights and the code."""
        torch.set_num_threads(request.threads)  # how sums are split decides their last bits
        if request.make == "audio" and not self.model.config.sound:
            raise RecipeError(f"generate.make is audio, and {self.folder} makes no sound")
        geometry = request.geometry(self.card)
        if request.piece:
            return make_long(request, geometry, self.decoders, self.make_piece, path)
        film = finished(*self.draw(request), request)
        film.write(path)
        return film

    def draw(self, request: ClipRequest) -> tuple[Film, Known | None]:
        """A film of one piece as the network made it, and what was given, not yet put back."""
        torch.set_num_threads(request.threads)
        geometry = request.geometry(self.card)
        given = known(request, geometry, self.decoders.audio.sounds)
        scene = self.scene(request, geometry, given)
        made = self.latents(request, scene)
        picture, sound = (None if x is None else x.cpu() for x in (made.picture, made.sound))
        if self.refiner and picture is not None:
            shape = scene.stills.geometry if scene.stills else None
            picture, geometry, given = self.refiner.refine(
                made, geometry, shape, request, scene.text, self.decoders
            )
            picture = picture.cpu()
        return decode(self.decoders, picture, sound, geometry), given

    def make_piece(
        self, request: ClipRequest, geometry: Geometry, changed: Callable[[Scene], Scene]
    ) -> Latents:
        """The latents of a piece of a film, with what of its scene the film decides."""
        given = known(request, geometry, self.decoders.audio.sounds)
        made = self.latents(request, changed(self.scene(request, geometry, given)))
        picture, sound = (None if x is None else x.cpu() for x in (made.picture, made.sound))
        return Latents(picture, sound)

    def scene(self, request: ClipRequest, geometry: Geometry, given: Known | None) -> Scene:
        """What a request asks for, ready for the sampler."""
        stills = make_stills(self.card, self.decoders, request, geometry)
        return Scene(
            geometry,
            encoded_prompt(self.text, request, geometry),
            Draw(request.seed, "clip", 0),
            *(encode_known(self.decoders, given, geometry) if given else (None, None)),
            references=references(request, geometry, self.decoders),
            silent=not self.model.config.sound or request.make in ("video", "image"),
            blind=request.make == "audio",
            stills=stills if request.make in ("both", "picture", "video") else None,
        )

    def latents(self, request: ClipRequest, scene: Scene) -> Latents:
        """Sample a scene as a request says."""
        guidance = Guidance(
            request.guidance_video,
            request.guidance_audio,
            request.cross_video,
            request.cross_audio,
            request.rescale,
            request.interval,
            request.reference_video,
            request.reference_audio,
        )
        sampling = Sampling(request.steps, guidance, request.shift, request.sampler)
        black = self.decoders.black(scene.geometry).to(self.device)
        return sample(self.model, scene, black, sampling)


def finished(film: Film, given: Known | None, request: ClipRequest) -> Film:
    """The film with what was given put back."""
    return replace(pasted(film, given) if given else film, mute=request.make == "video")
