"""Clips to vLLM through Ray Data's own LLM stages: read here, batched there, one engine a GPU.

The one pass whose rows hold media: Ray Data's LLM stages take a chat with its pictures in it. They
are JPEG of a few frames, not pixels. Nobody has run this against an engine: see docs/captions.md.
"""

import importlib.util
import json
import secrets
from collections.abc import Iterator
from typing import Any

import ray
import ray.data
from ray.data import ActorPoolStrategy

from curation.captions.answer import AnswerError, CaptionStatus, Desk, Outcome, Reply
from curation.captions.config import LLMConfig
from curation.captions.request import Request, evidence, messages, schema
from curation.captions.server import ServerError
from curation.media import Limits, MediaReader
from curation.records import Reason, RejectedError, clean
from pipelines import cluster
from pipelines.caption_actors import MOST_BLOCKS
from pipelines.caption_ask import answer_row, film_for, refused_row, show
from pipelines.ledger import Row
from pipelines.measure import quiet_ray_data

READERS = 16
TOKENS_A_FRAME = 1_200  # of a Qwen-VL at 448 pixels: 256; room for larger frames and other models
BATCH = 32  # rows an engine gets together; small ones are lost together when an engine dies


class Reader:
    """One actor: clips become chats."""

    def __init__(self, config: LLMConfig, limits: dict[str, Any]) -> None:
        self._config = config
        self._reader = MediaReader(Limits(**limits))

    def __call__(self, row: dict[str, str]) -> Iterator[dict[str, str]]:
        """Rows with the chat of each clip of a task as JSON, or with why it cannot be shown."""
        config = self._config
        clips = json.loads(row["task"])["clips"]
        refusal: RejectedError | None = None
        try:
            with film_for(self._config, self._reader, clips) as path:
                for clip in clips:
                    try:
                        seen = show(config, self._reader, path, clip)
                    except RejectedError as error:
                        yield chat_row(clip, error=error)
                        continue
                    nonce = secrets.token_hex(4)
                    asks, words = config.asks(), config.words
                    request = Request(clip["clip_id"], nonce, seen, evidence(clip), asks, words)
                    yield chat_row(clip, nonce, messages(request))
        except RejectedError as error:
            refusal = error
        if refusal:
            yield from (chat_row(clip, error=refusal) for clip in clips)


def chat_row(
    clip: Row, nonce: str = "", chat: list[Row] | None = None, error: RejectedError | None = None
) -> dict[str, str]:
    """What travels to the engine and back: identity, clip, chat; or a refusal.

    A refused clip keeps its place with a question of one word: a row cannot leave Ray's LLM stages.
    """
    return {
        "clip": json.dumps(clip),
        "nonce": nonce,
        "chat": json.dumps(chat or [{"role": "user", "content": "-"}]),
        "refused": json.dumps([error.reason, error.detail] if error else None),
    }


def ask_vllm(config: LLMConfig, tasks: list[Row], limits: Limits) -> Iterator[Row]:
    """Answer rows as they are done. Raises ServerError without vllm or a GPU."""
    gpus = check_engine(config)
    from ray.data.llm import build_processor  # noqa: PLC0415 - vLLM is there

    quiet_ray_data()
    items = [{"task": json.dumps(task)} for task in tasks]
    data = ray.data.from_items(items, override_num_blocks=min(len(items), MOST_BLOCKS))
    chats = data.flat_map(
        Reader,
        fn_constructor_args=(config, limits.model_dump()),
        num_cpus=1,
        compute=ActorPoolStrategy(size=min(len(tasks), READERS, cluster.cpus())),
    )
    processor = build_processor(
        engine_config(config, gpus),
        preprocess=lambda row: to_engine(row, config),
        postprocess=from_engine,
    )
    desk = Desk()
    for row in processor(chats).iter_rows():
        yield settle(row, config, desk)


def check_engine(config: LLMConfig) -> int:
    """GPUs of the cluster. Raises ServerError that says what is missing."""
    if importlib.util.find_spec("vllm") is None:
        raise ServerError(
            f"{config.section}.backend vllm needs vLLM here and on the workers: "
            "pip install 'ray[llm]', or take backend server beside `vllm serve`"
        )
    gpus = int(ray.cluster_resources().get("GPU", 0))
    if not gpus:
        raise ServerError(
            f"{config.section}.backend vllm needs a GPU in the cluster; there is none"
        )
    return gpus


def engine_config(config: LLMConfig, gpus: int) -> Any:  # noqa: ANN401 - Ray's vLLMEngineProcessorConfig
    """What ray.data.llm starts: an engine a GPU, sized for requests like ours."""
    from ray.data.llm import vLLMEngineProcessorConfig  # noqa: PLC0415 - seconds; only here

    frames = config.frames if config.sees else 0
    media = {"image": frames} | ({"audio": 1} if config.sound else {})
    longest = 4_096 + frames * TOKENS_A_FRAME + config.max_tokens
    return vLLMEngineProcessorConfig(
        model_source=config.model,
        engine_kwargs={"max_model_len": longest}
        | ({"limit_mm_per_prompt": media} if config.sees else {}),
        concurrency=config.workers or gpus,
        batch_size=BATCH,
        should_continue_on_error=True,  # a failed row comes back as one
        prepare_multimodal_stage={"enabled": config.sees, "chat_template_content_format": "openai"},
        chat_template_stage={"enabled": True},
        tokenize_stage={"enabled": False},  # with pictures the engine itself counts their tokens
        detokenize_stage={"enabled": False},
    )


def to_engine(row: dict[str, Any], config: LLMConfig) -> dict[str, Any]:
    """A row as the engine's stages take it; clip and nonce travel with it."""
    refused = row["refused"] != "null"
    return {
        "messages": json.loads(row["chat"]),
        "sampling_params": {
            "temperature": config.temperature,
            "max_tokens": 1 if refused else config.max_tokens,
            "structured_outputs": {"json": json.dumps(schema(config.asks()))},
        },
        "clip": row["clip"],
        "nonce": row["nonce"],
        "refused": row["refused"],
    }


def from_engine(row: dict[str, Any]) -> dict[str, Any]:
    """What comes back, without the chat."""
    return {
        "clip": row["clip"],
        "nonce": row["nonce"],
        "refused": row["refused"],
        "text": row.get("generated_text") or "",
        "tokens": int(row.get("num_generated_tokens") or 0),
        "error": row.get("__inference_error__") or "",
    }


def settle(row: dict[str, Any], config: LLMConfig, desk: Desk) -> Row:
    """The answer row of one engine row: taken only when the answer names its own clip and nonce."""
    clip = json.loads(row["clip"])
    if refused := json.loads(row["refused"]):
        error = RejectedError(Reason(refused[0]), refused[1])
        return refused_row(clip, error, config.teller)
    if row["error"]:
        outcome = Outcome(CaptionStatus.FAILED, detail=clean(row["error"]), unreachable=True)
        return answer_row(clip, outcome, config.teller)
    desk.open(clip["clip_id"], row["nonce"])
    # Ray's stages do not pass on why an answer ended; one of full length was cut.
    reply = Reply(row["text"], truncated=row["tokens"] >= config.max_tokens)
    try:
        told = desk.take(reply, clip["clip_id"], row["nonce"], config.asks())
        outcome = Outcome(CaptionStatus.OK, told)
    except AnswerError as wrong:
        outcome = Outcome(wrong.status, detail=str(wrong))
    return answer_row(clip, outcome, config.teller)
