"""Names: said once, and known where they are used."""

from collections.abc import Iterator

from loyalty.check_report import Report, Table, likely
from loyalty.toml_lines import Path

LISTS = (
    (("outlets",), "id"),
    (("categories",), "id"),
    (("tiers", "levels"), "id"),
    (("campaigns",), "id"),
    (("batches",), "id"),
    (("rewards",), "id"),
    (("compensation",), "reason"),
)


def tables_at(document: Table, *keys: str) -> list[Table]:
    """The tables of a list, wherever it stands; none when it is absent."""
    found = document
    for key in keys[:-1]:
        found = found.get(key, {})
    listed: list[Table] = found.get(keys[-1], [])
    return listed


def ids(document: Table, *keys: str) -> frozenset[str]:
    """The ids of a list."""
    return frozenset(table["id"] for table in tables_at(document, *keys) if "id" in table)


def check_names(report: Report, document: Table) -> None:
    """Ids said twice; products, rates and exclusions said twice; names that the document does not have."""
    _duplicates(report, document)
    _products(report, document)
    _rates(report, document)
    for path, what, name, known in _uses(document):
        if name not in known:
            report.unknown(path, what, name, known)
    _unknown_products(report, document)


def _duplicates(report: Report, document: Table) -> None:
    for keys, key in LISTS:
        seen: set[str] = set()
        for i, table in enumerate(tables_at(document, *keys)):
            name = table.get(key)
            if name is not None and name in seen:
                report.error((*keys, i, key), "duplicate_id", f"{name!r} is there already", "give each its own")
            seen.add(name or "")


def _products(report: Report, document: Table) -> None:
    seen: dict[str, str] = {}
    for i, category in enumerate(tables_at(document, "categories")):
        for product in category.get("products", ()):
            if product in seen:
                text = f"product {product!r} is in {seen[product]!r} already"
                report.error(("categories", i, "products"), "product_twice", text, "leave it in one category")
            seen.setdefault(product, category.get("id", ""))


def _rates(report: Report, document: Table) -> None:
    excluded = document.get("earning", {}).get("excluded_categories", ())
    seen: set[str] = set()
    for i, rate in enumerate(tables_at(document, "earning", "rates")):
        path: Path = ("earning", "rates", i, "categories")
        for category in rate.get("categories", ()):
            if category in seen:
                report.error(path, "rate_overlap", f"{category!r} has a rate already", "leave it in one rate")
            if category in excluded:
                cure = "take it out of the rate or of excluded_categories"
                report.error(path, "rate_excluded", f"{category!r} is excluded", cure)
            seen.add(category)


Use = tuple[Path, str, str, frozenset[str]]


def _uses(document: Table) -> Iterator[Use]:
    """Every use of a name: where, of what, which, among which."""
    categories, tiers, places = ids(document, "categories"), ids(document, "tiers", "levels"), _places(document)
    for name in document.get("earning", {}).get("excluded_categories", ()):
        yield ("earning", "excluded_categories"), "category", name, categories
    for i, rate in enumerate(tables_at(document, "earning", "rates")):
        for name in rate.get("categories", ()):
            yield ("earning", "rates", i, "categories"), "category", name, categories
    for i, campaign in enumerate(tables_at(document, "campaigns")):
        yield from _campaign_uses(document, ("campaigns", i), campaign, categories, tiers)
        yield from _place_uses(places, ("campaigns", i, "when"), campaign.get("when", {}))
    for i, batch in enumerate(tables_at(document, "batches")):
        yield from _place_uses(places, ("batches", i), batch)
    for i, reward in enumerate(tables_at(document, "rewards")):
        for name in reward.get("outlets", ()):
            yield ("rewards", i, "outlets"), "outlet", name, places["outlets"]
        for name in reward.get("tiers", ()):
            yield ("rewards", i, "tiers"), "tier", name, tiers


def _campaign_uses(
    document: Table, path: Path, campaign: Table, categories: frozenset[str], tiers: frozenset[str]
) -> Iterator[Use]:
    when, gives = campaign.get("when", {}), campaign.get("gives", {})
    for name in when.get("tiers", ()):
        yield (*path, "when", "tiers"), "tier", name, tiers
    for i, basket in enumerate(when.get("basket", ())):
        for name in basket.get("categories", ()):
            yield (*path, "when", "basket", i, "categories"), "category", name, categories
    for name in when.get("code_batches", ()):
        yield (*path, "when", "code_batches"), "batch", name, ids(document, "batches")
    for name in gives.get("categories", ()):
        yield (*path, "gives", "categories"), "category", name, categories
    reward = gives.get("voucher", {}).get("reward")
    if reward is not None:
        yield (*path, "gives", "voucher"), "reward", reward, ids(document, "rewards")


def _places(document: Table) -> dict[str, frozenset[str]]:
    """The outlets, regions and countries that the document has."""
    outlets = tables_at(document, "outlets")
    return {
        key: frozenset(outlet[what] for outlet in outlets if what in outlet)
        for key, what in (("outlets", "id"), ("regions", "region"), ("countries", "country"))
    }


def _place_uses(places: dict[str, frozenset[str]], path: Path, table: Table) -> Iterator[Use]:
    for key, what in (("outlets", "outlet"), ("regions", "region"), ("countries", "country")):
        for name in table.get(key, ()):
            yield (*path, key), what, name, places[key]


def _unknown_products(report: Report, document: Table) -> None:
    """Products that a campaign names and no category lists. Excluded ones may well be in none."""
    known = frozenset(p for category in tables_at(document, "categories") for p in category.get("products", ()))
    for i, campaign in enumerate(tables_at(document, "campaigns")):
        named: list[tuple[Path, Table]] = [(("campaigns", i, "gives", "products"), campaign.get("gives", {}))]
        baskets = campaign.get("when", {}).get("basket", ())
        named += [(("campaigns", i, "when", "basket", n, "products"), basket) for n, basket in enumerate(baskets)]
        for path, table in named:
            for product in table.get("products", ()):
                if product not in known:
                    cure = likely(product, known, "list it in its category")
                    report.warn(path, "unknown_product", f"no category lists product {product!r}", cure)
