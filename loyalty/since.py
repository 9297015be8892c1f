"""The rows since: facts as of the centre's last word, put together with this terminal's own rows after it.

A row counts in a block only where its seq is above that block's `as_of`: never "unsent rows", never "all my rows".
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec.structs import replace

from loyalty.facts import CodeFacts, DayCounts, Entry, Facts, OwnRow, Taken, YearCounts

Keys = Callable[[OwnRow], Iterable[str]]


class OwnRows:
    """This terminal's own rows in order, found by what they touch. An index is made at its first question and kept,
    so that a till which holds one of these for weeks of rows pays for a tap's few rows only."""

    def __init__(self, rows: Iterable[OwnRow] = ()) -> None:
        self._rows: list[OwnRow] = list(rows)
        self._indexes: dict[str, dict[str, list[OwnRow]]] = {}

    def __iter__(self) -> Iterator[OwnRow]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: OwnRow) -> None:
        """Appends a row just written."""
        self._rows.append(row)
        for name, index in self._indexes.items():
            _index(index, row, KEYS[name])

    def of(self, member: str) -> Sequence[OwnRow]:
        """Rows of one member."""
        return self._found("member", member)

    def with_receipt(self, receipt: str) -> Sequence[OwnRow]:
        """Rows of anyone with this receipt number."""
        return self._found("receipt", receipt)

    def naming(self, code: str) -> Sequence[OwnRow]:
        """Rows of anyone that used this code."""
        return self._found("code", code)

    def applying(self, campaign: str) -> Sequence[OwnRow]:
        """Rows of anyone to which this campaign applied, returns included."""
        return self._found("campaign", campaign)

    def burning(self, allowance: str) -> Sequence[OwnRow]:
        """Burns from this allowance."""
        return self._found("allowance", allowance)

    def taking(self, reward: str) -> Sequence[OwnRow]:
        """Burns for this reward."""
        return self._found("reward", reward)

    def reversing(self, entry: str) -> Sequence[OwnRow]:
        """Returns of this entry."""
        return self._found("of", entry)

    def _found(self, name: str, key: str) -> Sequence[OwnRow]:
        if not self._rows:
            return ()
        index = self._indexes.get(name)
        if index is None:
            index = {}
            for row in self._rows:
                _index(index, row, KEYS[name])
            self._indexes[name] = index
        return index.get(key, ())


KEYS: dict[str, Keys] = {
    "member": lambda row: (row.member,),
    "receipt": lambda row: (row.receipt,) if row.receipt is not None else (),
    "code": lambda row: row.codes,
    "campaign": lambda row: row.campaigns,
    "allowance": lambda row: (row.allowance,) if row.kind == "burned" and row.allowance is not None else (),
    "reward": lambda row: (row.reward,) if row.kind == "burned" and row.reward is not None else (),
    "of": lambda row: (row.of,) if row.kind == "reversed" and row.of is not None else (),
}


def _index(index: dict[str, list[OwnRow]], row: OwnRow, keys: Keys) -> None:
    for key in keys(row):
        index.setdefault(key, []).append(row)


def as_rows(own_rows: Iterable[OwnRow]) -> OwnRows:
    """The rows with their indexes; what already is one is taken as it is."""
    return own_rows if isinstance(own_rows, OwnRows) else OwnRows(own_rows)


def facts_now(facts: Facts, own_rows: Iterable[OwnRow]) -> Facts:
    """The member block with this terminal's own rows since applied; applying them again changes nothing.

    A card that an own row activated is active from that row on.
    """
    since = [row for row in as_rows(own_rows).of(facts.member) if row.seq > facts.as_of]
    if not since:
        return facts
    days, years = dict(facts.days), dict(facts.years)
    campaigns = {name: dict(times) for name, times in facts.campaigns.items()}
    compensations = {reason: dict(months) for reason, months in facts.compensations.items()}
    for row in since:
        _count_day(row, days, years)
        for name, (times, _) in row.campaigns.items():
            _count_times(campaigns.setdefault(name, {}), row.day, times)
        if row.kind == "adjusted" and row.reason is not None:
            months = compensations.setdefault(row.reason, {})
            months[row.day[:7]] = months.get(row.day[:7], 0) + 1
    activated = facts.status == "none" and any(row.kind == "activated" for row in since)
    return replace(
        facts,
        as_of=max(row.seq for row in since),
        status="active" if activated else facts.status,
        purchases=facts.purchases + sum(row.visits for row in since),
        balance=facts.balance + sum(row.balance for row in since),
        days=days,
        years=years,
        campaigns=campaigns,
        compensations=compensations,
    )


NO_DAY: DayCounts = (0, 0, 0, 0)
NO_YEAR: YearCounts = (0, 0, 0)


def _count_day(row: OwnRow, days: dict[str, DayCounts], years: dict[str, YearCounts]) -> None:
    if not row.day:
        return
    visits, spend, base, points = days.get(row.day, NO_DAY)
    days[row.day] = (visits + row.visits, spend + row.spend_minor, base + row.base, points + row.points_counted)
    year = row.day[:4]
    visits, spend, base = years.get(year, NO_YEAR)
    years[year] = (visits + row.visits, spend + row.spend_minor, base + row.base)


def _count_times(known: dict[str, int], day: str, times: int) -> None:
    for key in ("total", day[:7], day):
        known[key] = known.get(key, 0) + times


def balance_after(facts: Facts, own_rows: Iterable[OwnRow]) -> int:
    """The member's points now: the centre's balance and the own rows since."""
    rows = as_rows(own_rows).of(facts.member)
    return facts.balance + sum(row.balance for row in rows if row.seq > facts.as_of)


NO_CODE = CodeFacts()


def code_facts(facts: Facts, code: str) -> CodeFacts:
    """What the centre said of a code; of one it did not mention, that it is unused and bound to nobody."""
    return facts.codes.get(code, NO_CODE)


def code_uses(facts: Facts, rows: OwnRows, code: str) -> tuple[int, int]:
    """How often a code was used, by all and by this member."""
    known = code_facts(facts, code)
    since = [row for row in rows.naming(code) if row.seq > known.as_of]
    by_member = sum(1 for row in since if row.member == facts.member)
    return known.uses + len(since), known.uses_by_member + by_member


def budget_taken(facts: Facts, rows: OwnRows, campaign: str, *, points: bool, returns: bool) -> int:
    """What own rows of anyone took of a budget since its block, in points or times; `returns`: and gave back."""
    known = facts.budgets.get(campaign)
    as_of = 0 if known is None else known.as_of
    which = 1 if points else 0
    return sum(
        row.campaigns[campaign][which]
        for row in rows.applying(campaign)
        if row.seq > as_of and (returns or row.kind != "reversed")
    )


def allowance_left(rows: OwnRows, allowance: str, as_of: int, left: int) -> int:
    """What is left of an allowance after own burns from it since."""
    return left + sum(row.points for row in rows.burning(allowance) if row.seq > as_of)


def stock_left(facts: Facts, rows: OwnRows, reward: str) -> int:
    """How many of a reward the outlet has left; none of one that the facts do not mention."""
    known = facts.stock.get(reward)
    if known is None:
        return 0
    return known.left - sum(row.quantity for row in rows.taking(reward) if row.seq > known.as_of)


def entry_taken(entry: Entry, rows: OwnRows, of: str) -> list[Taken]:
    """All parts of an entry that were returned, by the centre's word and own rows since."""
    taken = list(entry.taken)
    for row in entry_returns(entry, rows, of):
        taken.extend(row.lines)
    return taken


def entry_returns(entry: Entry, rows: OwnRows, of: str) -> list[OwnRow]:
    """Own returns of an entry since its block."""
    return [row for row in rows.reversing(of) if row.seq > entry.as_of]
