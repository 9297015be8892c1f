"""A part that a machine lacks skips a test at home and fails it in CI, where everything must be there."""

from __future__ import annotations

import os

import pytest


def need(condition: object, what: str) -> None:
    """Goes on when `condition` holds; else skips, or fails where the environment says CI=true."""
    if condition:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing here, and CI must have it: {what}")
    pytest.skip(f"missing here: {what}", allow_module_level=True)
