"""When to try again: full-jitter exponential back-off by tenacity's wait strategy, Retry-After honoured."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tenacity import RetryCallState, Retrying, wait_random_exponential

FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 300.0
IDENTITY_WAIT_S = 600.0  # asking again does not mend a refusal; a human does
SPREAD = 0.1

_backoff = wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S)
_calls = Retrying()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an exchange did not happen. Whatever the class, everything is kept.

    kind: line (also every answer that the centre did not sign), busy, identity, contract, body.
    """

    kind: str
    text: str
    retry_after_s: float | None = None
    code: str | None = None


def wait_s(failure: Failure, attempt: int) -> float:
    """Seconds until the next try after `attempt` failures in a row (1 or more)."""
    if failure.kind == "identity":
        return IDENTITY_WAIT_S * (1 + random.random() * SPREAD)
    call = RetryCallState(_calls, None, (), {})
    call.attempt_number = min(attempt, 64)
    jittered: float = _backoff(call)
    if failure.retry_after_s is not None:
        return failure.retry_after_s * (1 + random.random() * SPREAD) + min(jittered, FIRST_WAIT_S)
    return jittered


def interval_s(interval: float) -> float:
    """The regular pause between exchanges, spread so that a fleet does not knock all at once."""
    return interval * (1 + (random.random() - 0.5) * 2 * SPREAD)
