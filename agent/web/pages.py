"""The cashier page: a document, a script, a sheet and its words, read once and served under a strict policy."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litestar import Request, Response, get
from litestar.datastructures import Cookie
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

SESSION_COOKIE = "holdfast_session"
LANGUAGES = ("en", "fr", "it")
HERE = Path(__file__).parent
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
NARROW_SPACE = "\u202f"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One file as it goes out. `tag` is the entity tag of RFC 9110, clause 8.8.3."""

    content: bytes
    media_type: str
    tag: str


def page(content: bytes, suffix: str) -> Page:
    """A page for these bytes; `suffix` (".css") says what they are. Raises KeyError for a kind never served."""
    return Page(content=content, media_type=TYPES[suffix], tag=f'"{hashlib.sha256(content).hexdigest()[:20]}"')


def folder(path: Path) -> dict[str, Page]:
    """Every file of a folder by name."""
    return {file.name: page(file.read_bytes(), file.suffix) for file in sorted(path.iterdir()) if file.is_file()}


def words(source: Path = HERE / "words_page.toml") -> dict[str, dict[str, str]]:
    """The page's words: language -> key -> text. Raises KeyError where a language misses a key."""
    table = tomllib.loads(source.read_text(encoding="utf-8"))
    by_language = {language: {key: said[language] for key, said in table.items()} for language in LANGUAGES}
    by_language["fr"] = {key: french(text) for key, text in by_language["fr"].items()}
    return by_language


def french(text: str) -> str:
    """French puts a narrow space that never breaks before ; : ! ? » and after «."""
    return re.sub("« ", f"«{NARROW_SPACE}", re.sub(r" ([;:!?»])", rf"{NARROW_SPACE}\1", text))


def policy(embed_from: Sequence[str] = (), frames: Sequence[str] = ()) -> str:
    """A Content-Security-Policy for pages of ours: own files only, nothing inline.

    `embed_from` are the origins that may show the page in a frame, `frames` those whose pages it shows in one.
    """
    parts = ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"]
    parts += ["img-src 'self' data:", "base-uri 'none'", "form-action 'none'"]
    parts += [f"frame-src {' '.join(frames)}"] if frames else []
    parts += ["frame-ancestors " + (" ".join(embed_from) or "'none'")]
    return "; ".join(parts)


def headers(csp: str) -> dict[str, str]:
    """What every page of ours says to the browser about itself."""
    return {
        "Content-Security-Policy": csp,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }


def answer(found: Page, asked: Mapping[str, str], said: Mapping[str, str]) -> Response[bytes]:
    """The page, or 304 without a body when the browser (its request's headers: `asked`) holds this very one."""
    sent = {**said, "ETag": found.tag}
    if asked.get("if-none-match") == found.tag:
        return Response(b"", status_code=304, headers=sent, media_type=found.media_type)
    return Response(found.content, headers=sent, media_type=found.media_type)


def routes() -> list[HTTPRouteHandler]:
    """The handlers of GET / and GET /static/{name}.

    They read `app.state.sessions` (`new() -> str`) and `app.state.embed_from` (origins, list[str]).
    """
    files = folder(HERE / "static")
    till = files.pop("till.html")
    files["words.json"] = page(json.dumps(words(), ensure_ascii=False).encode(), ".json")

    @get("/", sync_to_thread=False)
    def document(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The page itself. Each load opens a session; the cookie is for this origin's own requests only."""
        said = {**headers(policy(request.app.state.embed_from)), "Cache-Control": "no-store"}
        cookie = Cookie(
            key=SESSION_COOKIE, value=request.app.state.sessions.new(), path="/", httponly=True, samesite="strict"
        )
        return Response(till.content, headers=said, media_type=till.media_type, cookies=[cookie])

    @get("/static/{name:str}", sync_to_thread=False)
    def static(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
        """A file of the page."""
        if name not in files:
            raise NotFoundException(detail="The page has no such file.")
        return answer(files[name], request.headers, headers(policy(request.app.state.embed_from)))

    return [document, static]
