"""Sixty films that want to do harm, and what must become of each."""

import os
import socket
import struct
from pathlib import Path

import av
import numpy as np

from tests import media_zoo as zoo

SENTINEL = (255, 0, 255)  # no other film of the folder has this colour
OK = "ok"


def hostile_folder(folder: Path, port: int = 9) -> dict[str, str]:
    """Fill `folder`; returns the reason for each name (as os.fsdecode gives it), or "ok".

    Playlists point at `folder`'s sibling `sentinel.mp4`, a plain magenta film, and at
    127.0.0.1:`port`, where a test may listen.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sentinel = folder.parent / "sentinel.mp4"
    _plain(sentinel, SENTINEL)
    expected = _playlists(folder, sentinel, port)
    expected |= _not_media(folder)
    expected |= _damaged(folder)
    expected |= _absurd(folder)
    expected |= _names(folder)
    return expected


def _playlists(folder: Path, sentinel: Path, port: int) -> dict[str, str]:
    web = f"http://127.0.0.1:{port}/x.mp4"
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet>'
        '<Representation id="0" bandwidth="1" mimeType="video/mp4"><BaseURL>{}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>"
    )
    here = "IN IP4 127.0.0.1"
    sdp = f"v=0\no=- 0 0 {here}\ns=x\nc={here}\nt=0 0\nm=video {port} RTP/AVP 96\n"
    texts = {
        "hls_file.mp4": hls.format(f"file://{sentinel}"),
        "hls_relative.mkv": hls.format("../sentinel.mp4"),
        "hls_web.webm": hls.format(web),
        "hls_tcp.avi": hls.format(f"tcp://127.0.0.1:{port}"),
        "ffconcat.mp4": f"ffconcat version 1.0\nfile '{sentinel}'\n",
        "ffconcat_relative.mov": "ffconcat version 1.0\nfile ../sentinel.mp4\n",
        "dash.mp4": dash.format(web),
        "session.mp4": sdp,
        "m3u.avi": f"#EXTM3U\n{sentinel}\n",
        "rtsp.mov": f"rtsptextRTSP://127.0.0.1:{port}/x",
        "metadata.mp4": f";FFMETADATA1\ntitle={web}\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    # Two things at once: real magic bytes, with a playlist where text probes would look.
    (folder / "poly.mkv").write_bytes(b"\x1a\x45\xdf\xa3" + hls.format(sentinel).encode())
    (folder / "poly_type.mkv").write_bytes(
        b"\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska"
        + dash.format(web).encode()
        + b"\n"
        + sdp.encode()
    )
    (folder / "poly.mp4").write_bytes(b"#EXTftyp\n" + hls.format(sentinel).encode())
    (folder / "poly.avi").write_bytes(b"RIFF<MPDAVI LIST" + dash.format(web).encode())
    (folder / "image%03d.mp4").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    refused = dict.fromkeys([*texts, "poly.mkv", "poly.mp4", "image%03d.mp4"], "format_not_allowed")
    return refused | {"poly_type.mkv": "corrupt", "poly.avi": "corrupt"}


def _not_media(folder: Path) -> dict[str, str]:
    (folder / "text.mp4").write_text("This is not a film.\n" * 50)
    (folder / "page.mp4").write_text("<html><script>alert(1)</script></html>")
    (folder / "empty.mp4").touch()
    (folder / "zeros.mp4").write_bytes(bytes(100_000))
    (folder / "random.mp4").write_bytes(np.random.default_rng(0).bytes(50_000))
    (folder / "folder.mp4").mkdir(exist_ok=True)
    (folder / "dangling.mp4").symlink_to("nowhere.mp4")
    (folder / "loop.mp4").symlink_to("loop.mp4")
    os.mkfifo(folder / "fifo.mp4")
    _socket(folder, "socket.mp4")
    expected = dict.fromkeys(
        ["text.mp4", "page.mp4", "zeros.mp4", "random.mp4"], "format_not_allowed"
    )
    expected |= {"empty.mp4": "empty"}
    kinds = ["folder.mp4", "dangling.mp4", "loop.mp4", "fifo.mp4", "socket.mp4"]
    expected |= dict.fromkeys(kinds, "unreadable")
    if os.geteuid() != 0:  # root reads everything
        _plain(folder / "forbidden.mp4")
        (folder / "forbidden.mp4").chmod(0)
        expected["forbidden.mp4"] = "unreadable"
    return expected


def _damaged(folder: Path) -> dict[str, str]:
    source = zoo.make(zoo.Spec("whole.mp4", sound="aac", options=zoo.B_FRAMES), folder)
    film = source.read_bytes()
    front = _index_first(film, folder)
    (folder / "no_index.mp4").write_bytes(film[: len(film) // 2])  # the index is at the end
    (folder / "cut_back.mp4").write_bytes(front[: len(front) * 6 // 10])
    (folder / "cut_front.mp4").write_bytes(film[len(film) // 3 :])
    hole = bytearray(film)
    hole[2_000:6_000] = bytes(4_000)
    (folder / "hole.mp4").write_bytes(hole)
    matroska = zoo.make(
        zoo.Spec("whole.mkv", sound="aac", options=zoo.B_FRAMES), folder
    ).read_bytes()
    (folder / "cut.mkv").write_bytes(matroska[: len(matroska) * 6 // 10])
    (folder / "head_only.mp4").write_bytes(film[:40])
    names = ["no_index.mp4", "cut_back.mp4", "hole.mp4", "cut.mkv", "head_only.mp4"]
    expected = dict.fromkeys(names, "corrupt") | {"cut_front.mp4": "format_not_allowed"}
    return expected | {"whole.mp4": OK, "whole.mkv": OK}


def _absurd(folder: Path) -> dict[str, str]:
    film = zoo.make(zoo.Spec("seed.mp4", sound="aac"), folder)
    data = film.read_bytes()
    film.unlink()
    at = data.index(b"stts")  # one entry: 60 frames, each of 21,845 s
    (folder / "slow.mp4").write_bytes(data[: at + 16] + b"\x0f\xff\xff\xff" + data[at + 20 :])
    film = zoo.make(zoo.Spec("seed.mkv"), folder)
    matroska = film.read_bytes()
    film.unlink()
    at = matroska.index(b"\x44\x89\x88") + 3  # Duration, in milliseconds
    endless = matroska[:at] + struct.pack(">d", 4_294_967e3) + matroska[at + 8 :]
    (folder / "endless.mkv").write_bytes(endless)
    at = data.index(b"stsz")
    (folder / "samples.mp4").write_bytes(data[: at + 12] + b"\x7f\xff\xff\xff" + data[at + 16 :])
    boxes = b"".join(struct.pack(">I4s", 8 * (2_000 - k) + 8, b"moov") for k in range(2_000))
    (folder / "nested.mp4").write_bytes(struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0) + boxes)
    _huge_frames(folder)
    _many_streams(folder / "streams.mkv", 500)
    zoo.make(zoo.Spec("silent.mp4"), folder)
    zoo.make(zoo.Spec("sound_only.mp4", None, sound="aac"), folder)
    zoo.make(zoo.Spec("sound.wav", None, sound="pcm_s16le"), folder)
    return {
        "slow.mp4": "too_long",
        "endless.mkv": "too_long",
        "bomb.mkv": "corrupt",
        "samples.mp4": "corrupt",
        "nested.mp4": "corrupt",
        "huge.mkv": "too_many_pixels",
        "streams.mkv": "too_many_streams",
        "silent.mp4": "no_audio",
        "sound_only.mp4": "no_video",
        "sound.wav": "no_video",
    }


def _names(folder: Path) -> dict[str, str]:
    seed = zoo.make(zoo.Spec("seed.mp4", sound="aac"), folder)
    names = [
        "two words.mp4",
        "new\nline.mp4",
        "<script>alert(1)</script>.mp4".replace("/", "_"),
        "-y.mp4",
        "--help.mp4",
        "http:x.mp4",
        "concat:a|b.mp4",
        "a%03d.mp4",
        "$(touch canary).mp4",
        "`touch canary`.mp4",
        "'quoted' \"twice\".mp4",
        "\u202egpj.mp4",
        "Ünïcødé 影片.mp4",
        os.fsdecode(b"invalid \xff\xfe utf8.mp4"),
        "x" * 251 + ".mp4",
        "*.mp4",
        "tab\there.mp4",
    ]
    for name in names:
        (folder / name).write_bytes(seed.read_bytes())
    seed.unlink()
    return dict.fromkeys(names, OK)


def _plain(path: Path, colour: tuple[int, int, int] = (40, 90, 40)) -> None:
    picture = np.full((64, 96, 3), colour, np.uint8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(24):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode(None))


def _index_first(film: bytes, folder: Path) -> bytes:
    """The same film with its index before the data, so that a cut probes as whole."""
    path = folder / "seed_front.mp4"
    source = folder / "seed_back.mp4"
    source.write_bytes(film)
    with (
        av.open(str(source)) as whole,
        av.open(str(path), "w", options={"movflags": "+faststart"}) as out,
    ):
        copies = {s.index: out.add_stream_from_template(s) for s in whole.streams}
        for packet in whole.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                out.mux(packet)
    source.unlink()
    data = path.read_bytes()
    path.unlink()
    return data


def _huge_frames(folder: Path) -> None:
    """Black pictures of 15360 x 15360, 700 MB each when decoded: said by header, or by stream."""
    path = folder / "huge.mkv"
    picture = av.VideoFrame.from_ndarray(np.zeros((320, 320), np.uint8), "gray")
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 320, 320, "yuvj420p"
        for _ in range(2):
            out.mux(stream.encode(picture.reformat(format="yuvj420p")))
        out.mux(stream.encode(None))
    data = path.read_bytes()
    header, bomb = b"\xb0\x82\x01\x40\xba\x82\x01\x40", b"\x08\x01\x40\x01\x40\x03"
    assert header in data  # PixelWidth and PixelHeight of the track
    assert bomb in data  # height and width in the JPEG's own frame header
    path.write_bytes(data.replace(header, b"\xb0\x82\x3c\x00\xba\x82\x3c\x00"))
    (folder / "bomb.mkv").write_bytes(data.replace(bomb, b"\x08\x3c\x00\x3c\x00\x03"))


def _many_streams(path: Path, count: int) -> None:
    with av.open(str(path), "w") as out:
        streams = []
        for _ in range(count):
            stream = out.add_stream("pcm_s16le", rate=8_000, layout="mono")
            streams.append(stream)
        for stream in streams:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
            frame.sample_rate = 8_000
            out.mux(stream.encode(frame))


def _socket(folder: Path, name: str) -> None:
    # A socket's path may have 107 bytes, a test's folder is longer: bind relative to a descriptor.
    where = os.open(folder, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{where}/{name}")
    finally:
        os.close(where)
