"""The camera driver as the agent runs it: a child process, real OpenCV, a real stream of pictures over HTTP."""

from __future__ import annotations

import os
import queue
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from drivers.lines import Command, Fault, Health, Hello, Reading, Removed, Result
from tests.rigs.driver_child import DriverChild
from tests.rigs.mjpeg import MjpegCamera, Mode
from tests.rigs.pictures import code, counter, jpeg, jpegs

EMPTY = jpegs()
CARD = jpegs(code("QRCode", "HF1:8K2M-77QX-1"))
EAN = "4006381333931"


@pytest.fixture
def camera() -> Iterator[MjpegCamera]:
    with MjpegCamera(EMPTY) as camera:
        yield camera


@pytest.fixture
def driver(camera: MjpegCamera) -> Iterator[DriverChild]:
    with DriverChild("camera", {"source": camera.url}) as driver:
        driver.ready()
        yield driver


def blocked(module: str, folder: Path) -> dict[str, str]:
    """An environment in which `module` cannot be imported, as when its shared library is missing."""
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            raise ImportError('Unable to find shared library')\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    return {"PYTHONPATH": str(folder)}


def test_it_says_hello_first_and_is_ready_with_the_first_picture(camera: MjpegCamera) -> None:
    with DriverChild("camera", {"source": camera.url}) as driver:
        driver.ready()
        assert driver.said[0] == Hello(driver="camera", capabilities=["pause", "self_test"])
        assert [h.state for h in driver.said if isinstance(h, Health)][-1] == "ready"


def test_a_code_held_before_it_is_one_reading_until_it_has_gone(camera: MjpegCamera, driver: DriverChild) -> None:
    for _ in range(2):
        camera.show(*CARD)
        reading = driver.reading()
        assert (reading.kind, reading.symbology, reading.text) == ("code", "QRCode", "HF1:8K2M-77QX-1")
        assert (reading.stage, reading.confirmed, reading.scope) == ("zxing", True, camera.url)
        assert driver.wait_for(Health, lambda health: health.counts.get("readings", 0) > 0).devices[0].card
        camera.show(*EMPTY)
        driver.wait_for(Removed)
    assert sum(isinstance(said, Reading) for said in driver.rest()) == 2


def test_a_linear_code_is_read(camera: MjpegCamera, driver: DriverChild) -> None:
    camera.show(*jpegs(code("EAN13", EAN, 300)))
    assert (reading := driver.reading()).text == EAN
    assert reading.symbology == "EAN13"


def test_formats_that_are_not_switched_on_are_not_read(camera: MjpegCamera) -> None:
    both = counter(code("DataMatrix", "matrix", 150), at=(40, 100))
    symbol = code("QRCode", "square", 200)
    both[100 : 100 + symbol.shape[0], 380:580] = symbol
    camera.show(jpeg(both))
    with DriverChild("camera", {"source": camera.url, "formats": ["DataMatrix"]}) as driver:
        assert driver.reading().text == "matrix"
        driver.tell(Command(command="self_test", id=1))
        driver.wait_for(Result)
        assert [said.text for said in driver.rest() if isinstance(said, Reading)] == ["matrix"]


def test_four_kilobytes_of_a_stranger_are_delivered_whole(camera: MjpegCamera, driver: DriverChild) -> None:
    text = "HTTPS://EXAMPLE.COM/" + "0123456789ABCDEF" * 254
    large = np.full((960, 1280), 120, np.uint8)
    symbol = code("QRCode", text, 820)
    large[60 : 60 + symbol.shape[0], 200:1020] = symbol
    camera.show(jpeg(large, 90))
    reading = driver.reading()
    assert len(text) > 4000
    assert reading.text == text


@pytest.mark.parametrize(
    ("mode", "finding"),
    [
        ("unplug", "camera.absent"),
        ("freeze", "camera.frozen"),
        ("busy", "camera.busy"),
        ("forbidden", "camera.refused"),
        ("garbage", "camera.refused"),
    ],
)
def test_it_says_what_is_wrong_with_the_camera_and_comes_back_by_itself(
    camera: MjpegCamera, driver: DriverChild, mode: Mode, finding: str
) -> None:
    camera.mode = mode
    fault = driver.fault(finding)
    assert fault.scope == camera.url
    assert driver.wait_for(Health, lambda health: health.code == finding).state == "searching"
    camera.mode = "run"
    driver.ready()
    camera.show(*CARD)
    assert driver.reading().text == "HF1:8K2M-77QX-1"
    faults = [said for said in driver.rest() if isinstance(said, Fault)]
    assert sum(fault.over for fault in faults) * 2 == len(faults), "every fault has its end, each said once"


def test_a_camera_that_sends_one_picture_over_and_over_is_noticed_and_opened_again() -> None:
    with MjpegCamera(EMPTY, frames_per_s=150) as camera, DriverChild("camera", {"source": camera.url}) as driver:
        driver.ready()
        time.sleep(1.5)  # long enough to learn that this camera has noise
        camera.show(EMPTY[0])
        assert "over and over" in driver.fault("camera.frozen").text
        camera.show(*EMPTY)
        driver.fault("camera.frozen", over=True)
        assert driver.ready().counts["reconnects"] == 1


def test_a_camera_that_is_not_there_yet_is_waited_for() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://tester:secret@127.0.0.1:{free.getsockname()[1]}/video.mjpg"
    with DriverChild("camera", {"source": url}) as driver:
        fault = driver.fault("camera.absent")
        assert "refused" in fault.text.lower()
        assert not any("secret" in str(said) for said in driver.rest())


def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    with DriverChild("camera", {"source": "/dev/video-none"}) as driver:
        assert "/dev/video-none" in driver.fault("camera.absent").text


def test_a_paused_camera_reads_nothing_and_resumes(camera: MjpegCamera, driver: DriverChild) -> None:
    driver.tell(Command(command="pause", id=1))
    driver.wait_for(Health, lambda health: health.state == "paused")
    camera.show(*CARD)
    driver.tell(Command(command="self_test", id=2))
    assert driver.wait_for(Result, lambda result: result.id == 2).ok
    assert not any(isinstance(said, Reading) for said in driver.rest())
    driver.tell(Command(command="resume", id=3))
    assert driver.reading().text == "HF1:8K2M-77QX-1"


def test_the_self_test_gives_the_figures_of_the_picture(camera: MjpegCamera, driver: DriverChild) -> None:
    driver.tell(Command(command="self_test", id=7))
    result = driver.wait_for(Result)
    assert (result.id, result.ok) == (7, True)
    assert (result.data["width_px"], result.data["height_px"]) == (640, 480)
    assert 110 < float(str(result.data["brightness"])) < 130
    assert float(str(result.data["frames_per_s"])) > 1


def test_the_self_test_of_a_camera_without_pictures_says_why(camera: MjpegCamera, driver: DriverChild) -> None:
    camera.mode = "unplug"
    driver.fault("camera.absent")
    driver.tell(Command(command="self_test", id=7))
    result = driver.wait_for(Result)
    assert not result.ok
    assert "is not there" in str(result.text)


def test_a_command_that_a_camera_lacks_is_refused(driver: DriverChild) -> None:
    driver.tell(Command(command="beep", id=9, pattern="yes"))
    assert not driver.wait_for(Result).ok


@pytest.mark.parametrize("mode", ["run", "freeze"])
def test_it_stops_when_told_whatever_the_camera_does(camera: MjpegCamera, driver: DriverChild, mode: Mode) -> None:
    camera.mode = mode
    time.sleep(0.2)
    driver.tell(Command(command="stop"))
    assert driver.process.wait(10) == 0


def test_a_film_is_played_once_and_the_driver_ends(tmp_path: Path) -> None:
    film = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 15, (640, 480))
    for seed in range(20):
        writer.write(cv2.cvtColor(counter(code("QRCode", "in a film"), seed), cv2.COLOR_GRAY2BGR))
    writer.release()
    with DriverChild("camera", {"source": str(film)}) as driver:
        assert driver.reading().text == "in a film"
        played = driver.wait_for(Health, lambda health: health.text == "the film has been played")
        assert played.state == "searching"
        assert driver.process.wait(10) == 0


def test_wrong_options_are_named(camera: MjpegCamera) -> None:
    driver = DriverChild("camera", {"source": camera.url, "formats": ["QRKode"]})
    assert "QRKode" in driver.fault("config.reader_options").text
    assert driver.end() == 2


def test_without_zbar_it_warns_once_and_reads_on(camera: MjpegCamera, tmp_path: Path) -> None:
    camera.show(*CARD)
    with DriverChild("camera", {"source": camera.url}, env=blocked("pyzbar.pyzbar", tmp_path)) as driver:
        assert "libzbar0" in driver.fault("camera.decoder_missing").text
        assert driver.reading().text == "HF1:8K2M-77QX-1"
        camera.show(*jpegs(code("EAN13", EAN, 300)))
        assert driver.reading().text == EAN
        warnings = [s for s in driver.rest() if isinstance(s, Fault) and s.code == "camera.decoder_missing"]
        assert len(warnings) == 1
        assert driver.ready().code is None


def test_without_opencv_it_says_the_cure_and_gives_up(tmp_path: Path) -> None:
    driver = DriverChild("camera", {"source": 0}, env=blocked("cv2", tmp_path))
    assert "opencv-python-headless" in driver.fault("reader.library_missing").text
    assert driver.wait_for(Health).state == "faulty"
    assert driver.end() == 3


@pytest.mark.slow
def test_a_source_that_hangs_silences_the_heart_so_that_the_agent_can_tell(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "camera.avi")  # opening it waits for a writer for ever
    driver = DriverChild("camera", {"source": str(tmp_path / "camera.avi")})
    try:
        driver.wait_for(Health)
        with pytest.raises(queue.Empty):
            for _ in range(20):
                driver._queue.get(timeout=4)
    finally:
        driver.process.kill()
        driver.end()
