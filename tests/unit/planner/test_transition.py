"""Worked examples of a tier that changes from one variant to another."""

from poolwright.planner.constraints import Constraint
from poolwright.planner.reason import Binding, Reason
from poolwright.planner.snapshot import Variant, VariantState
from poolwright.planner.transition import Change, overlapped

OLD = Variant(tier="a", accelerator="a100-80gb-sxm", weight_format="bf16", kv_format="bf16")
NEW = Variant(tier="a", accelerator="h100-sxm", weight_format="bf16", kv_format="bf16")


def change(*, replicas: int = 4, ready: int = 0, old: int = 4, may_lower: bool = True) -> Change:
    state = VariantState(variant=OLD, wanted=old, ready=old)
    return Change(tier="a", variant=NEW, replicas=replicas, ready=ready, old=(state,), may_lower=may_lower)


def ceiling(bound: float) -> Constraint:
    use = {OLD.key: 1.0, NEW.key: 1.0}
    return Constraint(name="max", reason=Reason.MAX_REPLICAS, binding=Binding.MAX_REPLICAS, bound=bound, use=use)


def counts(each: Change, *ceilings: Constraint) -> tuple[int, int]:
    granted, _ = overlapped((each,), ceilings)
    return granted[NEW.key], granted[OLD.key]


def test_the_old_variant_stays_whole_until_the_new_one_is_ready() -> None:
    assert [(4, 4), (4, 4), (4, 0)] == [counts(change(ready=ready)) for ready in (0, 3, 4)]


def test_where_there_is_no_room_for_both_one_old_makes_way_for_one_new() -> None:
    assert [(1, 3), (2, 2), (3, 1), (4, 0)] == [
        counts(change(ready=ready, old=4 - ready), ceiling(4.0)) for ready in range(4)
    ]


def test_spare_room_is_used_for_new_replicas() -> None:
    assert (2, 4) == counts(change(), ceiling(6.0))


def test_a_missing_signal_keeps_the_old_variant_even_when_the_new_one_is_ready() -> None:
    assert (4, 4) == counts(change(ready=4, may_lower=False))


def test_a_tier_that_changes_says_so_and_one_that_does_not_is_silent() -> None:
    quiet = Change(tier="b", variant=NEW, replicas=1, ready=1, old=(), may_lower=True)
    _, steps = overlapped((change(), quiet), ())
    assert {"a": [Reason.TRANSITION]} == {tier: [step.reason for step in trace] for tier, trace in steps.items()}
