"""What the limits keep true whatever they are asked."""

from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from poolwright.planner.constraints import Ask, Constraint, allot
from poolwright.planner.limits import Contender, Situation, limited, spread
from poolwright.planner.outcome import Load
from poolwright.planner.policy import Scaling
from poolwright.planner.reason import Binding, Reason
from poolwright.planner.snapshot import History, Variant, VariantState, Wanted
from poolwright.planner.transition import Change, overlapped

NOW_S = 1000.0
COUNTS = st.integers(0, 40)


def contender(index: int, wanted: int, current: int, *, may_lower: bool) -> Contender:
    tier = f"tier-{index}"
    load = Load(
        tier=tier,
        rate_per_s=float(wanted),
        rates_per_s=(float(wanted),),
        weights=(1.0,),
        input_tokens_mean=100.0,
        output_tokens_mean=10.0,
        cached_prefix_ratio=0.0,
        is_observed=True,
        may_lower=may_lower,
    )
    variant = Variant(tier=tier, accelerator="l4", weight_format="bf16", kv_format="bf16")
    return Contender(tier=tier, load=load, variant=variant, current=current, wanted=wanted)


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    number = draw(st.integers(1, 4))
    contenders = tuple(contender(i, draw(COUNTS), draw(COUNTS), may_lower=draw(st.booleans())) for i in range(number))
    most = draw(st.integers(1, 60))
    use = {each.variant.key: 1.0 for each in contenders}
    cost = {each.variant.key: draw(st.floats(0.01, 10.0)) for each in contenders}
    scaling = Scaling(
        min_replicas=draw(st.integers(0, most)),
        max_replicas=most,
        pinned_replicas=draw(st.none() | st.integers(0, most)),
        scale_down_stabilisation_s=draw(st.sampled_from([0.0, 60.0, 300.0])),
        max_change_per_minute=draw(st.none() | st.integers(0, 10)),
        scale_to_zero_after_s=draw(st.none() | st.floats(0.0, 2000.0)),
    )
    wishes = st.builds(
        Wanted, time_s=st.floats(0.0, NOW_S), tier=st.sampled_from([each.tier for each in contenders]), replicas=COUNTS
    )
    history = History(
        wanted=tuple(sorted(draw(st.lists(wishes, max_size=8)), key=lambda each: each.time_s)),
        removed=tuple(draw(st.lists(st.tuples(st.floats(0.0, NOW_S), st.integers(0, 5)), max_size=3))),
        busy=tuple((each.tier, draw(st.floats(0.0, NOW_S))) for each in contenders),
    )
    return Situation(
        contenders=contenders,
        scaling=scaling,
        constraints=(
            Constraint(
                name="maximum",
                reason=Reason.MAX_REPLICAS,
                binding=Binding.MAX_REPLICAS,
                bound=float(most),
                use=use,
            ),
            Constraint(
                name="budget", reason=Reason.BUDGET, binding=Binding.BUDGET, bound=draw(st.floats(0.0, 200.0)), use=cost
            ),
        ),
        history=history,
        now_s=NOW_S,
    )


@given(situations())
def test_no_ceiling_is_ever_exceeded(situation: Situation) -> None:
    counts, _ = limited(situation)
    by_key = {each.variant.key: count for each, count in zip(situation.contenders, counts, strict=True)}
    assert [] == [each.name for each in situation.constraints if not each.is_met(by_key)]


@given(situations())
def test_a_missing_signal_never_lowers_unless_a_ceiling_or_a_pin_does(situation: Situation) -> None:
    assume(situation.scaling.pinned_replicas is None)
    roomy = replace(situation, constraints=())
    counts, _ = limited(roomy)
    held = [each.current for each in roomy.contenders if not each.load.may_lower]
    found = [count for each, count in zip(roomy.contenders, counts, strict=True) if not each.load.may_lower]
    assert all(count >= current for count, current in zip(found, held, strict=True))


@given(situations(), st.integers(0, 3), st.integers(1, 20))
def test_wanting_more_in_one_tier_never_gives_that_tier_less(situation: Situation, index: int, more: int) -> None:
    assume(index < len(situation.contenders))
    greedy = list(situation.contenders)
    greedy[index] = replace(greedy[index], wanted=greedy[index].wanted + more)
    before, _ = limited(situation)
    after, _ = limited(replace(situation, contenders=tuple(greedy)))
    assert after[index] >= before[index]


@given(situations(), st.integers(0, 10))
def test_no_more_leave_in_a_minute_than_the_pace_allows_unless_a_ceiling_or_a_pin_makes_them(
    situation: Situation, allowed: int
) -> None:
    scaling = replace(situation.scaling, max_change_per_minute=allowed, pinned_replicas=None)
    counts, _ = limited(replace(situation, scaling=scaling, constraints=()))
    assert sum(max(each.current - n, 0) for each, n in zip(situation.contenders, counts, strict=True)) <= allowed


@given(situations())
def test_the_pool_has_its_minimum_unless_a_ceiling_takes_it(situation: Situation) -> None:
    scaling = replace(situation.scaling, pinned_replicas=None)
    counts, _ = limited(replace(situation, scaling=scaling, constraints=()))
    assert sum(counts) >= situation.scaling.min_replicas


@given(situations())
def test_limiting_what_was_limited_settles_within_a_few_cycles(situation: Situation) -> None:
    seen = []
    for _ in range(len(situation.contenders) + 2):
        counts, _ = limited(situation)
        seen.append(counts)
        settled = tuple(replace(each, current=count) for each, count in zip(situation.contenders, counts, strict=True))
        situation = replace(situation, contenders=settled)
    assert seen[-1] == seen[-2], seen


@given(st.lists(st.integers(0, 20), max_size=5), st.integers(0, 60))
def test_spreading_reaches_the_total_and_takes_from_nobody(counts: list[int], total: int) -> None:
    after = spread(tuple(counts), total)
    assert all(b <= a for b, a in zip(counts, after, strict=True))
    assert (max(sum(counts), total) if counts else 0) == sum(after)


@given(st.lists(COUNTS, min_size=1, max_size=4), st.floats(0.0, 100.0), st.floats(0.1, 5.0))
def test_nobody_is_granted_more_than_asked_or_allowed(wishes: list[int], bound: float, use: float) -> None:
    asks = [Ask(key=str(index), replicas=wish) for index, wish in enumerate(wishes)]
    ceiling = Constraint(
        name="c", reason=Reason.BUDGET, binding=Binding.BUDGET, bound=bound, use={ask.key: use for ask in asks}
    )
    granted = allot(asks, [ceiling], counts={})
    assert all(0 <= granted[ask.key] <= ask.replicas for ask in asks)
    assert ceiling.is_met(granted)


@given(st.integers(0, 12), st.integers(1, 12), st.integers(12, 30))
def test_a_change_of_variant_ends_and_never_serves_with_less_than_the_ceiling_forces(
    old: int, new: int, most: int
) -> None:
    before = Variant(tier="a", accelerator="l4", weight_format="bf16", kv_format="bf16")
    after = replace(before, accelerator="l40s")
    ceiling = Constraint(
        name="max",
        reason=Reason.MAX_REPLICAS,
        binding=Binding.MAX_REPLICAS,
        bound=float(most),
        use={before.key: 1.0, after.key: 1.0},
    )
    ready, kept = 0, old
    for _ in range(new + 2):
        state = VariantState(variant=before, wanted=kept, ready=kept)
        change = Change(tier="a", variant=after, replicas=new, ready=ready, old=(state,), may_lower=True)
        counts, _ = overlapped((change,), (ceiling,))
        assert ceiling.is_met(counts)
        assert counts[before.key] + counts[after.key] >= min(new, kept + ready)
        ready, kept = counts[after.key], counts[before.key]
    assert (new, 0) == (ready, kept)
