"""A network camera: MJPEG over HTTP (multipart/x-mixed-replace) on a port of its own, with the faults of real ones."""

from __future__ import annotations

import http.server
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal

Mode = Literal["run", "freeze", "unplug", "garbage", "busy", "forbidden"]

REFUSALS = {"busy": 503, "forbidden": 401}


class MjpegCamera:
    """A context manager. `mode` may be set at any time:

    run: sends `frames` in turn; freeze: keeps the line open and sends nothing; unplug: closes it, and refuses new ones;
    garbage: what it sends has a JPEG's beginning and no more; busy, forbidden: answers 503, 401 and closes.
    """

    def __init__(self, frames: Sequence[bytes], frames_per_s: float = 30) -> None:
        self.frames = list(frames)
        self.mode: Mode = "run"
        self._interval_s = 1 / frames_per_s
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/video.mjpg"

    def show(self, *frames: bytes) -> None:
        self.frames = list(frames)

    def stream(self, send: Callable[[bytes], object]) -> None:
        """Sends parts at the camera's pace until it is unplugged."""
        sent, due_s = 0, time.monotonic()
        while self.mode not in ("unplug", *REFUSALS):
            due_s = max(due_s + self._interval_s, time.monotonic() - 1)
            time.sleep(max(0.0, due_s - time.monotonic()))
            if self.mode == "freeze":
                continue
            frames = self.frames
            frame = frames[sent % len(frames)] if self.mode == "run" else b"\xff\xd8" + os.urandom(500)
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(frame)}\r\n\r\n"
            send(head.encode() + frame + b"\r\n")
            sent += 1

    def __enter__(self) -> MjpegCamera:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.mode = "unplug"
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(camera: MjpegCamera) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.close_connection = True
            if camera.mode == "unplug":
                return
            self.send_response(REFUSALS.get(camera.mode, 200))
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                camera.stream(self.wfile.write)
            except OSError:
                pass  # the viewer has gone

    return Handler
