#!/usr/bin/python3
"""A camera made of files: an RTSP server on loopback for the demo and the tests.

    rtsp-server.py [--port N] [--user U --password-env VAR] [--once] NAME=CLIP.mp4 ...

Every client of rtsp://127.0.0.1:PORT/NAME sees the clip from its beginning, at the clip's own
pace, in a loop or (`--once`) until its end. Clips are H.264 in MP4 without B-frames, each beginning
with a keyframe. The first line on stdout is `{"port": N}`. Commands come on stdin, one JSON object
a line: `{"play": NAME, "clip": "OTHER.mp4"}` shows another clip once on that mount and then goes
back to its own; `{"freeze": NAME}` stops sending without closing, `{"thaw": NAME}` goes on. The
server leaves when stdin ends, so it never outlives whoever started it.
"""

import argparse
import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The system's Python has it; the environment that checks this file does not.
import gi  # pyright: ignore[reportMissingImports]

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import (  # noqa: E402  # pyright: ignore[reportMissingImports]
    GLib,
    Gst,
    GstApp,  # noqa: F401
    GstRtspServer,
)

FACTORY = (
    "( appsrc name=source is-live=true format=time do-timestamp=true block=false max-bytes=8000000 "
    "caps=video/x-h264,stream-format=byte-stream,alignment=au "
    "! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)


@dataclass(frozen=True)
class Clip:
    """Access units in order, and the seconds from one to the next."""

    units: list[bytes]
    period_s: float


def load_clip(path: str) -> Clip:
    """Reads the access units of an H.264 file in MP4."""
    if not Path(path).is_file():
        raise SystemExit(f"rtsp-server: no clip at {path}")
    pipeline = Gst.parse_launch(
        "filesrc name=file ! qtdemux ! h264parse config-interval=-1 "
        "! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=sink sync=false"
    )
    pipeline.get_by_name("file").set_property("location", path)
    sink = pipeline.get_by_name("sink")
    pipeline.set_state(Gst.State.PLAYING)
    units: list[bytes] = []
    times: list[int] = []
    while (sample := sink.try_pull_sample(5 * Gst.SECOND)) is not None:
        buffer = sample.get_buffer()
        units.append(buffer.extract_dup(0, buffer.get_size()))
        times.append(buffer.pts)
    pipeline.set_state(Gst.State.NULL)
    if len(units) < 2:
        raise SystemExit(f"rtsp-server: {path} holds no H.264 video")
    return Clip(units, (times[-1] - times[0]) / (len(times) - 1) / Gst.SECOND)


@dataclass
class Player:
    """Feeds one client's appsrc by the wall clock."""

    source: Any
    mount: "Mount"
    clip: Clip
    loop: bool
    index: int = 0
    due_s: float = 0
    started: bool = False
    stopped: bool = False

    def on_need_data(self, _source: Any, _length: int) -> None:
        """The source runs; before, it refuses what it is given. On its streaming thread."""
        GLib.idle_add(self.start)

    def start(self) -> bool:
        if not self.started:
            self.started = True
            self.due_s = time.monotonic()
            self.feed()
        return False

    def feed(self) -> bool:
        if self.stopped:
            return False
        now = time.monotonic()
        while self.due_s <= now:
            self.due_s += self.clip.period_s
            if self.mount.frozen:
                continue
            if not self.push():
                self.stopped = True
                return False
        GLib.timeout_add(max(1, int((self.due_s - time.monotonic()) * 1000)), self.feed)
        return False

    def push(self) -> bool:
        """Sends one access unit. False when the client is gone or the clip is over."""
        if self.index >= len(self.clip.units):
            if not self.loop and self.clip is self.mount.clip:
                self.source.emit("end-of-stream")
                return False
            self.clip, self.index = self.mount.clip, 0
        unit = self.clip.units[self.index]
        self.index += 1
        return self.source.emit("push-buffer", Gst.Buffer.new_wrapped(unit)) == Gst.FlowReturn.OK

    def play(self, clip: Clip) -> None:
        self.clip, self.index = clip, 0


class Mount:
    def __init__(self, clip: Clip, loop: bool) -> None:
        self.clip = clip
        self.loop = loop
        self.frozen = False
        self.players: list[Player] = []

    def configure(self, _factory: Any, media: Any) -> None:
        source = media.get_element().get_by_name_recurse_up("source")
        player = Player(source, self, self.clip, self.loop)
        self.players.append(player)
        media.connect("unprepared", lambda _media: self.forget(player))
        source.connect("need-data", player.on_need_data)

    def forget(self, player: Player) -> None:
        player.stopped = True
        if player in self.players:
            self.players.remove(player)


def command(mounts: dict[str, Mount], line: str) -> None:
    request = json.loads(line)
    if "play" in request:
        # Beside the main loop: the cameras go on in time while a clip is read.
        threading.Thread(target=load_and_play, args=(mounts, request), daemon=True).start()
        return
    if "freeze" in request:
        mounts[request["freeze"]].frozen = True
    elif "thaw" in request:
        mounts[request["thaw"]].frozen = False
    done(request)


def load_and_play(mounts: dict[str, Mount], request: dict[str, str]) -> None:
    try:
        clip = load_clip(request["clip"])
    except SystemExit as fault:
        print(fault, file=sys.stderr, flush=True)
        # Whoever waits for an answer sees the end of this process at once.
        os._exit(1)
    GLib.idle_add(play, mounts, request, clip)


def play(mounts: dict[str, Mount], request: dict[str, str], clip: Clip) -> bool:
    for player in mounts[request["play"]].players:
        player.play(clip)
    done(request)
    return False


def done(request: dict[str, str]) -> None:
    print(json.dumps({"done": request}), flush=True)


def require_password(server: Any, factories: list[Any], user: str, password: str) -> None:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    for factory in factories:
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("viewer", "media.factory.access", True)
        permissions.add_permission_for_role("viewer", "media.factory.construct", True)
        factory.set_permissions(permissions)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--user")
    parser.add_argument(
        "--password-env",
        default="RTSP_PASSWORD",
        help="environment variable that holds the password",
    )
    parser.add_argument("--once", action="store_true")
    parser.add_argument("mounts", nargs="+", metavar="NAME=CLIP")
    args = parser.parse_args()

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(args.port))
    mounts: dict[str, Mount] = {}
    factories = []
    for entry in args.mounts:
        name, _, path = entry.partition("=")
        mounts[name] = Mount(load_clip(path), loop=not args.once)
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(FACTORY)
        factory.connect("media-configure", mounts[name].configure)
        server.get_mount_points().add_factory(f"/{name}", factory)
        factories.append(factory)
    if args.user is not None:
        require_password(server, factories, args.user, os.environ[args.password_env])
    if server.attach(None) == 0:
        raise SystemExit(f"rtsp-server: port {args.port} is taken")
    print(json.dumps({"port": server.get_bound_port()}), flush=True)

    loop = GLib.MainLoop()

    def on_stdin(channel: object, condition: object) -> bool:
        line = sys.stdin.readline() if condition & GLib.IOCondition.IN else ""
        if line == "":
            loop.quit()
            return False
        command(mounts, line)
        return True

    GLib.io_add_watch(sys.stdin, GLib.IOCondition.IN | GLib.IOCondition.HUP, on_stdin)
    loop.run()


if __name__ == "__main__":
    main()
