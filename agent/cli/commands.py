"""All commands of `holdfast`, gathered."""

from agent.cli import diagnosing, looking, operating, terminal
from agent.cli.common import app

__all__ = ["app", "diagnosing", "looking", "operating", "terminal"]
