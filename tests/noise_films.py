"""Films of noise, of which a part is much less than the whole, here and in an object store."""

import av
import numpy as np

from curation.places import place
from curation.sources import hash_source

FPS, SECONDS, RATE = 12, 30, 48_000
FINE = {
    "libx264": {"preset": "veryfast", "crf": "2"},
    "libx265": {"preset": "ultrafast"},
    "libsvtav1": {"preset": "10", "crf": "2"},
}


def write_noise(path, options, codec, seconds=SECONDS, coder="libx264"):
    rng = np.random.default_rng(5)
    with av.open(str(path), "w") as box:
        video = box.add_stream(coder, FPS, options=FINE[coder] | options)
        video.width, video.height, video.pix_fmt = 192, 108, "yuv420p"
        audio = box.add_stream(codec, RATE, layout="stereo")
        for second in range(seconds):
            pixels = rng.integers(0, 256, (FPS, 108, 192, 3), dtype=np.uint8)
            for picture in pixels:
                box.mux(video.encode(av.VideoFrame.from_ndarray(picture)))
            samples = rng.integers(-9_000, 9_000, (1, 2 * RATE), dtype=np.int16)
            sound = av.AudioFrame.from_ndarray(samples, "s16", "stereo")
            sound.sample_rate, sound.pts = RATE, second * RATE
            box.mux(audio.encode(sound))
        box.mux(video.encode())
        box.mux(audio.encode())


def scanned(store, film, port=None):
    """A film that is put into the store, as the ledger knows it."""
    far = place(store.uri(f"films/spans/{film.name}"))
    far.upload(film)
    facts = far.stat()
    return {
        "path": store.uri(f"films/spans/{film.name}", port),
        "source_id": hash_source(str(film)),
        "bytes": facts.st_size,
        "mtime_ns": facts.st_mtime_ns,
    }
