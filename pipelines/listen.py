"""What the speech pass does on Ray: whole films heard in actors, sound only.

WhisperX pins an older torch, so its actors may run under another interpreter (`py_executable`).
Only paths, ids and JSON text cross. That environment must hold this Ray version: without Ray an
actor there would hang for ever, so it is asked before anything starts.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ray
import ray.data

from curation.media import MediaReader
from curation.places import Place
from curation.records import Reason, RejectedError, Status
from curation.sources import local_copy
from pipelines import attempts
from pipelines.attempts import Remote, begun, starting
from pipelines.ledger import Row
from pipelines.measure import MOST_BLOCKS, pool, quiet_ray_data
from pipelines.scan_config import outcome, refused
from pipelines.speech_config import ListenConfig, SpeechConfig

PACKAGES = ("silero_vad", "onnxruntime", "moonshine_voice", "pocketsphinx")
ASK_S = 120.0  # importing torch, transformers and pyannote takes 15 s on a quiet machine
QUESTION = "import json, ray, whisperx; print(json.dumps(ray.__version__))"


class Listener:
    """One actor: a guarded decoder, the voice detector and an engine, used for film after film."""

    def __init__(self, config: dict[str, Any], watch: Any) -> None:  # noqa: ANN401 - a Ray handle
        from curation.speech.voice import Voice  # noqa: PLC0415 - only where it is run

        self._config = ListenConfig(**config)
        self._watch = Remote(watch)
        self._reader = MediaReader(self._config.limits)
        with starting(self._watch):
            self._voice = Voice()
            self._engine = make_engine(self._config.speech)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Hear the films of `batch`; each gives one JSON row whatever happens to it."""
        return {"film": [json.dumps(self.listen(json.loads(text))) for text in batch["source"]]}

    def listen(self, source: Row) -> Row:
        """The words row of one film; a refusal becomes its row."""
        try:
            with begun(self._watch, source["path"]), local_copy(source["path"]) as path:
                return self._film(source, path)
        except RejectedError as error:
            return failed(source, error.reason, error.detail)
        except Exception as error:
            detail = RejectedError(Reason.INTERNAL, f"{type(error).__name__}: {error}").detail
            return failed(source, Reason.INTERNAL, detail)

    def _film(self, source: Row, path: str) -> Row:
        from curation.speech.film import hear_film  # noqa: PLC0415
        from curation.speech.words import covered, to_json  # noqa: PLC0415

        heard = hear_film(self._reader, path, self._voice, self._engine, self._config.speech.gates)
        language, confidence = heard.language()
        return (
            source
            | outcome(Status.OK)
            | {
                "engine": heard.engine,
                "seconds": heard.seconds,
                "voiced_s": covered(heard.voiced, 0.0, heard.seconds),
                "words": len(heard.words),
                "flagged": sum(word.flagged for word in heard.words),
                "language": language,
                "language_confidence": confidence,
                "transcript": to_json(heard),
            }
        )


def failed(source: Row, reason: Reason, detail: str) -> Row:
    """The words row of a film that failed: it has no child count."""
    row = refused(source, reason, detail)
    row.pop("clips")
    return row


def make_engine(config: SpeechConfig) -> Any:  # noqa: ANN401 - a curation.speech.film.Engine
    """The engine that the recipe names. Raises ModuleNotFoundError with the cure."""
    if config.engine == "whisperx":
        from curation.speech.whisperx import WhisperX  # noqa: PLC0415 - another environment

        return WhisperX(**config.whisperx.model_dump(exclude={"python", "gpus"}))
    from curation.speech.embedded import Embedded  # noqa: PLC0415 - 1 s of libraries

    return Embedded()


def listen_all(
    config: ListenConfig, films: list[Row], deaths: Place | None = None
) -> Iterator[Row]:
    """Words rows in the order in which they are done; the largest films are begun first.

    `deaths` is the file of films that killed a worker.
    """
    if not films:
        return
    quiet_ray_data()
    films = sorted(films, key=lambda row: (-row["bytes"], row["path"]))
    items = [{"source": json.dumps(row)} for row in films]
    data = ray.data.from_items(items, override_num_blocks=min(len(items), MOST_BLOCKS))
    with attempts.watching(deaths) as watch:
        heard = data.map_batches(
            Listener,
            fn_constructor_args=(config.model_dump(mode="json"), watch),
            batch_size=1,
            num_cpus=1,
            compute=pool(config.speech.workers, len(films)),
            **actor_options(config.speech),
        )
        for row in heard.iter_rows():
            yield json.loads(row["film"])


def actor_options(config: SpeechConfig) -> dict[str, Any]:
    """What the engine's actors need besides a core. Raises ValueError for a wrong environment."""
    options: dict[str, Any] = {}
    if config.engine == "embedded":
        check_packages()
    if config.engine == "whisperx" and config.whisperx.gpus:
        options["num_gpus"] = config.whisperx.gpus
    if config.engine == "whisperx" and config.whisperx.python is not None:
        check_interpreter(config.whisperx.python)
        options["runtime_env"] = {"py_executable": str(config.whisperx.python)}
    return options


def check_packages() -> None:
    """Raise ValueError unless the embedded engine is installed: a dead actor says it less well."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    if absent:
        raise ValueError(
            f"speech.engine: embedded needs {', '.join(absent)} (make setup; Moonshine's wheel is "
            "for x86 Linux). whisperx runs elsewhere too, none does without words"
        )


def check_interpreter(python: Path) -> None:
    """Raise ValueError unless whisperx and this very Ray import there."""
    if not os.access(python, os.X_OK):
        raise ValueError(
            f"speech.whisperx.python: {python} is no interpreter; `make asr` makes one"
        )
    asked = subprocess.run(  # noqa: S603 - the recipe's own interpreter
        [str(python), "-c", QUESTION], capture_output=True, text=True, timeout=ASK_S, check=False
    )
    if asked.returncode:
        said = asked.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise ValueError(
            f"speech.whisperx.python: {python} cannot import whisperx and ray: {said[0]}"
        )
    there = json.loads(asked.stdout.splitlines()[-1])
    if there != ray.__version__:
        raise ValueError(
            f"speech.whisperx.python: {python} has ray {there}, this is {ray.__version__}; "
            "an actor pool needs the same: run `make asr` again"
        )
