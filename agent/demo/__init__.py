"""`holdfast demo`: a centre and a terminal on this machine, as real processes, with a line that can be cut."""

from agent.demo.run import run

__all__ = ["run"]
