"""What travels between stages: ids, statuses, reasons. Small values only, never payloads."""

from enum import StrEnum

DETAIL_CHARS = 500


class Status(StrEnum):
    """What became of one input of one pass. Every input gets exactly one."""

    OK = "ok"
    FILTERED = "filtered"
    FAILED = "failed"
    SKIPPED = "skipped"


class Reason(StrEnum):
    """Why an input was refused: the closed list that reports and replays speak in."""

    UNREADABLE = "unreadable"  # missing, no permission, vanished after listing
    EMPTY = "empty"  # zero bytes
    FORMAT_NOT_ALLOWED = "format_not_allowed"  # magic bytes outside the allow-list
    CORRUPT = "corrupt"  # the container or a stream does not decode
    NO_VIDEO = "no_video"
    NO_AUDIO = "no_audio"
    TOO_MANY_STREAMS = "too_many_streams"
    TOO_MANY_PIXELS = "too_many_pixels"  # of one frame, or of all frames together
    TOO_LONG = "too_long"
    TOO_SHORT = "too_short"  # shorter than one training window
    TIMEOUT = "timeout"  # wall clock of the decoder
    CPU_LIMIT = "cpu_limit"
    MEMORY_LIMIT = "memory_limit"
    DECODER_CRASH = "decoder_crash"  # the child process died
    WORKER_DIED = "worker_died"  # so did two workers: in quarantine until it is replayed
    NOT_FINITE = "not_finite"  # NaN or Inf in decoded or encoded values
    BAD_CAPTION = "bad_caption"
    CAPTIONER = "captioner"  # the model could not be reached, or answered another question
    POLICY = "policy"  # a verdict rule; the detail names the rule and the value
    DUPLICATE = "duplicate"
    TAKEN_DOWN = "taken_down"  # removed on request; never taken in again
    NO_MODEL = "no_model"  # a judge's model is not on this machine
    INTERNAL = "internal"  # a bug of ours, caught at the item so that the run goes on


class RejectedError(Exception):
    """An item is refused. Stages raise it; the stage's edge turns it into one typed row."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        self.reason = reason
        self.detail = clean(detail)
        super().__init__(f"{reason}: {self.detail}")


def clean(text: str, limit: int = DETAIL_CHARS) -> str:
    """Untrusted text as one printable line of at most `limit` characters."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:limit]


def clip_id(source_id: str, start_s: float, end_s: float) -> str:
    """The id of the span [start_s, end_s) of a source: `<source_id>-<start_ms>-<end_ms>`."""
    return f"{source_id}-{round(start_s * 1000)}-{round(end_s * 1000)}"
