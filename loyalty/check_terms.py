"""Rates, tiers, expiry, burning and approvals: what does not fit together."""

from fractions import Fraction

from loyalty.check_names import tables_at
from loyalty.check_report import Report, Table
from loyalty.terms import MAX_AMOUNT_MINOR, MAX_POINTS
from loyalty.toml_lines import Path

EXPIRY_KEYS = {
    "none": frozenset[str](),
    "rolling": frozenset({"days", "months"}),
    "active": frozenset({"days", "months"}),
    "fixed": frozenset({"on", "at_least_days"}),
}


def check_terms(report: Report, document: Table) -> None:
    _check_tiers(report, document.get("tiers", {}))
    _check_greatest(report, document)
    if "expiry" in document:
        _check_expiry(report, document["expiry"])
    _check_burning(report, document.get("burning", {}))
    if "approvals" in document:
        _check_approvals(report, document, document["approvals"])


def times_of(table: Table) -> Fraction:
    """The multiplier of a level or of what a campaign gives; 1 when none is written."""
    n, d = table.get("times", (1, 1))
    return Fraction(n, d)


def rates(document: Table) -> dict[str | None, Fraction]:
    """Points per minor unit of each category with a rate of its own, and of all other lines (None)."""
    earning = document.get("earning", {})
    found: dict[str | None, Fraction] = {None: _rate(earning)}
    for table in earning.get("rates", ()):
        found |= dict.fromkeys(table.get("categories", ()), _rate(table))
    return found


def _rate(table: Table) -> Fraction:
    return Fraction(table["points"], table["per_minor"]) if table.keys() >= {"points", "per_minor"} else Fraction(0)


def _check_tiers(report: Report, tiers: Table) -> None:
    if tiers.get("window") == "rolling" and "days" not in tiers:
        report.error(("tiers",), "missing", "a rolling window needs days", "add days")
    if tiers.get("window") == "calendar_year" and "days" in tiers:
        report.error(("tiers", "days"), "unknown_key", "a calendar year has no days", "leave days out")
    at, times = 0, Fraction(1)
    for i, level in enumerate(tiers.get("levels", ())):
        path: Path = ("tiers", "levels", i)
        if level.get("at", at + 1) <= at:
            report.error(
                (*path, "at"), "tier_order", f"{level['at']:,} is not above {at:,}", "order levels from low to high"
            )
        if times_of(level) < times:
            text = f"{times_of(level)} is worth less than {times}" + (", the level before" if i else "")
            report.error((*path, "times"), "tier_ratio", text, "let a higher tier give at least as much")
        at, times = max(at, level.get("at", at)), max(times, times_of(level))


def _check_greatest(report: Report, document: Table) -> None:
    """The greatest purchase at the greatest rate with every multiplier must stay countable, unless a cap is set."""
    earning = document.get("earning", {})
    if "max_points_per_purchase" in earning or "max_points_per_day" in earning:
        return
    gives = [campaign.get("gives", {}) for campaign in tables_at(document, "campaigns")]
    levels = [times_of(level) for level in tables_at(document, "tiers", "levels")]
    times = max(levels, default=Fraction(1)) + sum((times_of(g) - 1 for g in gives), Fraction(0))
    extra = sum((Fraction(*g["extra_rate"]) for g in gives if "extra_rate" in g), Fraction(0))
    fixed = sum(g.get("points", 0) for g in gives)
    most = MAX_AMOUNT_MINOR * (max(rates(document).values()) * times + extra) + fixed
    if most > MAX_POINTS:
        text = f"the greatest purchase would give {int(most):,} points, more than can be counted"
        report.error(("earning", "points"), "points_range", text, "set max_points_per_purchase, or lower the rate")


def _check_expiry(report: Report, expiry: Table) -> None:
    kind = expiry.get("kind")
    if kind is None:
        return
    for key in sorted(expiry.keys() - EXPIRY_KEYS[kind] - {"kind"}):
        report.error(("expiry", key), "expiry_shape", f"{key} does not belong to {kind!r}", "leave it out")
    if kind in ("rolling", "active") and ("days" in expiry) == ("months" in expiry):
        report.error(("expiry",), "expiry_shape", f"{kind!r} needs days or months, one of them", "write months = 12")
    if kind == "fixed" and "on" not in expiry:
        report.error(("expiry",), "expiry_shape", "'fixed' needs on", 'write on = "12-31"')


def _check_burning(report: Report, burning: Table) -> None:
    step, least = burning.get("points"), burning.get("minimum_points")
    if step is not None and least is not None and least % step:
        text = f"minimum_points {least:,} is no multiple of the step of {step:,}"
        cure = f"write {-(-least // step) * step:,}"
        report.error(("burning", "minimum_points"), "burn_shape", text, cure)


def _check_approvals(report: Report, document: Table, approvals: Table) -> None:
    if not approvals.keys() & {"points_over", "amount_over_minor"}:
        text = "it has no threshold"
        report.error(("approvals",), "approval_shape", text, "add points_over or amount_over_minor")
    if not approvals.get("roles"):
        report.error(("approvals",), "approval_shape", "no role may approve", 'write roles = ["supervisor"]')
    over, roles = approvals.get("points_over"), set(approvals.get("roles", ()))
    for i, compensation in enumerate(tables_at(document, "compensation")):
        asked = set(compensation.get("roles", ()))
        if over is not None and asked and compensation.get("max_points", 0) > over and asked <= roles:
            text = "who may give it is only who must approve it: alone, nobody can"
            cure = "add a role that does not approve, or lower max_points to the threshold"
            report.error(("compensation", i), "approval_gap", text, cure)
