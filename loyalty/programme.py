"""A programme's document, read and ready: `parse` for the TOML that the centre signs, `from_document` for JSON."""

from collections.abc import Iterable, Mapping
from typing import Any

from loyalty.check import check, table_of
from loyalty.compiling import compiled
from loyalty.mistakes import Mistake, ProgrammeError
from loyalty.terms import Programme

__all__ = ["Mistake", "Programme", "ProgrammeError", "from_document", "parse"]


def parse(data: bytes, *, loaded: Iterable[Mapping[str, Any]] = ()) -> Programme:
    """The programme of a TOML document; `loaded` are the documents that were loaded before it, in order.

    Raises ProgrammeError with all its errors; warnings are `check`'s to say.
    """
    errors = [mistake for mistake in check(data, loaded=loaded) if not mistake.warning]
    if errors:
        raise ProgrammeError(errors)
    return compiled(table_of(data))


def from_document(document: Mapping[str, Any]) -> Programme:
    """The programme of a document in its JSON form, dates being ISO text. It is read, not checked.

    Raises ProgrammeError where it cannot even be read.
    """
    try:
        return compiled(document)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        text = f"the document cannot be read: {error!r}"
        cure = "check the document with holdfast-server programme check"
        raise ProgrammeError([Mistake(line=0, code="document.type", text=text, cure=cure)]) from error
