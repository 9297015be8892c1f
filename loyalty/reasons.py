"""Every reason and flag, in order of precedence. What each is worth to the cashier is said in words elsewhere,
under the key `reason.<reason>`."""

REQUEST_KIND = "request.kind"
REQUEST_OUTLET = "request.outlet"
REQUEST_CURRENCY = "request.currency"
REQUEST_AMOUNT = "request.amount"
REQUEST_LINES = "request.lines"
REQUEST_VOUCHERS = "request.vouchers"
NOT_STARTED = "programme.not_started"
ENDED = "programme.ended"
STALE = "programme.stale"
BLOCKED = "card.blocked"
CLOSED = "card.closed"
NOT_ACTIVE = "card.not_active"
ALREADY_ACTIVE = "card.already_active"
RECEIPT_USED = "earn.receipt_used"
UNKNOWN_MEMBER = "facts.unknown"
UNKNOWN_CATEGORY = "line.unknown_category"

GATES = (
    REQUEST_KIND,
    REQUEST_OUTLET,
    REQUEST_CURRENCY,
    REQUEST_AMOUNT,
    REQUEST_LINES,
    REQUEST_VOUCHERS,
    NOT_STARTED,
    ENDED,
    STALE,
    BLOCKED,
    CLOSED,
    NOT_ACTIVE,
    ALREADY_ACTIVE,
    RECEIPT_USED,
)

CODE_UNKNOWN = "code.unknown"
CODE_OTHER_PROGRAMME = "code.other_programme"
CODE_VOID = "code.void"
CODE_USED = "code.used"
CODE_USED_UP = "code.used_up"
CODE_NOT_RELEASED = "code.not_released"
CODE_EXPIRED = "code.expired"
CODE_FLASH_OVER = "code.flash_over"
CODE_REGION = "code.region"
CODE_PERSONAL = "code.personal"
CODE_MEMBER_LIMIT = "code.member_limit"
CODE_NEEDS_LINE = "code.needs_line"
CODE_ALONE = "code.alone"
CODE_TOO_MANY = "code.too_many"
CODE_NEEDS_PURCHASE = "code.needs_purchase"
CODE_NOT_NOW = "code.not_now"
CODE_PLACE = "code.place"
CODE_NOT_ENTITLED = "code.not_entitled"
CODE_MINIMUM = "code.minimum"
CODE_BASKET = "code.basket"
CODE_PROGRESS = "code.progress"
CODE_LIMIT = "code.limit"
CODE_QUOTA = "code.quota"
CODE_OUTRANKED = "code.outranked"

CODES = (
    CODE_UNKNOWN,
    CODE_OTHER_PROGRAMME,
    CODE_VOID,
    CODE_USED,
    CODE_USED_UP,
    CODE_NOT_RELEASED,
    CODE_EXPIRED,
    CODE_FLASH_OVER,
    CODE_REGION,
    CODE_PERSONAL,
    CODE_MEMBER_LIMIT,
    CODE_NEEDS_LINE,
    CODE_ALONE,
    CODE_TOO_MANY,
    CODE_NEEDS_PURCHASE,
    CODE_NOT_NOW,
    CODE_PLACE,
    CODE_NOT_ENTITLED,
    CODE_MINIMUM,
    CODE_BASKET,
    CODE_PROGRESS,
    CODE_LIMIT,
    CODE_QUOTA,
    CODE_OUTRANKED,
)
CODE_RANK = {reason: rank for rank, reason in enumerate(CODES)}

BURN_REWARD = "burn.reward"
BURN_WINDOW = "burn.window"
BURN_PLACE = "burn.place"
BURN_TIER = "burn.tier"
BURN_STOCK = "burn.stock"
BURN_OFF = "burn.off"
BURN_STEP = "burn.step"
BURN_MINIMUM = "burn.minimum"
BURN_UNKNOWN = "burn.unknown"
BURN_BALANCE = "burn.balance"
BURN_ALLOWANCE = "burn.allowance"

BURNS = (
    BURN_REWARD,
    BURN_WINDOW,
    BURN_PLACE,
    BURN_TIER,
    BURN_STOCK,
    BURN_OFF,
    BURN_STEP,
    BURN_MINIMUM,
    BURN_UNKNOWN,
    BURN_BALANCE,
    BURN_ALLOWANCE,
)

COMPENSATION_REASON = "compensation.reason"
COMPENSATION_ROLE = "compensation.role"
COMPENSATION_TOO_MUCH = "compensation.too_much"
COMPENSATION_LIMIT = "compensation.limit"
COMPENSATIONS = (COMPENSATION_REASON, COMPENSATION_ROLE, COMPENSATION_TOO_MUCH, COMPENSATION_LIMIT)

LATE_OFF = "late.off"
LATE_FUTURE = "late.future"
LATE_TOO_OLD = "late.too_old"
LATE = (LATE_OFF, LATE_FUTURE, LATE_TOO_OLD, RECEIPT_USED)

REVERSAL_UNKNOWN = "reversal.unknown"
REVERSAL_ALREADY = "reversal.already"
REVERSAL_LINE = "reversal.line"
REVERSAL_TOO_MUCH = "reversal.too_much"
REVERSALS = (REVERSAL_UNKNOWN, REVERSAL_ALREADY, REVERSAL_LINE, REVERSAL_TOO_MUCH)

POINTS_RANGE = "points.range"

APPROVAL_NEEDED = "approval.needed"
APPROVAL_SAME_PERSON = "approval.same_person"
APPROVAL_ROLE = "approval.role"
APPROVAL_HELD = "approval.held"
APPROVALS = (APPROVAL_NEEDED, APPROVAL_SAME_PERSON, APPROVAL_ROLE)

FLAGS_ONLY = (UNKNOWN_MEMBER, UNKNOWN_CATEGORY, APPROVAL_HELD)
MISTYPED = "code.mistyped"  # found when the text is read; never reaches a decision

REASONS = tuple(dict.fromkeys((*GATES, *CODES, *BURNS, *COMPENSATIONS, *LATE, *REVERSALS, POINTS_RANGE, *APPROVALS)))
