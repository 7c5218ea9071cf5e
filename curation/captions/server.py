"""A captioner behind an OpenAI-compatible server: chat completions over HTTP.

Every attempt is a request of its own, with a nonce of its own. What comes back is taken only when
it names the clip and the nonce of the request that waits for it (answer.Desk).
"""

import asyncio
import json
import os
import random
import secrets
from collections import Counter
from types import TracebackType
from typing import Any

import aiohttp

from curation.captions.answer import AnswerError, CaptionStatus, Desk, Outcome, Reply, Trouble
from curation.captions.config import LLMConfig
from curation.captions.request import Request, Row, Seen, messages, schema
from curation.records import clean

RESPONSE_BYTES = 4 << 20
AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}
HOPELESS = {301, 302, 303, 307, 308, 401, 403, 404, 405}
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0


class ServerError(Exception):
    """The server cannot be used, or failed too often: the pass ends, to be run again."""


class TransportError(Exception):
    """A request without an answer. `wait_s` is what the server asks for, `again` whether to try."""

    def __init__(self, kind: str, detail: str, *, wait_s: float = 0.0, again: bool = True) -> None:
        self.kind, self.detail = kind, clean(detail)
        self.wait_s, self.again = wait_s, again
        super().__init__(f"{kind}: {self.detail}")


class Server:
    """Asks about clips, many at once. Use as an async context manager."""

    def __init__(self, config: LLMConfig) -> None:
        """Raises ServerError when the key's variable is not set."""
        self._config = config
        self._desk = Desk()
        self._headers = {"Content-Type": "application/json"}
        if config.key_env:
            key = os.environ.get(config.key_env, "").strip()
            if not key.isascii() or not key.isprintable() or not key:
                raise ServerError(
                    f"{config.section}.key_env: the environment variable {config.key_env} "
                    "holds no key"
                )
            self._headers["Authorization"] = f"Bearer {key}"
        self._schema_known = True  # until the server refuses response_format
        self.counts: Counter[str] = Counter()  # troubles of all requests, for the summary
        self.asked = 0  # requests sent
        self._errors = 0
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Server":
        # No environment: a proxy or a .netrc of this machine must not meet the key or the frames.
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=self._config.timeout_s),
            connector=aiohttp.TCPConnector(limit=0),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session:
            await self._session.close()

    async def describe(self, clip_id: str, seen: Seen, data: Row) -> Outcome:
        """Ask until there is an answer that fits, at most `tries` times. Raises ServerError."""
        last = Outcome(CaptionStatus.FAILED)
        for attempt in range(self._config.tries):
            request = self._request(clip_id, seen, data)
            self._desk.open(clip_id, request.nonce)
            try:
                reply = await self._ask(request)
                told = self._desk.take(reply, clip_id, request.nonce, request.questions)
            except AnswerError as error:
                self.counts[error.trouble] += 1
                stranger = error.trouble in (Trouble.MISMATCHED, Trouble.LATE)
                last = Outcome(error.status, detail=str(error), unreachable=stranger)
                if error.final:
                    return last
            except TransportError as error:
                self._spend(error)
                last = Outcome(CaptionStatus.FAILED, detail=str(error), unreachable=error.again)
                if not error.again:
                    return last
                if attempt + 1 < self._config.tries:
                    await asyncio.sleep(wait(attempt, error.wait_s))
            else:
                return Outcome(CaptionStatus.OK, told)
            finally:
                self._desk.give_up(request.nonce)
        return last

    def _request(self, clip_id: str, seen: Seen, data: Row) -> Request:
        """A question with a nonce of its own."""
        asks = self._config.asks()
        return Request(clip_id, secrets.token_hex(4), seen, data, asks, self._config.words)

    def _spend(self, error: TransportError) -> None:
        """Count a failed request. Raises ServerError beyond the budget."""
        self.counts[error.kind] += 1
        self._errors += 1
        if self._errors > self._config.error_budget:
            raise ServerError(
                f"{self._errors} requests to {self._config.url} failed, more than "
                f"{self._config.section}.error_budget; the last one: {error}"
            )

    async def _ask(self, request: Request) -> Reply:
        """One answer; without response_format where the server does not know it."""
        told_schema = self._schema_known
        try:
            return await self._post(request, told_schema)
        except TransportError as error:
            if error.kind != "http 400" or not told_schema:
                raise
        reply = await self._post(request, told_schema=False)
        self._schema_known = False
        return reply

    async def _post(self, request: Request, told_schema: bool) -> Reply:
        """Raises TransportError, AnswerError(malformed), ServerError."""
        assert self._session, "use the server inside `async with`"
        body = payload(self._config, request, told_schema)
        self.asked += 1
        try:
            async with self._session.post(
                f"{self._config.url}/chat/completions", data=body, allow_redirects=False
            ) as response:
                answer = await whole(response)
                if response.status != 200:
                    raise self._failure(response, answer)
        except TimeoutError as error:
            raise TransportError("timeout", f"no answer in {self._config.timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TransportError("connection", f"{type(error).__name__}: {error}") from error
        return read_reply(answer)

    def _failure(self, response: aiohttp.ClientResponse, answer: bytes) -> Exception:
        status = response.status
        said = clean(answer[:2_000].decode("utf-8", "replace"), 300)
        if status in HOPELESS:
            return ServerError(
                f"{self._config.url} says {status}: {said or response.reason}; check "
                f"{self._config.section}.url, model and key_env"
            )
        if status in AGAIN or status >= 500:
            return TransportError(
                f"http {status}", said, wait_s=retry_after(response.headers.get("Retry-After", ""))
            )
        # 400, 415 and 422: servers differ in how they say that they do not know a field.
        return TransportError("http 400", f"{status}: {said}", again=False)


def payload(config: LLMConfig, request: Request, told_schema: bool) -> bytes:
    """The body of a chat completion request."""
    body: dict[str, Any] = {
        "model": config.model,
        "messages": messages(request),
        "max_tokens": config.max_tokens,
        "temperature": config.temperature,
        "n": 1,
        "stream": False,
    }
    if told_schema:
        shape = {"name": "answer", "strict": True, "schema": schema(request.questions)}
        body["response_format"] = {"type": "json_schema", "json_schema": shape}
    return json.dumps(body).encode()


async def whole(response: aiohttp.ClientResponse) -> bytes:
    """The body, at most RESPONSE_BYTES. Raises TransportError."""
    parts = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        parts += chunk
        if len(parts) > RESPONSE_BYTES:
            raise TransportError("too long", f"an answer of more than {RESPONSE_BYTES} bytes")
    return bytes(parts)


def read_reply(answer: bytes) -> Reply:
    """The one choice of a chat completion. Raises AnswerError(malformed, duplicate)."""
    try:
        choices = json.loads(answer)["choices"]
        message, reason = choices[0]["message"], choices[0].get("finish_reason")
        text, refusal = message.get("content") or "", message.get("refusal") or ""
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        detail = f"no chat completion: {type(error).__name__} {error}"
        raise AnswerError(Trouble.MALFORMED, detail) from error
    if len(choices) > 1:
        raise AnswerError(Trouble.DUPLICATE, f"{len(choices)} choices in one answer")
    if isinstance(text, list):  # some servers answer in parts, as they are asked
        text = "".join(p.get("text", "") for p in text if isinstance(p, dict))
    if reason == "content_filter":
        refusal = refusal or "the server's content filter ended the answer"
    return Reply(str(text), reason == "length", str(refusal))


def wait(attempt: int, asked_s: float) -> float:
    """Seconds before the next attempt: doubling and jittered, or what the server asked for."""
    doubled = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt)
    return max(min(asked_s, LONGEST_WAIT_S), doubled * random.uniform(0.5, 1.0))  # noqa: S311


def retry_after(text: str) -> float:
    """Seconds of a Retry-After header; a date or nonsense is 0."""
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return seconds if 0 < seconds < float("inf") else 0.0
