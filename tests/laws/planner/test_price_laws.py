"""What a price card keeps: it pays for the plan, whatever the pool."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.plan import plan
from poolwright.planner.policy import AcceleratorChoice, PoolPolicy, TierPolicy, WorkloadHint
from poolwright.planner.price_card import PriceCard, price_cards
from poolwright.planner.snapshot import History, Inventory, Snapshot
from poolwright.planner.token_share import Tokens
from poolwright.queueing.objectives import Objectives

CATALOGUE = load_catalogue()
PER_REQUEST_TOKENS = 0.02


@st.composite
def policies(draw: st.DrawFn) -> PoolPolicy:
    inputs, outputs = draw(st.sampled_from([(200.0, 300.0), (2000.0, 200.0), (9000.0, 700.0)]))
    hint = WorkloadHint(
        input_tokens_mean=inputs, output_tokens_mean=outputs, cached_prefix_ratio=draw(st.sampled_from([0.0, 0.5, 0.9]))
    )
    tier = TierPolicy(
        name="chat",
        objectives=Objectives(ttft_s=20.0, itl_s=0.5),
        hint=hint,
        static_rate_per_s=draw(st.sampled_from([0.5, 7.0, 90.0, 20_000.0])),
    )
    return PoolPolicy(
        namespace="n",
        name="p",
        model=CATALOGUE.model("meta-llama/Llama-3.1-8B-Instruct"),
        tiers=(tier,),
        accelerators=(AcceleratorChoice(name=draw(st.sampled_from(["h100-sxm", "l40s"]))),),
    )


def cards_of(policy: PoolPolicy) -> tuple[tuple[PriceCard, ...], float | None]:
    names = tuple(each.name for each in policy.accelerators)
    made = plan(policy, Snapshot(inventory=Inventory(provisionable=names)), History(), CATALOGUE, 0.0)
    return price_cards(policy, made, CATALOGUE), made.cost_usd_per_s


@settings(max_examples=12)
@given(policies())
def test_tokens_sold_at_the_card_pay_for_the_plan_and_no_more(policy: PoolPolicy) -> None:
    cards, cost = cards_of(policy)
    assert cost == pytest.approx(sum(each.revenue_usd_per_s() or 0.0 for each in cards), rel=1e-6)
    own = cards[0]
    moved = sum(each.tokens_per_s.dot(Tokens(input=1.0, cached=1.0, output=1.0)) for each in own.brackets)
    hint = policy.tiers[0].hint
    expected = own.replicas * own.served_per_s * (hint.input_tokens_mean + hint.output_tokens_mean)
    assert expected == pytest.approx(moved, rel=PER_REQUEST_TOKENS)


@settings(max_examples=12)
@given(policies())
def test_the_floor_is_below_the_price_of_a_request_and_no_price_is_negative(policy: PoolPolicy) -> None:
    for card in cards_of(policy)[0]:
        assert card.served_per_s <= card.floor_per_s * (1.0 + 1e-9)
        paid = sum(each.tokens_per_s.dot(each.seconds) for each in card.brackets if each.seconds)
        floor = sum(each.tokens_per_s.dot(each.floor_seconds) for each in card.brackets if each.floor_seconds)
        assert floor <= paid * (1.0 + 1e-2)
        for seconds in [each.seconds for each in card.brackets if each.seconds]:
            assert min(seconds.input, seconds.cached, seconds.output) >= 0.0
            assert seconds.cached <= seconds.input


@settings(max_examples=12)
@given(policies())
def test_a_longer_context_is_never_cheaper_by_the_token(policy: PoolPolicy) -> None:
    for card in cards_of(policy)[0]:
        unseen = [each.seconds for each in card.brackets if each.seconds and each.request_ratio == 0.0]
        assert [each.output for each in unseen] == sorted(each.output for each in unseen)
        assert [each.input for each in unseen] == sorted(each.input for each in unseen)


def test_at_twice_its_own_prices_a_plan_keeps_half() -> None:
    tier = TierPolicy(name="t", objectives=Objectives(ttft_s=1.0), static_rate_per_s=20.0)
    policy = PoolPolicy(
        namespace="n",
        name="p",
        model=CATALOGUE.model("meta-llama/Llama-3.1-8B-Instruct"),
        tiers=(tier,),
        accelerators=(AcceleratorChoice(name="h100-sxm"),),
    )
    (card,), _ = cards_of(policy)
    seconds = card.brackets[0].seconds
    assert seconds is not None
    double = card.usd(seconds)
    assert double is not None
    # all requests of this short workload are in the first bracket
    assert 1.0 == pytest.approx(card.brackets[0].request_ratio)
    assert 0.5 == pytest.approx(card.margin_ratio(double.times(2.0)), rel=1e-6)
