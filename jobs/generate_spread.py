"""Requests shared out over Ray actors, each with the checkpoint loaded once."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curation.progress import progress, say
from jobs.cli import DONE, FAILED
from jobs.clip_request import ClipRequest
from jobs.generate import make_one
from jobs.generate_config import GenerateConfig
from jobs.generate_lora import Lora
from jobs.maker import Maker
from pipelines.clips import make_clips


class ClipActor:
    """Makes the clip of a row; `folder` must be one that all machines see."""

    def __init__(
        self,
        weights: Path,
        device: str,
        refiner: Path | None,
        folder: Path,
        loras: Sequence[Lora] = (),
    ) -> None:
        self.maker, self.folder = Maker(weights, device, refiner, loras), folder

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Make the clip of {request}; what is wrong with one request stops no other."""
        request = ClipRequest(**json.loads(row["request"]))
        try:
            make_one(self.maker, request, self.folder)
        except Exception as error:
            return {"name": request.file, "trouble": f"{type(error).__name__}: {error}"[:500]}
        return {"name": request.file, "trouble": ""}


def spread(maker: Maker, wanted: list[ClipRequest], folder: Path, config: GenerateConfig) -> int:
    """Make the clips that are not there yet on Ray; 1 when one could not be made."""
    missing = [r for r in wanted if not (folder / f"{r.name}.json").is_file()]
    failed = 0
    refiner = maker.refiner.folder if maker.refiner else None
    if missing:
        rows = make_clips(
            ClipActor,
            (maker.folder, config.device, refiner, folder.resolve(), maker.loras),
            [request.model_dump(mode="json") for request in missing],
            workers=config.workers,
            threads=max(r.threads for r in missing),
            gpu=config.device == "cuda",
        )
        with progress("generate", len(missing), "clips") as advance:
            for row in rows:
                failed += bool(row["trouble"])
                if row["trouble"]:
                    say(f"{row['name']} was not made: {row['trouble']}")
                advance(1, row["name"])
    say(f"{len(wanted)} clips in {folder}, {len(missing) - failed} of them new, {failed} failed")
    return FAILED if failed else DONE
