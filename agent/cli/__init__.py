"""`holdfast`: the terminal's commands. Each speaks to the running agent, or does the work itself under the same lock.

Exit codes: 0 fine, 1 a finding or a refused operation, 2 wrong usage, 3 the agent or the centre cannot be reached.
"""

from agent.cli import diagnosing, looking, operating, terminal
from agent.cli.common import app

__all__ = ["app", "diagnosing", "looking", "main", "operating", "terminal"]


def main() -> None:
    """Entry point."""
    app()
