"""Codes drawn, bent, blurred and lit, read by the real engines."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from drivers.symbols import Cascade, Code, decode_still
from tests.rigs import pictures
from tests.rigs.pictures import Picture, bent, blurred, code, counter, creased, lamp, noisy, turned

TEXTS = {
    "QRCode": "HF1:8K2M-77QX-1",
    "Aztec": "HF1:8K2M-77QX-1",
    "DataMatrix": "HF1:8K2M-77QX-1",
    "PDF417": "HF1:8K2M-77QX-1",
    "EAN13": "4006381333931",
    "EAN8": "96385074",
    "UPCA": "882428015268",
    "UPCE": "04965802",
    "Code128": "HF-8K2M-77QX",
    "ITF": "30712345000010",
    "Code39": "HF8K2M77",
    "Codabar": "A4015623B",
}

WAYS: dict[str, Callable[[Picture], Picture]] = {
    "straight": lambda scene: scene,
    "upside down": lambda scene: np.ascontiguousarray(scene[::-1, ::-1]),
    "tilted": lambda scene: turned(scene, 12),
    "bent": lambda scene: bent(scene, 12),
    "soft": lambda scene: noisy(blurred(scene, 1.0), 3),
    "under a lamp": lamp,
    "in the dark": lambda scene: noisy(np.asarray(scene * 0.15, np.uint8), 2),
}


def found(scene: Picture) -> list[tuple[str, str]]:
    return [(read.symbology, read.text) for read in decode_still(scene)]


def rescued(scene: Picture) -> Code:
    """The first code of a scene that zxing alone does not read."""
    cascade = Cascade(["EAN13", "QRCode"])
    assert cascade.engines.zxing.read(scene) == [], "the scene is too easy to test a rescue"
    return cascade.still(scene)[0]


HELD = [(name, way) for name in TEXTS for way in WAYS if (name, way) != ("PDF417", "tilted")]  # its rows are 3 px high


@pytest.mark.parametrize(("symbology", "way"), HELD)
def test_a_code_is_read_however_it_is_held(symbology: str, way: str) -> None:
    scene = WAYS[way](counter(code(symbology, TEXTS[symbology], 300), at=(170, 120)))
    assert (symbology, TEXTS[symbology]) in found(scene)


@pytest.mark.parametrize("symbology", TEXTS)
def test_a_clear_code_is_confirmed(symbology: str) -> None:
    read = decode_still(counter(code(symbology, TEXTS[symbology], 380), at=(130, 60)))
    assert [(c.symbology, c.text, c.confirmed) for c in read] == [(symbology, TEXTS[symbology], True)]


def test_an_ean_out_of_focus_is_read_by_comparing_drawings_but_not_believed() -> None:
    read = rescued(noisy(blurred(counter(code("EAN13", TEXTS["EAN13"], 380), at=(130, 120)), 4.2), 1))
    assert (read.text, read.stage, read.confirmed) == (TEXTS["EAN13"], "drawn", False)


def test_a_soft_qr_code_seen_from_the_side_is_read() -> None:
    flat = code("QRCode", TEXTS["QRCode"], 200)
    narrow = np.asarray(cv2.resize(flat, (88, flat.shape[0]), interpolation=cv2.INTER_AREA), np.uint8)
    assert rescued(blurred(counter(narrow, at=(300, 120)), 1.0)).text == TEXTS["QRCode"]


def test_a_qr_code_on_cloth_is_ironed_and_read() -> None:
    symbol = code("QRCode", "https://holdfast.example/c/8K2M77QX", 300)
    read = rescued(creased(counter(symbol, at=(150, 80)), depth_px=4, width_px=200))
    assert (read.text, read.stage) == ("https://holdfast.example/c/8K2M77QX", "zxing-ironed")


def test_bright_spots_on_a_qr_code_spoil_only_themselves() -> None:
    scene = np.asarray(counter(code("QRCode", TEXTS["QRCode"], 220)) * 0.25, np.uint8)
    for x, y in ((225, 150), (300, 200), (340, 260), (260, 270)):
        cv2.circle(scene, (x, y), 7, (255.0,), -1)
    assert ("QRCode", TEXTS["QRCode"]) in found(scene)


def test_an_empty_noisy_counter_has_no_code() -> None:
    assert decode_still(noisy(counter(), 12)) == []


def test_two_codes_in_one_picture_are_both_read() -> None:
    scene = counter(code("QRCode", "left", 200), at=(20, 100))
    scene[100:300, 400:600] = cv2.resize(code("QRCode", "right", 200), (200, 200))
    assert sorted(text for _, text in found(scene)) == ["left", "right"]


def test_formats_that_are_switched_off_are_not_told() -> None:
    scene = counter(code("UPCA", TEXTS["UPCA"], 300))
    assert decode_still(scene, ["EAN13"]) == []
    assert [c.symbology for c in decode_still(scene, ["UPCA"])] == ["UPCA"]


def test_a_large_colour_picture_is_read_as_well() -> None:
    large = cv2.resize(counter(code("QRCode", "large")), None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
    assert found(np.asarray(cv2.cvtColor(large, cv2.COLOR_GRAY2BGR), np.uint8)) == [("QRCode", "large")]


def test_a_video_spends_one_rescue_a_frame_until_one_reads_and_stays_with_it() -> None:
    cascade = Cascade(["EAN13"])
    scene = noisy(blurred(counter(code("EAN13", TEXTS["EAN13"], 380), at=(130, 120)), 4.2), 1)
    first = next(codes for _ in range(20) if (codes := cascade.frame(scene)))
    again = cascade.frame(scene)
    assert (first[0].stage, again[0].stage) == ("drawn", "drawn")
    assert (first[0].confirmed, again[0].confirmed) == (False, True)


def test_the_command_prints_one_object_for_each_file_and_names_what_is_no_picture(tmp_path: Path) -> None:
    good, bad, gone = tmp_path / "good.png", tmp_path / "bad.png", tmp_path / "gone.png"
    cv2.imwrite(str(good), counter(code("EAN13", TEXTS["EAN13"], 300)))
    bad.write_text("not a picture")
    command = [sys.executable, "-P", "-m", "drivers", "camera", "--decode", str(good), str(bad), str(gone)]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=60)
    read, unreadable, absent = (json.loads(line) for line in ended.stdout.splitlines())
    stage = {"symbology": "EAN13", "text": TEXTS["EAN13"], "stage": "zxing", "confirmed": True}
    assert (read["file"], read["codes"]) == (str(good), [stage])
    assert read["elapsed_ms"] > 0
    assert (unreadable["code"], absent["code"]) == ("picture.unreadable", "picture.absent")
    assert ended.returncode == 1
    assert ended.stderr == b""


def test_pictures_of_the_rig_are_what_the_camera_tests_rely_on() -> None:
    frame = cv2.imdecode(np.frombuffer(pictures.jpeg(counter(code("QRCode", "x"))), np.uint8), cv2.IMREAD_COLOR)
    assert frame is not None and frame.shape == (480, 640, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (2000, 2), (3, 3), (40, 3000)])
def test_a_picture_of_any_shape_has_an_answer(size: tuple[int, int]) -> None:
    for picture in (np.zeros(size, np.uint8), np.random.default_rng(0).integers(0, 256, size, np.uint8)):
        assert decode_still(picture) == []
