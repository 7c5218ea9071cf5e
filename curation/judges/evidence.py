"""What is found in one clip, once for all judges that ask; and the models that find it."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.assets import fetch
from curation.judges import models
from curation.judges.config import JudgeConfig
from curation.judges.face_net import Face, Track, find_faces, follow, load_faces
from curation.judges.lip_net import LipNet, load_lip_net
from curation.judges.onnx_net import OnnxNet
from curation.judges.quality import Brisque, load_brisque
from curation.judges.seen import Seen
from curation.judges.sound_nets import Events, Parts, SoundEvents, SoundParts
from curation.judges.text_net import TextReader
from curation.judges.things import Clip, EfficientNet, Things, load_clip
from curation.judges.words import Meanings, load_meanings

TALKING_SHARE = 0.5  # of the sampled frames: a passer-by is no speaker
TALKING_HEIGHT = 0.12  # of the picture's height: at 360 px a mouth of some 14 px


class Tools:
    """Models, each loaded when first asked. Raises MissingModelError where one is not here."""

    def __init__(self, config: JudgeConfig) -> None:
        self.config = config

    @cached_property
    def faces(self) -> Any:  # noqa: ANN401 - OpenCV's network
        """CenterFace."""
        return load_faces(fetch(models.CENTERFACE))

    @cached_property
    def nsfw(self) -> OnnxNet:
        """Open NSFW."""
        return OnnxNet(fetch(models.OPEN_NSFW), self.config.device)

    @cached_property
    def dnsmos(self) -> OnnxNet:
        """DNSMOS P.835."""
        return OnnxNet(fetch(models.DNSMOS), self.config.device)

    @cached_property
    def brisque(self) -> Brisque:
        """The regressor of BRISQUE."""
        return load_brisque(fetch(models.BRISQUE))

    @cached_property
    def text(self) -> TextReader:
        """PP-OCR: detector and recogniser."""
        models.provide("text")
        return TextReader(self.config.device)

    @cached_property
    def efficientnet(self) -> EfficientNet:
        """ImageNet's 1000 classes and pooled features."""
        models.provide("embed")
        files = fetch(models.IMAGENET_SYNSETS), fetch(models.IMAGENET_LEMMAS)
        return EfficientNet(*files, self.config.device)

    @cached_property
    def clip(self) -> Clip | None:
        """The recipe's open_clip model, if it names one."""
        config = self.config
        if not config.clip.name:
            return None
        return load_clip(config.clip, self.efficientnet.names, config.device)

    @cached_property
    def events(self) -> SoundEvents:
        """YAMNet."""
        fetch(models.YAMNET_DATA)
        return SoundEvents(fetch(models.YAMNET), fetch(models.YAMNET_NAMES), self.config.device)

    @cached_property
    def parts(self) -> SoundParts:
        """FireRedVAD's speech, singing and music."""
        models.provide("voice")
        return SoundParts()

    @cached_property
    def meanings(self) -> Meanings:
        """MiniLM's vectors of the names of all things and all sounds."""
        return load_meanings(self.efficientnet.names, self.events.names)

    @cached_property
    def lips(self) -> LipNet | None:
        """The recipe's SyncNet-type network, if it names one."""
        config = self.config
        return load_lip_net(config.lips, config.device) if config.lips.path else None


class Evidence:
    """What is found in one clip."""

    def __init__(self, seen: Seen, tools: Tools, config: JudgeConfig) -> None:
        self.seen, self.tools, self.config = seen, tools, config

    @cached_property
    def stills(self) -> NDArray[np.uint8]:
        """The frames that are looked at closely, [K,H,W,3]."""
        return self.seen.stills(self.config.stills)

    @cached_property
    def faces(self) -> list[list[Face]]:
        """Faces of every sampled frame."""
        return [find_faces(self.tools.faces, picture) for picture in self.seen.pixels]

    @cached_property
    def tracks(self) -> list[Track]:
        """The people of the clip, longest seen first."""
        return follow(self.faces)

    @cached_property
    def speaker(self) -> Track | None:
        """The face whose lips could be followed: large and there for half of the clip or more."""
        height = self.seen.pixels.shape[1]
        count = len(self.seen.pixels)
        fit = [
            track
            for track in self.tracks
            if len(track.frames) >= max(2, TALKING_SHARE * count)
            and np.median([face.height for face in track.faces]) >= TALKING_HEIGHT * height
        ]
        return max(fit, key=lambda t: float(np.median([f.area for f in t.faces]))) if fit else None

    @cached_property
    def things(self) -> Things:
        """What the stills show."""
        return self.tools.efficientnet(self.stills)

    @cached_property
    def events(self) -> Events:
        """AudioSet's classes in the sound."""
        return self.tools.events(self.seen.sound)

    @cached_property
    def parts(self) -> Parts:
        """Where there is speech, singing and music."""
        return self.tools.parts(self.seen.sound)
