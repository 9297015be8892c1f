"""The lines of a purchase: vouchers shared over them, exclusions taken out, sums by scope."""

from collections.abc import Sequence
from dataclasses import dataclass

from loyalty.request import Line
from loyalty.terms import EVERYTHING, Programme, Scope

WITHOUT_LINES_NO = 1
"""The number of the one line of a purchase that came without lines."""


def lines_of(amount_minor: int, lines: Sequence[Line] | None) -> Sequence[Line]:
    """The lines of a purchase; without lines it is one, without category."""
    return lines or (Line(no=WITHOUT_LINES_NO, amount_minor=amount_minor),)


def quantity_of(line: Line) -> int:
    """Items of a basket's line: 1 when not given."""
    return 1 if line.quantity is None else line.quantity


def shares(total: int, amounts: Sequence[int]) -> list[int]:
    """`total` shared by amount: whole parts, then one unit each to the largest remainders, ties to the earlier."""
    whole = sum(amounts)
    if not total or not whole:
        return [0] * len(amounts)
    parts = [total * amount // whole for amount in amounts]
    left = total - sum(parts)
    if left:
        by_remainder = sorted(range(len(amounts)), key=lambda i: -(total * amounts[i] % whole))
        for i in by_remainder[:left]:
            parts[i] += 1
    return parts


@dataclass(slots=True)
class Sums:
    """What a scope holds: items, amount before vouchers, paid after them, base points in units."""

    quantity: int = 0
    amount: int = 0
    paid: int = 0
    base: int = 0


class Basket:
    """The eligible lines of a purchase, added up. Excluded lines and lines of amount 0 are in none of the sums."""

    __slots__ = ("_by_scope", "_groups", "_scopes", "all", "unknown_category")

    def __init__(self, programme: Programme, lines: Sequence[Line], paid: Sequence[int] | None = None) -> None:
        """`paid` is what was paid of each line after vouchers; None when no voucher was used."""
        self.unknown_category = False
        self.all = Sums()
        self._scopes = programme.scopes
        self._by_scope: dict[int, Sums] = {EVERYTHING: self.all}
        self._groups: dict[tuple[str | None, str | None], Sums] = {}
        for i, line in enumerate(lines):
            self._add(programme, line, line.amount_minor if paid is None else paid[i])

    def _add(self, programme: Programme, line: Line, paid: int) -> None:
        category = self._category(programme, line)
        earning = programme.earning
        if (
            not line.amount_minor
            or category in earning.excluded_categories
            or line.product in earning.excluded_products
        ):
            return
        product = line.product if line.product in programme.named_products else None
        key = (category, product)
        sums = self._groups.get(key)
        if sums is None:
            sums = self._groups[key] = Sums()
        weight = earning.weight if category is None else earning.weights.get(category, earning.weight)
        quantity = 1 if line.quantity is None else line.quantity
        base = paid * weight
        sums.quantity += quantity
        sums.amount += line.amount_minor
        sums.paid += paid
        sums.base += base
        everything = self.all
        everything.quantity += quantity
        everything.amount += line.amount_minor
        everything.paid += paid
        everything.base += base

    def _category(self, programme: Programme, line: Line) -> str | None:
        if line.category is None:
            return programme.category_of.get(line.product) if line.product is not None else None
        if line.category in programme.categories:
            return line.category
        self.unknown_category = True
        return None

    def within(self, scope: int) -> Sums:
        """The sums of one of the programme's scopes."""
        known = self._by_scope.get(scope)
        if known is None:
            known = self._by_scope[scope] = self._added_up(self._scopes[scope])
        return known

    def _added_up(self, scope: Scope) -> Sums:
        found = Sums()
        for (category, product), sums in self._groups.items():
            if category in scope.categories or product in scope.products:
                found.quantity += sums.quantity
                found.amount += sums.amount
                found.paid += sums.paid
                found.base += sums.base
        return found
