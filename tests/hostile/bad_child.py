"""A child that does what the file says after its magic bytes, in place of the decoder."""

import os
import socket
import sys
import tempfile
import time

from curation import media_wire

FACTS = {"seconds": 1.0, "video": None, "audio": None}


def behave(name: str, channel: socket.socket) -> None:
    if name == "abort":
        os.abort()
    elif name == "spin":
        while True:
            pass
    elif name == "sleep":
        time.sleep(3600)
    elif name == "eat":
        held = []
        while True:
            held.append(bytearray(16 << 20))
    elif name == "flood":
        while True:
            try:
                os.write(2, b"noise\n" * 10_000)
            except OSError:
                time.sleep(0.01)
    elif name == "write":
        with tempfile.TemporaryFile() as handle:
            handle.write(bytes(64 << 20))
        media_wire.send(channel, FACTS)
    elif name == "spawn":
        pid = os.fork()
        if pid == 0:
            time.sleep(3600)
        media_wire.send(channel, FACTS | {"seconds": float(pid)})
        time.sleep(3600)
    elif name == "nonsense":
        channel.sendall(b"\x10\0\0\0not json at all!")
        time.sleep(3600)
    elif name == "boast":
        channel.sendall(b"\xff\xff\xff\xff")
        time.sleep(3600)
    else:
        media_wire.send(channel, FACTS)


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    first = True
    while True:
        _, descriptors = media_wire.receive(channel)
        name = os.pread(descriptors[0], 100, 4).decode()
        os.close(descriptors[0])
        behave("abort" if name == "second" and not first else name, channel)
        first = False


if __name__ == "__main__":
    main()
