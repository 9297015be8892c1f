"""What is wrong with a document: told all at once, each with its line and its cure."""

from msgspec import Struct


class Mistake(Struct, frozen=True, kw_only=True):
    """One mistake. `line` counts from 1 (0: the document as a whole); a warning does not refuse the document."""

    line: int
    code: str
    text: str
    cure: str
    warning: bool = False


class ProgrammeError(Exception):
    """The document was not loaded; the programme in force stays in force. Correct the mistakes and load it again."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        said = "; ".join(f"line {m.line}: {m.code}: {m.text}" for m in mistakes)
        super().__init__(f"the programme was not loaded: {said}")
