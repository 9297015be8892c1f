"""Campaigns: shapes, what nobody can meet, what contradicts itself, budgets; and the batches that open them."""

from itertools import pairwise

from loyalty.calendar import HOUR_US, end_instant, local_end, local_start, start_instant
from loyalty.check_names import tables_at
from loyalty.check_report import Report, Table
from loyalty.check_windows import outlets_of, weekdays_within, zones_of
from loyalty.terms import MAX_AMOUNT_MINOR
from loyalty.toml_lines import Path

MOST_TIMES = 100
SCOPED = ("times", "per_item", "extra_rate")
EFFECTS = ("points", *SCOPED, "voucher", "discount")
PURCHASE_ONLY = ("minimum_minor", "basket", "first_purchase", "spend", "visits", "code_batches")
LISTS = ("weekdays", "hours", "outlets", "regions", "countries", "tiers", "tags_any", "basket", "code_batches")


def check_campaigns(report: Report, document: Table) -> None:
    for i, campaign in enumerate(tables_at(document, "campaigns")):
        path: Path = ("campaigns", i)
        when = campaign.get("when", {})
        _check_gives(report, path, campaign)
        _check_shapes(report, (*path, "when"), when)
        _check_contradictions(report, document, (*path, "when"), when)
        for key, text in _unreachable(document, campaign):
            report.error((*path, *key), "unreachable", f"nobody can meet this: {text}", "change it, or leave it out")
        if "budget" in campaign:
            _check_budget(report, document, path, campaign)
    if document.get("programme", {}).get("stack_limit") == 0 and document.get("campaigns"):
        text = "nobody can meet a campaign: stack_limit is 0"
        report.error(("programme", "stack_limit"), "unreachable", text, "raise it, or leave the campaigns out")
    _check_batches(report, document)


def _check_gives(report: Report, path: Path, campaign: Table) -> None:
    if "gives" not in campaign:
        return
    gives, at = campaign["gives"], (*path, "gives")
    if not any(effect in gives for effect in EFFECTS):
        report.error(at, "gives_nothing", "it gives nothing", "add one of " + ", ".join(EFFECTS))
    if gives.keys() & {"categories", "products"} and not gives.keys() & set(SCOPED):
        text = "categories or products without times, per_item or extra_rate have no effect"
        report.error(at, "scope_without_effect", text, "add one of these, or ask for the lines in when.basket")
    if "times" in gives and not gives["times"][1] < gives["times"][0] <= MOST_TIMES * gives["times"][1]:
        text = f"times {gives['times']} is not above 1 and at most {MOST_TIMES}"
        report.error((*at, "times"), "multiplier", text, "write [2, 1] for double points")
    discount = gives.get("discount", {"percent": 1})
    if ("percent" in discount) == ("amount_minor" in discount):
        text = "a discount is either percent or amount_minor"
        report.error((*at, "discount"), "missing", text, "write one of the two")


def _check_shapes(report: Report, path: Path, when: Table) -> None:
    for key, cause in (("spend", "spend_shape"), ("visits", "visits_shape")):
        if key in when and ("days" in when[key]) == ("within" in when[key]):
            report.error(
                (*path, key), cause, "it needs days or within, one of them", 'write days = 30, or within = "month"'
            )
    if "visits" in when and ("at_least" in when["visits"]) == ("every" in when["visits"]):
        text = "it needs at_least or every, one of them"
        report.error((*path, "visits"), "visits_shape", text, "write at_least = 3, or every = 10")
    for i, basket in enumerate(when.get("basket", ())):
        if not basket.keys() & {"quantity", "amount_minor"}:
            report.error((*path, "basket", i), "missing", "a basket needs quantity or amount_minor", "add one of them")
        if not basket.keys() & {"categories", "products"}:
            report.error((*path, "basket", i), "missing", "a basket needs categories or products", "add one of them")


def _check_contradictions(report: Report, document: Table, path: Path, when: Table) -> None:
    both = set(when.get("tags_any", ())) & set(when.get("tags_none", ()))
    for tag in sorted(both):
        report.error((*path, "tags_none"), "contradiction", f"tag {tag!r} is both wanted and barred", "choose one")
    _check_places(report, document, path, when)


def _check_places(report: Report, document: Table, path: Path, places: Table) -> None:
    if "outlets" not in places:
        return
    by_id = {outlet.get("id"): outlet for outlet in tables_at(document, "outlets")}
    for name in places["outlets"]:
        outlet = by_id.get(name)
        for key, what in (("regions", "region"), ("countries", "country")):
            if outlet is not None and key in places and outlet.get(what) not in places[key]:
                text = f"outlet {name!r} is in none of the wanted {key}"
                report.error((*path, "outlets"), "contradiction", text, f"take it out, or add its {what}")


def _unreachable(document: Table, campaign: Table) -> list[tuple[Path, str]]:
    when, gives, on = campaign.get("when", {}), campaign.get("gives", {}), campaign.get("on", "purchase")
    found: list[tuple[Path, str]] = [(("when", key), f"{key} is an empty list") for key in LISTS if when.get(key) == []]
    found += _unreachable_lines(document, when, gives)
    if gives.get("max_points") == 0:
        found.append((("gives", "max_points"), "it gives at most 0 points"))
    amounts = sum(basket.get("amount_minor", 0) for basket in when.get("basket", ()))
    if amounts > MAX_AMOUNT_MINOR:
        found.append((("when", "basket"), "the baskets ask for more than the greatest purchase"))
    visits = when.get("visits", {})
    if "first_purchase" in when and max(visits.get("at_least", 0), visits.get("every", 0)) >= 2:
        found.append((("when", "first_purchase"), "a first purchase is never a second visit"))
    if "first_purchase" in when and "tiers" in when:
        found.append((("when", "first_purchase"), "who has a tier has bought before"))
    missing = set(when.get("weekdays", ())) - weekdays_within(when.get("starts"), when.get("ends"))
    if missing and missing == set(when["weekdays"]):
        found.append((("when", "weekdays"), "its window contains none of these weekdays"))
    if on == "activation":
        found += [(("when", key), f"an activation has no {key}") for key in PURCHASE_ONLY if key in when]
    if on == "code" and "code_batches" not in when:
        found.append((("on",), "it is on code and names no code_batches"))
    budget = campaign.get("budget", {})
    if budget.get("unit") == "points" and budget.get("per_outlet", gives.get("points", 0)) < gives.get("points", 0):
        found.append((("budget", "per_outlet"), "the budget of an outlet is below one use"))
    return found


def _unreachable_lines(document: Table, when: Table, gives: Table) -> list[tuple[Path, str]]:
    """Scopes and baskets that no eligible line can belong to."""
    excluded = set(document.get("earning", {}).get("excluded_categories", ()))
    scopes: list[tuple[Path, Table]] = [(("gives",), gives)]
    scopes += [(("when", "basket", i), basket) for i, basket in enumerate(when.get("basket", ()))]
    found: list[tuple[Path, str]] = []
    for path, table in scopes:
        if not table.keys() & {"categories", "products"} or table.get("products"):
            continue
        categories = set(table.get("categories", ()))
        if not categories:
            found.append((path, "its lists of categories and products are empty"))
        elif categories <= excluded:
            found.append(((*path, "categories"), "all its categories are excluded from earning"))
    return found


def _check_budget(report: Report, document: Table, path: Path, campaign: Table) -> None:
    budget, at = campaign["budget"], (*path, "budget")
    kind, share, total = budget.get("kind"), budget.get("per_outlet"), budget.get("total")
    if kind == "hard" and share is None:
        report.error(at, "budget_shape", "a hard budget needs per_outlet", "say what each outlet is granted")
    if kind == "soft" and share is not None:
        report.error(at, "budget_shape", "a soft budget has no per_outlet", "leave it out, or make the budget hard")
    outlets = len(outlets_of(document, campaign.get("when", {})))
    if kind == "hard" and share is not None and total is not None and share * outlets > total:
        text = f"{share:,} for each of {outlets} outlets is {share * outlets:,}, above the total of {total:,}"
        report.error(
            (*at, "per_outlet"), "budget_split", text, f"write at most {total // outlets:,}, or raise the total"
        )


def _check_batches(report: Report, document: Table) -> None:
    opened: dict[str, str] = {}
    for i, campaign in enumerate(tables_at(document, "campaigns")):
        for batch in campaign.get("when", {}).get("code_batches", ()):
            if batch in opened:
                text = f"batch {batch!r} opens {opened[batch]!r} already"
                at: Path = ("campaigns", i, "when", "code_batches")
                report.error(at, "batch_shared", text, "let a batch open one campaign")
            opened.setdefault(batch, campaign.get("id", ""))
    for i, batch in enumerate(tables_at(document, "batches")):
        path: Path = ("batches", i)
        if batch.get("id") not in opened:
            cure = "name it in a campaign's when.code_batches, or leave it out"
            report.error((*path, "id"), "batch_unused", "no campaign is opened by it", cure)
        _check_places(report, document, path, batch)
        _check_releases(report, path, batch)
        _check_use(report, document, path, batch)


def _check_releases(report: Report, path: Path, batch: Table) -> None:
    releases = [r for r in batch.get("releases", ()) if "at" in r and "upto" in r]
    for i, (before, after) in enumerate(pairwise(releases), 1):
        if local_start(after["at"]) <= local_start(before["at"]) or after["upto"] <= before["upto"]:
            text = "releases must rise, in at and in upto"
            report.error((*path, "releases", i), "release_order", text, "put them in order")


def _check_use(report: Report, document: Table, path: Path, batch: Table) -> None:
    use = batch.get("use")
    if use == "once" and "times" in batch:
        report.error((*path, "times"), "flash_shape", "a code used once has no times", "leave times out")
    if use in ("times", "per_member") and "times" not in batch:
        report.error(path, "missing", f"use {use!r} needs times", "say how many times")
    flash, ends = batch.get("flash", {}), batch.get("ends")
    first = next((r["at"] for r in batch.get("releases", ()) if "at" in r), None)
    if "hours" not in flash or ends is None or first is None:
        return
    for zone in zones_of(document, batch):
        life = end_instant(local_end(ends), zone) - start_instant(local_start(first), zone)
        if flash["hours"] * HOUR_US > life:
            text = f"{flash['hours']} hours are longer than the batch lives"
            report.error((*path, "flash"), "flash_shape", text, "shorten the flash, or move ends")
            return
