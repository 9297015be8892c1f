"""The gate before the engines, and the suspicion of a camera that repeats itself."""

from __future__ import annotations

from drivers.motion import IDLE_EVERY_FRAMES, LINGER_FRAMES, NOISY_PICTURES, SAME_PICTURES, Gate, Stillness, thumbnail
from tests.rigs.pictures import code, counter


def idle(gate: Gate) -> None:
    for seed in range(LINGER_FRAMES + 2):
        gate.opens(thumbnail(counter(seed=seed)))


def test_the_first_picture_and_all_soon_after_a_movement_are_looked_at() -> None:
    gate = Gate()
    assert all(gate.opens(thumbnail(counter(seed=seed))) for seed in range(LINGER_FRAMES))


def test_noise_is_no_movement_and_every_fifteenth_frame_is_looked_at_all_the_same() -> None:
    gate = Gate()
    idle(gate)
    looked = [gate.opens(thumbnail(counter(seed=seed))) for seed in range(1000, 1000 + 4 * IDLE_EVERY_FRAMES)]
    assert sum(looked) == 4


def test_a_small_code_laid_on_the_counter_opens_the_gate() -> None:
    gate = Gate()
    idle(gate)
    assert not gate.opens(thumbnail(counter(seed=5)))
    assert gate.opens(thumbnail(counter(code("QRCode", "x", 60), seed=6)))
    assert gate.moving


def test_frames_that_were_skipped_count_as_well() -> None:
    gate = Gate()
    idle(gate)
    looked = [gate.opens(thumbnail(counter(seed=seed)), frames=3) for seed in range(10)]
    assert sum(looked) == 2


def test_a_noisy_camera_that_sends_one_picture_over_and_over_has_stopped() -> None:
    stillness = Stillness()
    assert not any(stillness.stopped(thumbnail(counter(seed=seed))) for seed in range(NOISY_PICTURES + 1))
    same = thumbnail(counter(seed=0))
    assert [stillness.stopped(same) for _ in range(SAME_PICTURES + 2)].index(True) >= SAME_PICTURES - 1
    assert not stillness.stopped(thumbnail(counter(seed=1)))


def test_a_source_without_noise_is_never_suspected() -> None:
    stillness = Stillness()
    drawn = thumbnail(counter(seed=0))
    assert not any(stillness.stopped(drawn) for _ in range(3 * SAME_PICTURES))
