"""What a price card keeps: it pays for the plan, whatever the pool."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.advice.price_card import PriceCard, price_cards
from poolwright.planner.advice.token_share import Tokens
from poolwright.planner.candidates import candidates
from poolwright.planner.demand import load_of
from poolwright.planner.menu import Option
from poolwright.planner.offer import variant_of
from poolwright.planner.outcome import Plan, TierPlan, VariantPlan
from poolwright.planner.policy import PoolPolicy, TierPolicy, WorkloadHint
from poolwright.planner.reason import Binding, Reason
from poolwright.planner.snapshot import History, TierSignals
from poolwright.planner.tier_plan import NOTHING
from poolwright.queueing.objectives import Objectives

CATALOGUE = load_catalogue()
MODEL = CATALOGUE.model("meta-llama/Llama-3.1-8B-Instruct")
PER_REQUEST_TOKENS = 0.02


CASES = st.tuples(
    st.sampled_from([(200.0, 300.0), (2000.0, 200.0), (9000.0, 700.0)]),
    st.sampled_from([0.0, 0.5, 0.9]),
    st.sampled_from(["h100-sxm", "l40s"]),
    st.floats(0.1, 2000.0),
    st.integers(1, 100),
)
Case = tuple[tuple[float, float], float, str, float, int]


def tier_of(case: Case) -> TierPolicy:
    (inputs, outputs), cached, _, rate_per_s, _ = case
    hint = WorkloadHint(input_tokens_mean=inputs, output_tokens_mean=outputs, cached_prefix_ratio=cached)
    return TierPolicy(
        name="chat", objectives=Objectives(ttft_s=20.0, itl_s=0.5), hint=hint, static_rate_per_s=rate_per_s
    )


def cards_of(case: Case) -> tuple[tuple[PriceCard, ...], float]:
    """Return the cards of a plan with any number of replicas, also too few, and its cost [$/s]."""
    tier, accelerator, replicas = tier_of(case), CATALOGUE.accelerator(case[2]), case[4]
    load = load_of(tier, TierSignals(), History(), headroom_ratio=0.0, horizon_s=60.0, now_s=0.0)
    option = Option(accelerator=accelerator, weight_format="bf16", kv_format="bf16", tensor_parallel=1)
    (candidate,), _ = candidates(MODEL, (option,), load, tier.objectives)
    cost = replicas * (accelerator.price_usd_per_s or 0.0)
    variant = VariantPlan(
        variant=variant_of(tier.name, candidate),
        replicas=replicas,
        max_num_seqs=candidate.limits.max_num_seqs,
        max_num_batched_tokens=candidate.limits.max_num_batched_tokens,
        max_queued_requests=1,
        predicted=NOTHING,
        cost_usd_per_s=cost,
        power_w=0.0,
        usd_per_million_tokens=None,
        weight_bytes=0.0,
    )
    made = TierPlan(
        tier=tier.name,
        load=load,
        variants=(variant,),
        wanted_replicas=replicas,
        reason=Reason.DEMAND,
        detail="",
        binding=Binding.NONE,
        meets_objectives=True,
    )
    policy = PoolPolicy(namespace="n", name="p", model=MODEL, tiers=(tier,))
    return price_cards(policy, Plan(tiers=(made,), history=History()), CATALOGUE), cost


@settings(max_examples=12)
@given(CASES)
def test_tokens_sold_at_the_card_pay_for_the_plan_and_no_more(case: Case) -> None:
    cards, cost = cards_of(case)
    assert cost == pytest.approx(sum(each.revenue_usd_per_s() or 0.0 for each in cards), rel=1e-6)
    own = cards[0]
    moved = sum(each.tokens_per_s.dot(Tokens(input=1.0, cached=1.0, output=1.0)) for each in own.brackets)
    hint = tier_of(case).hint
    expected = own.replicas * own.served_per_s * (hint.input_tokens_mean + hint.output_tokens_mean)
    assert expected == pytest.approx(moved, rel=PER_REQUEST_TOKENS)


@settings(max_examples=12)
@given(CASES)
def test_the_floor_is_below_the_price_of_a_request_and_no_price_is_negative(case: Case) -> None:
    for card in cards_of(case)[0]:
        assert card.served_per_s <= card.floor_per_s * (1.0 + 1e-9)
        paid = sum(each.tokens_per_s.dot(each.seconds) for each in card.brackets if each.seconds)
        floor = sum(each.tokens_per_s.dot(each.floor_seconds) for each in card.brackets if each.floor_seconds)
        assert floor <= paid * (1.0 + 1e-2)
        for seconds in [each.seconds for each in card.brackets if each.seconds]:
            assert min(seconds.input, seconds.cached, seconds.output) >= 0.0
        # in a bracket of many requests, long prompts may have the shorter answers: each price has its own weights
        for seconds in [each.seconds for each in card.brackets if each.seconds and each.request_ratio == 0.0]:
            assert seconds.cached <= seconds.input


@settings(max_examples=12)
@given(CASES)
def test_a_longer_context_is_never_cheaper_by_the_token(case: Case) -> None:
    for card in cards_of(case)[0]:
        unseen = [each.seconds for each in card.brackets if each.seconds and each.request_ratio == 0.0]
        assert [each.output for each in unseen] == sorted(each.output for each in unseen)
        assert [each.input for each in unseen] == sorted(each.input for each in unseen)


def test_at_twice_its_own_prices_a_plan_keeps_half() -> None:
    (card,), _ = cards_of(((200.0, 300.0), 0.0, "h100-sxm", 20.0, 1))
    seconds = card.brackets[0].seconds
    assert seconds is not None
    double = card.usd(seconds)
    assert double is not None
    # all requests of this short workload are in the first bracket
    assert 1.0 == pytest.approx(card.brackets[0].request_ratio)
    assert 0.5 == pytest.approx(card.margin_ratio(double.times(2.0)), rel=1e-6)
