"""The card of an export: what the weights are, in Markdown."""

import json
from pathlib import Path
from typing import Any

from curation.records import clean
from jobs.training.log import LOG, Line, read

PROMPT = 200  # characters that are shown


def card_text(card: dict[str, Any], about: dict[str, Any], out: Path, name: str) -> str:
    """What the weights are, what they were trained on and how, and how they are used."""
    lines = read(out / LOG)
    step = {"kind": "step", **last(lines, "step", about["step"])}
    held_out = last(lines, "validation", about["step"])
    facts = {
        "step": f"{about['step']:,}",
        "samples seen": f"{step['samples_seen']:,}" if "samples_seen" in step else "not known",
        "held-out loss": f"{held_out['loss']:.4f} at step {held_out['step']:,}"
        if "loss" in held_out else "not measured",
        "network": ", ".join(f"{k} {v}" for k, v in card["model"].items() if k in SHAPE),
        "makes": "; ".join(sorted(size(bucket) for bucket in card["buckets"].values())),
        "picture autoencoder": print_of(card["video_vae"]),
        "sound autoencoder": print_of(card["audio_vae"]),
        "text encoder": f"{quoted(card['text']['encoder'])}, {card['text']['fingerprint']}",
        "data (contract)": about["contract"],
        "code": about["code"],
        "MLflow run": about["run"] or "not tracked",
        "weights (sha256)": about["weights"],
    }  # fmt: skip
    table = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    kind = "refiner of pictures" if "refine" in card else "generator of picture and sound"
    few = f", distilled to {card['distil']['steps']} steps" if "distil" in card else ""
    return f"""# {card["recipe"]} {name}

A {kind}{few}: averaged weights of a training run. `recipe.yaml` is the run's
resolved recipe, `model.json` what `generate` reads.

| what | |
| --- | --- |
{table}

## Use

This folder's parent goes into `generate.checkpoint` and `train.init.path` as it is:

    reelmill generate recipe.yaml --generate.checkpoint PARENT
    reelmill train recipe.yaml fresh --train.init.path PARENT

## Clips

{clips(out / "clips", about)}
"""


SHAPE = ("width", "heads", "dual", "single", "patch")


def last(lines: list[Line], kind: str, step: int) -> Line:
    """The last line of a kind up to a step, or an empty one."""
    found = [line for line in lines if line["kind"] == kind and line["step"] <= step]
    return found[-1] if found else {}


def size(bucket: dict[str, Any]) -> str:
    """Frames, size and rate."""
    return f"{bucket['frames']} frames of {bucket['width']}x{bucket['height']}, {bucket['fps']:g}/s"


def print_of(vae: dict[str, Any]) -> str:
    """An autoencoder's name and fingerprint."""
    return f"{quoted(vae['name'])}, {vae['fingerprint']}"


def clips(folder: Path, about: dict[str, Any]) -> str:
    """A line a clip with its prompt. Their words are strangers'."""
    if not about["clips"]:
        return "None: `reelmill generate` had made none with these weights."
    shown = [(name, json.loads((folder / name).with_suffix(".json").read_text())["prompt"])
             for name in about["clips"]]  # fmt: skip
    told = "\n".join(f"- `clips/{name}`: {quoted(prompt)}" for name, prompt in shown)
    return f"`reelmill generate recipe.yaml CLIP.json` makes each again, to the bit.\n\n{told}"


def quoted(text: str) -> str:
    """A stranger's words as code, in one line of a table."""
    plain = clean(str(text), PROMPT).replace("`", "'").replace("|", "/")
    return f"`{plain}`"
