from poolwright.api.reasons import ConditionType
from poolwright.controller.reporting.conditions import claims_of
from poolwright.planner.outcome import Plan
from poolwright.planner.policy import Mode
from poolwright.planner.snapshot import History, Inventory, Missing, MissingReason, Snapshot


def accepted(plan: Plan, ignored: tuple[str, ...]) -> str:
    world = Snapshot(tiers=(), inventory=Inventory(), cold_start_s=Missing(reason=MissingReason.NOT_YET))
    return next(
        each.message
        for each in claims_of(plan, world, Mode.AUTO, (), ignored)
        if each.type is ConditionType.ACCEPTED and each.holds
    )


def test_what_could_not_be_used_is_said_though_the_pool_is_accepted() -> None:
    plan = Plan(tiers=(), history=History(), missing=(), warnings=("no node has h200-sxm",))

    assert accepted(plan, ("AcceleratorProfile lab: bad",)) == (
        "ignored: no node has h200-sxm; ignored: AcceleratorProfile lab: bad"
    )


def test_nothing_is_said_where_everything_could_be_used() -> None:
    assert accepted(Plan(tiers=(), history=History(), missing=(), warnings=()), ()) == ""
