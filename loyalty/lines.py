"""The lines of a purchase: vouchers shared over them, exclusions taken out, sums by scope."""

from collections.abc import Sequence

from msgspec import Struct

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


class Sums(Struct):
    """What a scope holds: items, amount before vouchers, paid after them, base points in units."""

    quantity: int = 0
    amount: int = 0
    paid: int = 0
    base: int = 0

    def add(self, other: "Sums") -> None:
        self.quantity += other.quantity
        self.amount += other.amount
        self.paid += other.paid
        self.base += other.base


class Basket:
    """The eligible lines of a purchase, added up. Excluded lines and lines of amount 0 are in none of the sums."""

    __slots__ = ("_by_category", "_by_product", "_by_scope", "_scopes", "all", "unknown_category")

    def __init__(self, programme: Programme, lines: Sequence[Line], paid: Sequence[int] | None = None) -> None:
        """`paid` is what was paid of each line after vouchers; None when no voucher was used."""
        self.unknown_category = False
        self.all = Sums()
        self._scopes = programme.scopes
        self._by_scope: dict[int, Sums] = {EVERYTHING: self.all}
        self._by_category: dict[str | None, Sums] = {}
        self._by_product: dict[str, list[tuple[str | None, Sums]]] = {}
        for i, line in enumerate(lines):
            self._add(programme, line, line.amount_minor if paid is None else paid[i])
        for sums in self._by_category.values():
            self.all.add(sums)

    def _add(self, programme: Programme, line: Line, paid: int) -> None:
        category, product, amount, earning = line.category, line.product, line.amount_minor, programme.earning
        if category is None:
            category = programme.category_of.get(product) if product is not None else None
        elif category not in programme.categories:
            self.unknown_category = True
            category = None
        if not amount or category in earning.excluded_categories or product in earning.excluded_products:
            return
        quantity = 1 if line.quantity is None else line.quantity
        base = paid * (earning.weights.get(category, earning.weight) if category is not None else earning.weight)
        sums = self._by_category.get(category)
        if sums is None:
            self._by_category[category] = Sums(quantity, amount, paid, base)
        else:
            sums.quantity += quantity
            sums.amount += amount
            sums.paid += paid
            sums.base += base
        if product in programme.named_products and product is not None:
            self._by_product.setdefault(product, []).append((category, Sums(quantity, amount, paid, base)))

    def within(self, scope: int) -> Sums:
        """The sums of one of the programme's scopes."""
        known = self._by_scope.get(scope)
        if known is None:
            known = self._by_scope[scope] = self._added_up(self._scopes[scope])
        return known

    def _added_up(self, scope: Scope) -> Sums:
        found = Sums()
        for category in scope.categories:
            if category in self._by_category:
                found.add(self._by_category[category])
        for product in self._by_product.keys() & scope.products:
            for its_category, sums in self._by_product[product]:
                if its_category not in scope.categories:
                    found.add(sums)
        return found
