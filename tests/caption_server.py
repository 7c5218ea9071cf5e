"""A small server that speaks OpenAI's chat completions, looks at the frames and hears the sound.

It decodes the JPEG images and the WAV that it is sent and answers from them alone, so that a
caption can be checked against the clip that it stands beside. Its modes are what servers do wrong.
"""

import base64
import io
import json
import random
import re
import threading
import time
import wave
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

COLOURS = {
    "red": (200, 40, 40), "green": (40, 170, 60), "blue": (40, 60, 200), "yellow": (220, 210, 50),
    "white": (235, 235, 235), "grey": (120, 120, 120), "purple": (150, 50, 170),
    "cyan": (60, 200, 210),
}  # fmt: skip


class CaptionServer:
    """`with CaptionServer(...) as server` has `server.url`; a clip's modes go one a request."""

    def __init__(self, modes=None, default="ok", slow_s=0.0, knows_schema=True, key=""):
        self.modes = {clip: list(names) for clip, names in (modes or {}).items()}
        self.default, self.slow_s, self.knows_schema, self.key = default, slow_s, knows_schema, key
        self.requests = []  # bodies as they came
        self.order = []  # clip ids in the order in which they were answered
        self.did = Counter()
        self.now = self.most = 0  # requests under way, and most at once
        self.headers = []
        self.tries = defaultdict(list)  # clip -> nonces
        self.last = None  # (clip_id, nonce, answer) of some earlier request
        self.lock = threading.Lock()
        self.stop = threading.Event()

    def __enter__(self):
        handler = type("Handler", (Handler,), {"owner": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        self.http.block_on_close = False
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join(10)

    def mode(self, clip):
        with self.lock:
            waiting = self.modes.get(clip)
            name = waiting.pop(0) if waiting else self.default
            self.did[name] += 1
            return name


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: CaptionServer

    def log_message(self, *_):
        pass

    def do_POST(self):
        server = self.owner
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if server.key and self.headers.get("Authorization") != f"Bearer {server.key}":
            self.send(401, {"error": {"message": "wrong key"}})
            return
        if self.path != "/v1/chat/completions":
            self.send(404, {"error": {"message": "no such path"}})
            return
        if not server.knows_schema and "response_format" in body:
            self.send(400, {"error": {"message": "unknown field response_format"}})
            return
        asked = read_request(body)
        with server.lock:
            server.requests.append(body)
            server.headers.append(dict(self.headers))
            server.tries[asked["clip_id"]].append(asked["nonce"])
            before, server.last = server.last, (asked["clip_id"], asked["nonce"])
            server.now += 1
            server.most = max(server.most, server.now)
        mode = server.mode(asked["clip_id"])
        time.sleep(random.uniform(0, server.slow_s))
        with server.lock:
            server.now -= 1
        getattr(self, f"do_{mode}")(asked, told(asked), before)
        with server.lock:
            server.order.append(asked["clip_id"])

    def do_ok(self, asked, answer, before):
        self.send(200, chat(json.dumps(answer)))

    def do_forgets(self, asked, answer, before):
        """A caption that lost what the prompt named."""
        self.send(200, chat(json.dumps(answer | {"subject": "something else"})))

    def do_other_words(self, asked, answer, before):
        """A second pass that corrects what was said."""
        lines = [line | {"words": line["words"] + " indeed"} for line in answer["speech"]]
        self.send(200, chat(json.dumps(answer | {"speech": lines})))

    def do_invents(self, asked, answer, before):
        """A second pass that knows a name that nobody told it."""
        self.send(200, chat(json.dumps(answer | {"subject": answer["subject"] + " by Mondrian"})))

    def do_prose(self, asked, answer, before):
        told = json.dumps(answer, indent=1)
        text = f"<think>{{so}} a clip…</think>Here it is:\n```json\n{told}\n```\nDone."
        self.send(200, chat(text))

    def do_another_clip(self, asked, answer, before):
        """The whole answer to another request."""
        clip, nonce = before or ("0" * 16 + "-0-1000", "deadbeef")
        self.send(200, chat(json.dumps(answer | {"clip_id": clip, "nonce": nonce})))

    def do_no_id(self, asked, answer, before):
        self.send(
            200,
            chat(json.dumps({k: v for k, v in answer.items() if k not in ("clip_id", "nonce")})),
        )

    def do_late(self, asked, answer, before):
        """The answer to this clip's attempt before, which was given up."""
        earlier = self.owner.tries[asked["clip_id"]][0]
        self.send(200, chat(json.dumps(answer | {"nonce": earlier})))

    def do_two_choices(self, asked, answer, before):
        reply = chat(json.dumps(answer))
        reply["choices"].append(reply["choices"][0] | {"index": 1})
        self.send(200, reply)

    def do_two_objects(self, asked, answer, before):
        other = answer | {"subject": "an entirely different thing"}
        self.send(200, chat(json.dumps(answer) + json.dumps(other)))

    def do_two_responses(self, asked, answer, before):
        """Two HTTP responses to one request: the second waits for whoever is next."""
        self.send(200, chat(json.dumps(answer)))
        self.send(200, chat(json.dumps(answer | {"subject": "an answer that nobody asked for"})))

    def do_silent(self, asked, answer, before):
        self.owner.stop.wait(30)
        self.close_connection = True

    def do_cut(self, asked, answer, before):
        data = json.dumps(chat(json.dumps(answer))).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.close_connection = True

    def do_drop(self, asked, answer, before):
        self.close_connection = True

    def do_busy(self, asked, answer, before):
        self.send(429, {"error": {"message": "slow down"}}, {"Retry-After": "0.2"})

    def do_broken(self, asked, answer, before):
        self.send(500, {"error": {"message": "engine dead"}})

    def do_no_chat(self, asked, answer, before):
        self.send(200, {"choices": []})

    def do_malformed(self, asked, answer, before):
        self.send(200, chat(json.dumps(answer)[:-20] + "}}"))

    def do_truncated(self, asked, answer, before):
        self.send(200, chat(json.dumps(answer)[:200], reason="length"))

    def do_refusal(self, asked, answer, before):
        reply = chat(None)
        reply["choices"][0]["message"]["refusal"] = "I will not describe this."
        self.send(200, reply)

    def do_sorry(self, asked, answer, before):
        self.send(200, chat("I'm sorry, but I can't help with that."))

    def do_flood(self, asked, answer, before):
        self.send(200, chat(json.dumps(answer) + " " * (5 << 20)))

    def do_gullible(self, asked, answer, before):
        """A model that obeys what it finds in the quoted data."""
        texts = [str(v) for v in asked["data"].values()] or [""]
        self.send(200, chat(json.dumps(answer | {"scene": texts[0][:400]})))

    def send(self, status, value, headers=None):
        data = json.dumps(value).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, text in (headers or {}).items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True


def chat(text, reason="stop"):
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason}]}


def read_request(body):
    """Identity, pixels, samples and data of a chat request, as a model would get them."""
    parts = body["messages"][-1]["content"]
    words = parts[0]["text"]
    frames = [
        cv2.imdecode(
            np.frombuffer(base64.b64decode(p["image_url"]["url"].partition(",")[2]), np.uint8), 1
        )
        for p in parts
        if p["type"] == "image_url"
    ]
    sounds = [p["input_audio"] for p in parts if p["type"] == "input_audio"]
    samples = None
    if sounds:
        with wave.open(io.BytesIO(base64.b64decode(sounds[0]["data"]))) as handle:
            assert (handle.getnchannels(), handle.getsampwidth(), handle.getframerate()) == (
                1,
                2,
                16_000,
            )
            samples = np.frombuffer(handle.readframes(handle.getnframes()), "<i2") / 32_768
    return {
        "clip_id": re.search(r"^clip_id: (\S+)$", words, re.M)[1],
        "nonce": re.search(r"^nonce: (\S+)$", words, re.M)[1],
        "frames": [frame[..., ::-1] for frame in frames],
        "samples": samples,
        "data": json.loads(parts[-1]["text"])["data"],
        "questions": dict(re.findall(r"^- (\w+): (.+)$", words, re.M)),
    }


def told(asked):
    """A description of what was really sent, or answers to the questions about it."""
    if "prompt" in asked["data"]:
        return wished(asked)
    if first := asked["data"].get("first_caption"):
        identity = {"clip_id": asked["clip_id"], "nonce": asked["nonce"]}
        merged = {"scene": f"{first['scene']} without texture", "ambience": ""}
        return identity | first | merged
    clicks = count_clicks(asked["samples"])
    if asked.get("questions"):
        found = {"loud": clicks > 3, colour(asked["frames"]): True}
        said = {
            name: "unknown" if "weather" in question else "yes" if found.get(name) else "no"
            for name, question in asked["questions"].items()
        }
        return {"clip_id": asked["clip_id"], "nonce": asked["nonce"], "answers": said}
    return {
        "clip_id": asked["clip_id"],
        "nonce": asked["nonce"],
        "subject": f"a {colour(asked['frames'])} picture",
        "action": "stays as it is",
        "scene": "an even surface",
        "camera": "the camera is still",
        "shots": [],
        "on_screen_text": [],
        "speech": [
            {"speaker": "a man", "delivery": "calmly", "words": asked["data"].get("transcript", "")}
        ],
        "singing": "",
        "effects": [f"{clicks} clicks"] if clicks else [],
        "music": "",
        "ambience": "",
        "absent": ["music", "people"],
    }


def wished(asked):
    """The description of a clip that somebody wishes for, from the wish alone."""
    nothing = {name: [] for name in ("shots", "on_screen_text", "speech", "effects", "absent")}
    return {
        "clip_id": asked["clip_id"],
        "nonce": asked["nonce"],
        **nothing,
        "subject": asked["data"]["prompt"],
        "action": "moves slowly",
        "scene": "a bright room",
        "camera": "the camera is still",
        "effects": ["a soft thud"],
        "singing": "",
        "music": "",
        "ambience": "room tone",
    }


def colour(frames):
    """The palette's name nearest to the mean of all frames."""
    mean = np.mean([frame.reshape(-1, 3).mean(0) for frame in frames], axis=0)
    return min(COLOURS, key=lambda name: np.abs(mean - COLOURS[name]).sum())


def count_clicks(samples):
    """Bursts above a tenth of full scale that are 50 ms or more apart."""
    if samples is None:
        return 0
    loud = np.flatnonzero(np.abs(samples) > 0.1)
    return int(len(loud) > 0) + int((np.diff(loud) > 800).sum())
