"""Windows: ends after starts, within the programme's validity, no bound in doubt; as instants, in every zone of the
outlets that read them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from loyalty.calendar import (
    EPOCH,
    MICROSECOND,
    WEEKDAYS,
    end_instant,
    is_doubtful,
    local_end,
    local_start,
    start_instant,
    zone_of,
)
from loyalty.check_names import tables_at
from loyalty.check_report import Report, Table
from loyalty.toml_lines import Path

OFFLINE_LEAST = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """One window of the document: its keys, their values, and who reads it."""

    path: Path
    starts_key: str
    starts: date | None
    ends_key: str
    ends: date | None
    zones: tuple[ZoneInfo, ...]

    def instants(self, zone: ZoneInfo) -> tuple[int, int]:
        starts = None if self.starts is None else local_start(self.starts)
        ends = None if self.ends is None else local_end(self.ends)
        return start_instant(starts, zone), end_instant(ends, zone)


def check_windows(report: Report, document: Table, now: datetime | None) -> None:
    head = document.get("programme", {})
    validity = _validity(document)
    _check_order(report, validity)
    _check_offline(report, document, validity, now)
    windows = list(_windows(document))
    for bounds in windows:
        _check_order(report, bounds)
        _check_inside(report, bounds, validity)
    for bounds in (validity, *windows):
        _check_doubt(report, bounds.path, bounds.starts_key, bounds.starts, bounds.zones, is_end=False)
        _check_doubt(report, bounds.path, bounds.ends_key, bounds.ends, bounds.zones, is_end=True)
    offline = head.get("offline_valid_until")
    _check_doubt(report, ("programme",), "offline_valid_until", offline, validity.zones, is_end=True)


def outlets_of(document: Table, places: Table) -> list[Table]:
    """The outlets that a table's places include."""
    keys = (("outlets", "id"), ("regions", "region"), ("countries", "country"))
    asked = [(what, frozenset(places[key])) for key, what in keys if key in places]
    found = tables_at(document, "outlets")
    for what, names in asked:
        found = [outlet for outlet in found if outlet.get(what) in names]
    return found


def zones_of(document: Table, places: Table) -> tuple[ZoneInfo, ...]:
    """The zones of those outlets, each once."""
    default = document.get("programme", {}).get("time_zone")
    names = {outlet.get("time_zone", default) for outlet in outlets_of(document, places)} - {None}
    return tuple(zone_of(name) for name in sorted(names))


def _validity(document: Table) -> Bounds:
    head = document.get("programme", {})
    return Bounds(
        path=("programme",),
        starts_key="valid_from",
        starts=head.get("valid_from"),
        ends_key="valid_until",
        ends=head.get("valid_until"),
        zones=zones_of(document, {}),
    )


def _windows(document: Table) -> Iterator[Bounds]:
    for i, campaign in enumerate(tables_at(document, "campaigns")):
        when = campaign.get("when", {})
        yield _bounds(("campaigns", i, "when"), when, zones_of(document, when))
    for i, reward in enumerate(tables_at(document, "rewards")):
        yield _bounds(("rewards", i), reward, zones_of(document, {k: reward[k] for k in reward.keys() & {"outlets"}}))
    for i, batch in enumerate(tables_at(document, "batches")):
        zones = zones_of(document, batch)
        for n, release in enumerate(batch.get("releases", ())):
            yield Bounds(
                path=("batches", i, "releases", n),
                starts_key="at",
                starts=release.get("at"),
                ends_key="ends",
                ends=batch.get("ends"),
                zones=zones,
            )


def _bounds(path: Path, table: Table, zones: tuple[ZoneInfo, ...]) -> Bounds:
    return Bounds(
        path=path,
        starts_key="starts",
        starts=table.get("starts"),
        ends_key="ends",
        ends=table.get("ends"),
        zones=zones,
    )


def _check_order(report: Report, bounds: Bounds) -> None:
    for zone in bounds.zones:
        starts, ends = bounds.instants(zone)
        if starts >= ends:
            text = f"ends {bounds.ends} when or before it starts, {bounds.starts}, by the clock of {zone.key}"
            report.error((*bounds.path, bounds.ends_key), "window_order", text, "let it end after it starts")
            return


def _check_offline(report: Report, document: Table, validity: Bounds, now: datetime | None) -> None:
    """valid_from < offline_valid_until <= valid_until."""
    value = document.get("programme", {}).get("offline_valid_until")
    if value is None:
        return
    path: Path = ("programme", "offline_valid_until")
    for zone in validity.zones:
        starts, ends = validity.instants(zone)
        offline = end_instant(local_end(value), zone)
        if starts < ends and not starts < offline <= ends:
            text = f"{value} is not after valid_from and at or before valid_until"
            report.error(path, "window_order", text, "put it between the two")
            return
        if now is not None and EPOCH + offline * MICROSECOND - now.astimezone(UTC) < OFFLINE_LEAST:
            text = "terminals without a line must stop burning within 14 days"
            report.warn(path, "offline_short", text, "set it later, or load the next version in time")
            return


def _check_inside(report: Report, bounds: Bounds, validity: Bounds) -> None:
    if validity.starts is None or validity.ends is None or not bounds.zones:
        return
    for zone in bounds.zones:
        (starts, ends), (first, last) = bounds.instants(zone), validity.instants(zone)
        if ends > first and starts < last:
            return
    text = "lies wholly outside the programme's validity"
    key = bounds.starts_key if bounds.starts is not None else bounds.ends_key
    report.error(
        (*bounds.path, key), "window_outside", text, "move it inside valid_from and valid_until, or leave it out"
    )


def _check_doubt(
    report: Report, path: Path, key: str, value: date | None, zones: tuple[ZoneInfo, ...], *, is_end: bool
) -> None:
    if value is None:
        return
    local = local_end(value) if is_end else local_start(value)
    for zone in zones:
        if not is_doubtful(local, zone):
            continue
        us = end_instant(local, zone) if is_end else start_instant(local, zone)
        means = (EPOCH + us * MICROSECOND).isoformat()
        text = f"{value} falls into an hour that the clocks of {zone.key} skip or repeat; it means {means}"
        report.warn((*path, key), "gap_bound", text, "choose a time outside the change of clocks, or leave it so")


def weekdays_within(starts: date | None, ends: date | None) -> frozenset[str]:
    """The weekdays that a window contains."""
    if starts is None or ends is None:
        return frozenset(WEEKDAYS)
    first, last = local_start(starts), local_end(ends) - timedelta(microseconds=1)
    count = (last.date() - first.date()).days + 1
    return frozenset(WEEKDAYS[(first.weekday() + n) % 7] for n in range(max(0, min(count, 7))))
