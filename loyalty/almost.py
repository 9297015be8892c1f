"""Almost: what is one step away, and by how much. At most three, by priority then id, the tier last."""

from loyalty import reasons
from loyalty.answer import Hint
from loyalty.campaigns import Verdict
from loyalty.case import Case
from loyalty.request import EARN
from loyalty.terms import Campaign

MOST = 3


def hint_of(campaign: Campaign, verdict: Verdict) -> Hint | None:
    """The campaign's hint, where one thing alone lacks and can be closed at a till."""
    return None if verdict.hint is None else (campaign.rule, *verdict.hint)


def minimum_hint(case: Case) -> tuple[Hint, ...]:
    """The only hint of a purchase below the programme's minimum; none where nothing in it is eligible."""
    if not case.eligible:
        return ()
    return (("earn.minimum", "minimum", case.eligible, case.programme.earning.minimum_minor),)


def code_hint(case: Case, campaign: Campaign, verdict: Verdict) -> Hint | None:
    """What the answer that declines a code for its campaign's sake hints."""
    if case.request.kind != EARN:
        return None
    if not case.qualifying and (verdict.hint is not None or verdict.reason == reasons.CODE_MINIMUM):
        return next(iter(minimum_hint(case)), None)
    return hint_of(campaign, verdict)
