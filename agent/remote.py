"""The command line's way to a running agent: the local API over its socket. Without one see `agent.alone`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from agent.config import Config

TIMEOUT_S = 650.0


class AnswerError(Exception):
    """A refusal of the agent, as RFC 9457: `problem` holds it."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail", ""))
        self.problem = problem


class Remote:
    """A running agent."""

    def __init__(self, socket: str, language: str) -> None:
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=socket),
            base_url="http://agent/api/v1",
            headers={"Accept-Language": language},
            timeout=TIMEOUT_S,
        )

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        """A question; raises AnswerError."""
        return _read(self._http.get(path, params=params))

    def post(self, path: str, body: dict[str, Any] | None = None, key: str | None = None) -> Any:
        """An operation; raises AnswerError."""
        headers = {"Idempotency-Key": key} if key else {}
        return _read(self._http.post(path, json=body or {}, headers=headers))

    def stream(self) -> Iterator[str]:
        """Lines of the agent's server-sent events."""
        with self._http.stream("GET", "/stream", timeout=None) as response:
            yield from response.iter_lines()


def _read(response: httpx.Response) -> Any:
    if response.status_code >= 400:
        try:
            raise AnswerError(response.json())
        except ValueError as error:
            raise AnswerError({"code": "agent.answer", "detail": f"HTTP {response.status_code}"}) from error
    return response.json()


@contextmanager
def running(config: Config) -> Iterator[Remote | None]:
    """The agent, if one answers on its socket."""
    if not Path(config.till.socket).exists():
        yield None
        return
    remote = Remote(config.till.socket, config.terminal.language)
    try:
        yield remote if _answers(remote) else None
    finally:
        remote.close()


def _answers(remote: Remote) -> bool:
    try:
        remote.get("/status")
    except (httpx.TransportError, AnswerError):
        return False
    return True
