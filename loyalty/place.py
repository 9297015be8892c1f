"""A programme as one outlet's clock and address see it: local bounds turned into instants, campaigns of other places
set aside. Worked out at an outlet's first decision and kept with the programme."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from zoneinfo import ZoneInfo

from loyalty.calendar import HOUR_US, end_instant, start_instant
from loyalty.lines import Basket
from loyalty.terms import Batch, Campaign, Outlet, Programme, Reward, Window

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Instants: start inside, end outside."""

    starts: int
    ends: int

    def __contains__(self, us: int) -> bool:
        return self.starts <= us < self.ends


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCampaign:
    """A campaign at this outlet; `here` says whether it may run in this place."""

    campaign: Campaign
    starts: int
    ends: int
    here: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveBatch:
    """A batch at this outlet. Releases are instants and last serials; `opens` is the campaign of its codes."""

    batch: Batch
    releases: tuple[tuple[int, int], ...]
    ends: int
    here: bool
    opens: LiveCampaign | None

    def release(self, serial: int) -> int | None:
        """The instant from which a serial lives; None for one that is never released."""
        if serial < 1:
            return None
        return next((at for at, upto in self.releases if serial <= upto), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveReward:
    reward: Reward
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`on_purchase` and `on_activation` ask no code and may run here; they stand in the order of campaigns. `no_lines`
    is the basket of a request without a purchase."""

    outlet: Outlet
    validity: Span
    offline_until: int
    on_purchase: tuple[LiveCampaign, ...]
    on_activation: tuple[LiveCampaign, ...]
    batches: dict[str, LiveBatch]
    rewards: dict[str, LiveReward]
    no_lines: Basket


def place_of(programme: Programme, outlet: str) -> Place | None:
    """The programme at this outlet; None when the document does not have it."""
    known: Place | None = programme.places.get(outlet)
    if known is not None:
        return known
    found = programme.outlets.get(outlet)
    if found is None:
        return None
    place = _worked_out(programme, found)
    programme.places[outlet] = place
    return place


def flash_span(live: LiveBatch, begins: int) -> Span:
    """The elapsed hours of a flash: they stay the same over a change of clocks."""
    hours = live.batch.flash.hours if live.batch.flash else 0
    return Span(starts=begins, ends=begins + hours * HOUR_US)


def _worked_out(programme: Programme, outlet: Outlet) -> Place:
    lives = [_campaign(programme, campaign, outlet) for campaign in programme.campaigns]
    free = [live for live in lives if live.here and live.campaign.batches is None]
    opens = {batch: live for live in lives for batch in live.campaign.batches or ()}
    return Place(
        outlet=outlet,
        validity=_span(programme.window, outlet.zone),
        offline_until=end_instant(programme.offline_until, outlet.zone),
        on_purchase=tuple(live for live in free if live.campaign.on == "purchase"),
        on_activation=tuple(live for live in free if live.campaign.on == "activation"),
        batches={b.id: _batch(programme, b, outlet, opens.get(b.id)) for b in programme.batches.values()},
        rewards={r.id: _reward(programme, r, outlet.zone) for r in programme.rewards.values()},
        no_lines=Basket(programme, ()),
    )


def _span(window: Window, zone: ZoneInfo) -> Span:
    return Span(starts=start_instant(window.starts, zone), ends=end_instant(window.ends, zone))


def _shared(programme: Programme, key: tuple[str, ...], make: Callable[[], Made]) -> Made:
    """What outlets of one zone have in common is made once: a chain may have ten thousand."""
    known: Made | None = programme.shared.get(key)
    if known is None:
        known = make()
        programme.shared[key] = known
    return known


def _campaign(programme: Programme, campaign: Campaign, outlet: Outlet) -> LiveCampaign:
    here = campaign.places.include(outlet)

    def make() -> LiveCampaign:
        span = _span(campaign.window, outlet.zone)
        return LiveCampaign(campaign=campaign, starts=span.starts, ends=span.ends, here=here)

    return _shared(programme, ("campaign", outlet.zone.key, campaign.id, str(here)), make)


def _reward(programme: Programme, reward: Reward, zone: ZoneInfo) -> LiveReward:
    return _shared(
        programme, ("reward", zone.key, reward.id), lambda: LiveReward(reward=reward, span=_span(reward.window, zone))
    )


def _batch(programme: Programme, batch: Batch, outlet: Outlet, opens: LiveCampaign | None) -> LiveBatch:
    here, zone = batch.places.include(outlet), outlet.zone

    def make() -> LiveBatch:
        return LiveBatch(
            batch=batch,
            releases=tuple((start_instant(r.at, zone), r.upto) for r in batch.releases),
            ends=end_instant(batch.window.ends, zone),
            here=here,
            opens=opens,
        )

    return _shared(programme, ("batch", zone.key, batch.id, str(here), str(opens and opens.here)), make)
