"""The camera driver's main loop: commands, pictures, heartbeats. What may hang is in the feed's thread."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Literal

from drivers import program
from drivers.camera_feed import Feed, Picture, Taken
from drivers.camera_trouble import Trouble, public_name, repeating
from drivers.lines import Command, Device, Health, Reading, Removed, Result
from drivers.motion import Gate, Stillness, figures, thumbnail
from drivers.program import Ears, Voice
from drivers.symbology import Code
from drivers.symbols import Cascade

UNSEEN_S = 2.0  # a hand shakes, a light flickers: gone for less is not gone
HUNG_AFTER_S = 8.0  # no call into OpenCV lasts longer by its own timeouts
WAIT_S = 0.5
SELF_TEST_PICTURES, SELF_TEST_S = 12, 5.0


class InView:
    """Codes before the camera: each is told once, until it has not been seen for UNSEEN_S."""

    def __init__(self) -> None:
        self._seen_s: dict[tuple[str, str], float] = {}

    def __bool__(self) -> bool:
        return bool(self._seen_s)

    def arrives(self, code: Code, now_s: float) -> bool:
        """Takes a sighting in; whether it is to be told: confirmed and new. What is in view stays on any sighting."""
        key = (code.symbology, code.text)
        new = key not in self._seen_s
        if code.confirmed or not new:
            self._seen_s[key] = now_s
        return code.confirmed and new

    def still(self, now_s: float) -> None:
        """Nothing moved since the last look, and that saw something: it is all still there."""
        self._seen_s = dict.fromkeys(self._seen_s, now_s)

    def leaves(self, now_s: float) -> bool:
        """Forgets what has not been seen; whether the last code has gone."""
        before = bool(self._seen_s)
        self._seen_s = {key: at for key, at in self._seen_s.items() if now_s - at < UNSEEN_S}
        return before and not self._seen_s


class Camera:
    """The main loop: commands, pictures, heartbeats. Never in a call that may hang; the feed's thread is."""

    def __init__(self, source: str, formats: Iterable[str], voice: Voice, ears: Ears) -> None:
        self._voice, self._ears = voice, ears
        self._feed = Feed(source)
        self._scope = public_name(source)
        self._cascade = Cascade(formats)
        self._gate, self._stillness = Gate(), Stillness()
        self._view = InView()
        self._saw = False  # whether the last look found a code
        self._doubted: set[str] = set()  # texts of the last look that were not believed
        self._repeats = False  # whether the camera sends one picture over and over
        self._paused = False
        self._readings = 0
        self._test: SelfTest | None = None

    def run(self) -> None:
        """Until the agent closes the pipe, or the film ends."""
        if self._cascade.missing:
            self._voice.fault("camera.decoder_missing", self._cascade.missing, "zbar")
        self._feed.start()
        while not self._ears.closed:
            commands, _ = self._ears.hear(WAIT_S, [self._feed.wake_fd])
            ended = self._feed.ended
            for command in commands:
                self._obey(command)
            if (taken := self._feed.take()) is not None:
                self._look(taken)
            self._tell()
            if ended:
                return

    def _obey(self, command: Command) -> None:
        if command.command in ("pause", "resume"):
            self._paused = command.command == "pause"
            self._voice.say(Result(id=command.id, ok=True))
        elif command.command == "self_test":
            self._test = SelfTest(command.id)
        else:
            program.refuse(self._voice, [command])

    def _look(self, taken: Taken) -> None:
        if self._test is not None:
            self._test.take(taken.picture)
        thumb, now_s = thumbnail(taken.picture), time.monotonic()
        repeats, before = self._stillness.stopped(thumb), self._repeats
        self._repeats = repeats
        if repeats and not before:
            self._feed.reopen()
        if self._paused:
            return
        if self._gate.opens(thumb, taken.frames):
            moving = self._gate.moving
            self._told(self._cascade.frame(taken.picture, rescues=moving or self._saw), now_s)
        elif self._saw:
            self._view.still(now_s)
        self._feed.hurry(self._gate.moving)

    def _told(self, codes: list[Code], now_s: float) -> None:
        self._saw = bool(codes)
        doubted = {code.text for code in codes if not code.confirmed}
        if doubted - self._doubted:
            self._gate.linger()
        self._doubted = doubted
        for code in codes:
            if self._view.arrives(code, now_s):
                self._readings += 1
                elapsed_ms = {"decode": round((time.monotonic() - now_s) * 1000, 1)}
                self._voice.say(
                    Reading(
                        kind="code",
                        scope=self._scope,
                        symbology=code.symbology,
                        text=code.text,
                        stage=code.stage,
                        confirmed=True,
                        elapsed_ms=elapsed_ms,
                    )
                )

    def _tell(self) -> None:
        """Everything that is said without a code: leaving, faults, results, and the heartbeat unless the feed hangs."""
        if self._view.leaves(time.monotonic()):
            self._voice.say(Removed(scope=self._scope))
        trouble = self._trouble()
        if trouble is not None:
            self._voice.over(trouble.text, scope=self._scope, but=trouble.code)
            self._voice.fault(trouble.code, trouble.text, self._scope)
        elif self._feed.opened:
            self._voice.over(f"{self._scope} sends pictures again", scope=self._scope)
        if self._test is not None and (result := self._test.result(self._feed)) is not None:
            self._voice.say(result)
            self._test = None
        if self._feed.stuck_s() < HUNG_AFTER_S:
            self._voice.beat(self._health())

    def _trouble(self) -> Trouble | None:
        return self._feed.trouble or (repeating(self._feed.source) if self._repeats else None)

    def _health(self) -> Health:
        trouble = self._trouble()
        state: Literal["ready", "searching", "paused"] = "paused" if self._paused else "ready"
        if trouble is not None or not self._feed.opened or self._feed.ended:
            state = "searching"
        return Health(
            state=state,
            code=trouble.code if trouble else None,
            text="the film has been played" if self._feed.ended else trouble.text if trouble else None,
            devices=[Device(scope=self._scope, state=state, card=bool(self._view))],
            counts={"readings": self._readings, "reconnects": max(0, self._feed.opened - 1)},
        )


class SelfTest:
    """Figures of the next SELF_TEST_PICTURES pictures."""

    def __init__(self, command_id: int) -> None:
        self._id = command_id
        self._until_s = time.monotonic() + SELF_TEST_S
        self._figures: list[dict[str, float]] = []

    def take(self, picture: Picture) -> None:
        self._figures.append(figures(picture))

    def result(self, feed: Feed) -> Result | None:
        """The answer, once there is one."""
        if len(self._figures) >= SELF_TEST_PICTURES:
            data: dict[str, object] = {**self._figures[-1], "frames_per_s": round(feed.frame_rate, 1)}
            return Result(id=self._id, ok=True, text=None, data=data)
        if feed.trouble is None and time.monotonic() < self._until_s:
            return None
        return Result(id=self._id, ok=False, text=feed.trouble.text if feed.trouble else "no pictures came")
