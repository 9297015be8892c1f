"""The camera driver on a USB camera: OpenCV's real V4L2 back end over a device node that a preloaded library plays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from drivers.lines import Fault, Removed
from tests.rigs.driver_child import DriverChild
from tests.rigs.pictures import code, counter
from tests.rigs.v4l2 import NODE, Mode, UsbCamera


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> UsbCamera:
    return UsbCamera(tmp_path_factory.mktemp("usb-camera"))


@pytest.fixture
def driver(camera: UsbCamera) -> Iterator[DriverChild]:
    camera.show(counter())
    camera.set("run")
    with DriverChild("camera", {"source": 0}, env=camera.environment) as driver:
        driver.ready()
        yield driver


def test_a_code_is_read_and_leaves(camera: UsbCamera, driver: DriverChild) -> None:
    camera.show(counter(code("QRCode", "by USB")))
    assert driver.reading().text == "by USB"
    camera.show(counter())
    assert driver.wait_for(Removed).scope == NODE


@pytest.mark.parametrize(("mode", "finding"), [("unplug", "camera.absent"), ("freeze", "camera.frozen")])
def test_it_notices_that_the_camera_went_and_reads_on_when_it_is_back(
    camera: UsbCamera, driver: DriverChild, mode: Mode, finding: str
) -> None:
    camera.set(mode)
    assert driver.fault(finding).scope == NODE
    camera.set("run")
    driver.ready()
    camera.show(counter(code("QRCode", "back again")))
    assert driver.reading().text == "back again"
    assert any(isinstance(said, Fault) and said.over for said in driver.rest())


@pytest.mark.parametrize(
    ("mode", "finding"),
    [("unplug", "camera.absent"), ("busy", "camera.busy"), ("permission", "reader.not_permitted")],
)
def test_it_says_why_a_camera_does_not_open_and_waits(camera: UsbCamera, mode: Mode, finding: str) -> None:
    camera.show(counter())
    camera.set(mode)
    with DriverChild("camera", {"source": NODE}, env=camera.environment) as driver:
        assert NODE in driver.fault(finding).text
        camera.set("run")
        driver.ready()
        assert any(isinstance(said, Fault) and said.over for said in driver.said)
