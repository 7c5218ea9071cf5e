"""How the reader and its child talk: length, JSON, and descriptors beside it. No pickle."""

import json
import os
import socket
import struct
from typing import Any

HEADER = struct.Struct("<I")
MAX_MESSAGE = 16 << 20  # times= of a long film as JSON; a reply is far smaller


def send(link: socket.socket, message: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
    """Send one message and copies of open descriptors."""
    body = json.dumps(message, allow_nan=False).encode()
    if len(body) > MAX_MESSAGE:
        raise ValueError(
            f"a request of {len(body)} bytes is too large; ask for fewer times at once"
        )
    data = HEADER.pack(len(body)) + body
    # Descriptors travel with the first bytes; the rest follows as plain stream data.
    sent = socket.send_fds(link, [data], list(descriptors))
    link.sendall(data[sent:])


def receive(link: socket.socket, limit: int = MAX_MESSAGE) -> tuple[dict[str, Any], list[int]]:
    """The next message and its descriptors. Raises EOFError when the other side is gone."""
    head, descriptors, _, _ = socket.recv_fds(link, HEADER.size, 4)
    try:
        head += _exactly(link, HEADER.size - len(head)) if head else b""
        if not head:
            raise EOFError
        (size,) = HEADER.unpack(head)
        if size > limit:
            raise EOFError(f"a message of {size} bytes")
        message = json.loads(_exactly(link, size))
    except BaseException:  # whatever ends this, the descriptors are ours to close
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return message, descriptors


def _exactly(link: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = link.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise EOFError("the other side ended in the middle of a message")
        parts += part
    return bytes(parts)
