"""One examination: gather, judge, combine."""

from __future__ import annotations

import time

from agent.diagnosis.checks import judge
from agent.diagnosis.combine import combine
from agent.diagnosis.gather import gather
from agent.diagnosis.gather_line import VerifyHello
from agent.diagnosis.model import Report
from agent.diagnosis.situation import Situation


def examine(situation: Situation, verify_hello: VerifyHello, quick: bool = False) -> Report:
    """Blocks for as long as the slowest fact takes, at most 10 s; `quick` leaves the line out. Never raises."""
    began = time.monotonic()
    facts = gather(situation, verify_hello, quick=quick)
    return combine(judge(facts), took_s=time.monotonic() - began)
