"""Where each key of a TOML source stands: a light scan beside the parser, which gives no lines.

The source is known to be TOML, so the scan only has to tell headers, keys and values apart. Keys inside inline
tables and items inside arrays stand where their own key does.
"""

import tomllib

Path = tuple[str | int, ...]


class TomlLines:
    """Lines of a source, counted from 1."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._line = 1
        self._lines: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}
        self._table: Path = ()
        self._scan()

    def of(self, path: Path) -> int:
        """The line of a key, or of the nearest table above it that has one; 0 of the document as a whole."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._lines:
                return self._lines[path[:length]]
        return 0

    def _scan(self) -> None:
        while self._at < len(self._source):
            character = self._source[self._at]
            if character in " \t\r\n":
                self._skip()
            elif character == "#":
                self._to_end_of_line()
            elif character == "[":
                self._header()
            else:
                self._pair()

    def _skip(self) -> None:
        if self._source[self._at] == "\n":
            self._line += 1
        self._at += 1

    def _to_end_of_line(self) -> None:
        end = self._source.find("\n", self._at)
        self._at = len(self._source) if end < 0 else end

    def _header(self) -> None:
        is_list = self._source.startswith("[[", self._at)
        start = self._at + (2 if is_list else 1)
        self._at = start
        self._pass_until("]")
        path = self._resolved(_key(self._source[start : self._at]), last_is_list=is_list)
        self._lines.setdefault(path, self._line)
        self._table = path
        self._to_end_of_line()

    def _resolved(self, keys: list[str], *, last_is_list: bool) -> Path:
        """The path of a header: a list of tables named on the way means its last table."""
        path: Path = ()
        for depth, key in enumerate(keys):
            path = (*path, key)
            if last_is_list and depth == len(keys) - 1:
                self._counts[path] = self._counts.get(path, 0) + 1
                self._lines.setdefault(path, self._line)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        return path

    def _pair(self) -> None:
        start, line = self._at, self._line
        self._pass_until("=")
        path = self._table
        for key in _key(self._source[start : self._at]):
            path = (*path, key)
            self._lines.setdefault(path, line)
        self._at += 1
        self._pass_until("\n")

    def _pass_until(self, end: str) -> None:
        """Moves to `end` outside of strings, brackets and comments."""
        depth = 0
        while self._at < len(self._source):
            character = self._source[self._at]
            if not depth and character == end:
                return
            if character in "\"'":
                self._string()
                continue
            if character == "#":
                self._to_end_of_line()
                continue
            depth += (character in "[{") - (character in "]}")
            self._skip()

    def _string(self) -> None:
        quote = self._source[self._at]
        long = self._source.startswith(quote * 3, self._at)
        mark = quote * 3 if long else quote
        self._at += len(mark)
        while self._at < len(self._source) and not self._source.startswith(mark, self._at):
            if self._source[self._at] == "\\" and quote == '"':
                self._skip()
            self._skip()
        self._at += len(mark)
        while long and self._source.startswith(quote, self._at):
            self._at += 1


def _key(text: str) -> list[str]:
    """The parts of a dotted key, quotes taken off."""
    keys = []
    table = tomllib.loads(f"{text.strip()} = 0")
    while isinstance(table, dict):
        (key, table), *_ = table.items()
        keys.append(key)
    return keys
