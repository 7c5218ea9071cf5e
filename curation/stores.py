"""Object stores through Arrow: how they are opened, how long they are asked, how they fail."""

import os
import random
import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl

TRIES = 6  # of one request, beside the client's own second try of each
FIRST_WAIT_S = 0.5  # doubled after each try: 15 s in all, which a throttled bucket needs
PATIENCE_S = 120.0  # no new try of a request after that
CONNECT_S, SILENCE_S = 5.0, 30.0  # to connect; without a byte (the client's own 3 s end slow reads)
S3_OPTIONS = frozenset(
    ("region", "scheme", "endpoint_override", "tls_ca_file_path", "role_arn")
)  # those of a URI; credentials come from the environment, as URIs are stored and shown
S3_SWITCHES = frozenset(("anonymous", "force_virtual_addressing"))

DENIED = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE|EXPIRED_TOKEN|INVALID_TOKEN|UNRECOGNIZED_CLIENT"
    r"|INVALID_CLIENT_TOKEN|MISSING_AUTHENTICATION|SKEWED|status 40[13]\b|PERMISSION_DENIED"
)
NO_BUCKET = re.compile(r"NO_SUCH_BUCKET|bucket does not exist", re.IGNORECASE)

WRONG = {
    "unreachable": "the store does not answer",
    "denied": "the store refuses",
    "no_bucket": "there is no such bucket",
}
CURES = {
    "unreachable": "does it answer from this machine, and is endpoint_override (host:port, with "
    "scheme=http where it has no TLS) right?",
    "denied": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or what the store has in their "
    "place) to those of a user who may list, read, write and delete there",
    "no_bucket": "create the bucket or name another",
}

T = TypeVar("T")


class StorageError(Exception):
    """A store that fails and goes on failing; `kind` is `unreachable`, `denied` or `no_bucket`."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        super().__init__(kind, text)

    def __str__(self) -> str:
        return str(self.args[1])

    @classmethod
    def of(cls, kind: str, uri: str, told: str = "") -> "StorageError":
        """The error with what it is about, what was said, and the cure."""
        said = f" ({told})" if told else ""
        return cls(kind, f"{uri}: {WRONG[kind]}{said}. The cure: {CURES[kind]}")


def trying(request: Callable[[], T], uri: str) -> T:
    """What `request` gives, after as many tries as a fault that passes may take.

    Raises FileNotFoundError, StorageError.
    """
    begun, wait = time.monotonic(), FIRST_WAIT_S
    for number in range(1, TRIES + 1):
        try:
            return request()
        except FileNotFoundError:
            raise
        except OSError as error:
            text = " ".join(str(error).split())
            if DENIED.search(text) or isinstance(error, PermissionError):
                raise StorageError.of("denied", uri, text) from error
            if NO_BUCKET.search(text):
                raise StorageError.of("no_bucket", uri, text) from error
            spent = time.monotonic() - begun
            if number == TRIES or spent > PATIENCE_S:
                told = f"{number} tries in {spent:.0f} s, the last: {text}"
                raise StorageError.of("unreachable", uri, told) from error
        time.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - so that workers part
        wait *= 2
    raise AssertionError


@lru_cache(maxsize=32)
def filesystem(scheme: str, bucket: str, options: str) -> tuple[Any, str]:
    """Arrow's filesystem of a bucket, and the bucket's path in it. Raises OSError, ValueError."""
    import pyarrow as pa  # noqa: PLC0415 - a recipe loads without
    from pyarrow import fs  # noqa: PLC0415

    given: dict[str, Any] = dict(parse_qsl(options))
    if scheme != "s3":
        try:
            found: tuple[Any, str] = fs.FileSystem.from_uri(
                f"{scheme}://{bucket}/{f'?{options}' if options else ''}"
            )
        except pa.ArrowException as error:
            raise ValueError(f"{scheme}://{bucket}: {error}") from error
        return found
    given |= {name: given[name].lower() == "true" for name in S3_SWITCHES & given.keys()}
    endpoint = given.get("endpoint_override") or os.environ.get("AWS_ENDPOINT_URL")
    if "region" not in given and not endpoint and not os.environ.get("AWS_REGION"):
        given["region"] = fs.resolve_s3_region(bucket)
    system = fs.S3FileSystem(
        **given,
        connect_timeout=CONNECT_S,
        request_timeout=SILENCE_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=2),
        background_writes=False,  # else parts wait in memory for a slow network, without a bound
        allow_delayed_open=True,  # a small object is one request
    )
    return system, bucket
