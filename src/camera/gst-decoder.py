#!/usr/bin/python3
"""The `jetson` preset's decoder: RTSP in, NV12 frames out as NUT on a Unix socket.

    gst-decoder.py SOCKET < REQUEST      decodes until the stream ends or the socket closes
    gst-decoder.py --probe               says which GStreamer elements are missing, exit 1 if any

REQUEST is one JSON object: url, widthPx, heightPx, fps, transport, timeoutMs, hardware ("jetson",
or "none" for openh264). The URL comes on stdin because every user can read command lines. Source of
the container: the public NUT Open Container Format specification; `src/frame/nut.ts` reads it.
"""

import json
import math
import socket
import sys
from urllib.parse import unquote, urlsplit, urlunsplit

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import GLib, Gst, GstApp, GstVideo  # noqa: E402, F401

# Decoder and scaler of each kind of hardware; the scaler's output is in system memory.
HARDWARE = {
    "jetson": ("nvv4l2decoder", "nvvidconv"),
    "none": ("openh264dec", "videoconvert ! videoscale"),
}
MAIN, STREAM, SYNCPOINT = 0x4E4D7A561F5F04AD, 0x4E5311405BF2F9DB, 0x4E4BE4ADEECA4569
KEY, CODED_PTS, SIZE_MSB, CHECKSUM, CODED = 1, 8, 32, 64, 4096
PTS_SHIFT = 7
MICROSECONDS = 1_000_000


def varint(value: int) -> bytes:
    out = [value & 0x7F]
    while value := value >> 7:
        out.insert(0, (value & 0x7F) | 0x80)
    return bytes(out)


def checksum(data: bytes) -> bytes:
    crc = 0
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = ((crc << 1) ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc.to_bytes(4, "big")


def packet(start_code: int, *fields: int | bytes) -> bytes:
    body = b"".join(field if isinstance(field, bytes) else varint(field) for field in fields)
    return start_code.to_bytes(8, "big") + varint(len(body) + 4) + body + checksum(body)


def nut_header(width: int, height: int) -> bytes:
    # One line of frame codes: every code says that its flags follow.
    frame_codes = (CODED, 6, 0, 1, 0, 0, 0, 255)
    main = packet(MAIN, 3, 1, 32768, 1, 1, MICROSECONDS, *frame_codes, 0)
    stream = packet(
        STREAM,
        0,
        0,
        varint(4) + b"NV12",
        0,
        PTS_SHIFT,
        MICROSECONDS,
        0,
        0,
        0,
        width,
        height,
        0,
        0,
        0,
    )
    return b"nut/multimedia container\0" + main + stream


def nut_frame_header(pts_us: int, size: int) -> bytes:
    header = (
        bytes([0])
        + varint(KEY | CODED_PTS | SIZE_MSB | CHECKSUM)
        + varint(pts_us + (1 << PTS_SHIFT))
        + varint(size)
    )
    return packet(SYNCPOINT, pts_us, 0) + header + checksum(header)


def fitted(width: int, height: int, max_width: int, max_height: int) -> tuple[int, int]:
    """The largest even size within the limits that keeps the aspect ratio and does not enlarge."""
    scale = min(1.0, max_width / width, max_height / height)
    return max(2, int(width * scale) // 2 * 2), max(2, int(height * scale) // 2 * 2)


def tight_nv12(buffer: object, data: bytes, width: int, height: int) -> bytes:
    """Pixels without the padding that decoders put at the end of rows."""
    meta = GstVideo.buffer_get_video_meta(buffer)
    if meta is None or (
        meta.stride[0] == width and meta.stride[1] == width and meta.offset[1] == width * height
    ):
        return data[: width * height * 3 // 2]
    rows = [data[meta.offset[0] + y * meta.stride[0] :][:width] for y in range(height)]
    rows += [data[meta.offset[1] + y * meta.stride[1] :][:width] for y in range(height // 2)]
    return b"".join(rows)


class Decoder:
    def __init__(self, request: dict, frames: socket.socket) -> None:
        self.request = request
        self.frames = frames
        self.loop = GLib.MainLoop()
        self.exit_code = 1
        self.slot = -1
        self.first_pts: int | None = None
        self.size: tuple[int, int] | None = None
        decoder, scaler = HARDWARE[request["hardware"]]
        self.pipeline = Gst.parse_launch(
            f"rtspsrc name=camera latency=100 drop-on-latency=true ! parsebin name=parser "
            f"{decoder} name=decoder ! {scaler} ! capsfilter name=size "
            "! appsink name=sink sync=false max-buffers=2 drop=true emit-signals=true"
        )
        self.configure_camera(self.pipeline.get_by_name("camera"))
        self.pipeline.get_by_name("parser").connect("pad-added", self.on_video)
        self.pipeline.get_by_name("sink").connect("new-sample", self.on_sample)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.on_error)
        bus.connect("message::eos", lambda *_: self.leave(0))

    def configure_camera(self, camera: object) -> None:
        url = urlsplit(self.request["url"])
        host = url.netloc.rpartition("@")[2]
        camera.set_property("location", urlunsplit((url.scheme, host, url.path, url.query, "")))
        if url.username is not None:
            camera.set_property("user-id", unquote(url.username))
            camera.set_property("user-pw", unquote(url.password or ""))
        Gst.util_set_object_arg(camera, "protocols", self.request["transport"])
        timeout_us = self.request["timeoutMs"] * 1000
        camera.set_property("tcp-timeout", timeout_us)
        camera.set_property("timeout", timeout_us)
        camera.connect(
            "select-stream",
            lambda _camera, _index, caps: caps.get_structure(0).get_string("media") == "video",
        )

    def on_video(self, _parser: object, pad: object) -> None:
        pad.add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM, self.on_event)
        if (
            pad.link(self.pipeline.get_by_name("decoder").get_static_pad("sink"))
            != Gst.PadLinkReturn.OK
        ):
            self.complain("Decoder not found: no decoder here takes this stream")

    def on_event(self, _pad: object, info: object) -> object:
        """The caps that go by say the coded size, before the first picture does."""
        event = info.get_event()
        if event.type == Gst.EventType.CAPS and self.size is None:
            coded = event.parse_caps().get_structure(0)
            known_width, width = coded.get_int("width")
            known_height, height = coded.get_int("height")
            if known_width and known_height:
                self.size = fitted(width, height, self.request["widthPx"], self.request["heightPx"])
                caps = "video/x-raw,format=NV12,width={},height={}".format(*self.size)
                self.pipeline.get_by_name("size").set_property("caps", Gst.Caps.from_string(caps))
                self.frames.sendall(nut_header(*self.size))
        return Gst.PadProbeReturn.OK

    def on_sample(self, sink: object) -> object:
        buffer = sink.emit("pull-sample").get_buffer()
        if self.size is None:
            self.complain("no video: the stream does not say its size")
            return Gst.FlowReturn.EOS
        if self.first_pts is None:
            self.first_pts = buffer.pts
        pts_us = max(0, (buffer.pts - self.first_pts) // 1000)
        slot = math.floor(pts_us * self.request["fps"] / MICROSECONDS + 0.5)
        if slot <= self.slot:
            return Gst.FlowReturn.OK
        self.slot = slot
        pixels = tight_nv12(buffer, buffer.extract_dup(0, buffer.get_size()), *self.size)
        try:
            self.frames.sendall(nut_frame_header(pts_us, len(pixels)))
            self.frames.sendall(pixels)
        except OSError:
            self.leave(0)
            return Gst.FlowReturn.EOS
        return Gst.FlowReturn.OK

    def on_error(self, _bus: object, message: object) -> None:
        error, details = message.parse_error()
        self.complain(f"{details}\n{error.message}")

    def complain(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
        self.leave(1)

    def leave(self, exit_code: int) -> None:
        self.exit_code = exit_code
        GLib.idle_add(self.loop.quit)

    def run(self) -> int:
        self.pipeline.set_state(Gst.State.PLAYING)
        self.loop.run()
        self.pipeline.set_state(Gst.State.NULL)
        return self.exit_code


def probe() -> int:
    wanted = ["rtspsrc", "parsebin", "appsink", *HARDWARE["jetson"]]
    missing = [name for name in wanted if Gst.ElementFactory.find(name) is None]
    print(" ".join(missing))
    return 1 if missing else 0


def main() -> int:
    Gst.init(None)
    if sys.argv[1:] == ["--probe"]:
        return probe()
    request = json.loads(sys.stdin.readline())
    frames = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    frames.connect(sys.argv[1])
    return Decoder(request, frames).run()


if __name__ == "__main__":
    sys.exit(main())
