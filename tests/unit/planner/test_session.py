"""Sessions by hand: growing prompts, reused prefixes, and cache that is held between turns."""

from dataclasses import replace

import pytest

from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.candidates import Candidate, candidates
from poolwright.planner.demand import load_of
from poolwright.planner.held import held_tokens
from poolwright.planner.menu import Option
from poolwright.planner.policy import SessionShape, TierPolicy, WorkloadHint
from poolwright.planner.session import session_load
from poolwright.planner.snapshot import History, Known, TierSignals
from poolwright.queueing.objectives import Objectives

CATALOGUE = load_catalogue()
AGENT = WorkloadHint(
    input_tokens_mean=4000.0,
    output_tokens_mean=200.0,
    sessions=SessionShape(turns=10, new_tokens=500.0, hold_s=30.0),
)
TIER = TierPolicy(name="t", objectives=Objectives(ttft_s=2.0, itl_s=0.06), hint=AGENT, static_rate_per_s=10.0)


def with_shape(**changes: float) -> WorkloadHint:
    assert AGENT.sessions is not None
    return replace(AGENT, sessions=replace(AGENT.sessions, **changes))  # type: ignore[arg-type]


def test_ten_turns_of_an_agent() -> None:
    found = session_load(AGENT)
    # 4000 + 4.5 x (500 + 200)
    assert 7150.0 == found.input_tokens_mean
    # of which (4000 + 9 x 500) / 10 = 850 are computed
    assert 1.0 - 850.0 / 7150.0 == pytest.approx(found.cached_prefix_ratio)
    # nine of ten requests are followed by 30 s; the context is then 4000 + 4 x 700 + 200 = 7000 tokens
    assert 0.9 * 30.0 * 7000.0 == pytest.approx(found.held_token_s(7150.0, 200.0))


@pytest.mark.parametrize(
    ("hint", "prompt", "computed"),
    [
        (with_shape(turns=1), 4000.0, 4000.0),
        (with_shape(turns=2), 4350.0, 2250.0),  # (4000 + 500) / 2
        (with_shape(turns=2, samples_per_prompt=8), 4350.0, 500.0),  # (4000 / 8 + 500) / 2
        (replace(with_shape(turns=2), cached_prefix_ratio=0.75), 4350.0, 750.0),  # (1000 + 500) / 2
    ],
    ids=["one turn", "two turns", "eight samples of a prompt", "instructions that all sessions share"],
)
def test_what_is_computed_of_a_prompt(hint: WorkloadHint, prompt: float, computed: float) -> None:
    found = session_load(hint)
    assert prompt == found.input_tokens_mean
    assert computed == pytest.approx(prompt * (1.0 - found.cached_prefix_ratio))


def test_a_session_of_one_turn_holds_nothing_and_no_session_is_the_hint() -> None:
    assert 0.0 == session_load(with_shape(turns=1)).held_token_s(4000.0, 200.0)
    plain = session_load(replace(AGENT, sessions=None, cached_prefix_ratio=0.25))
    assert (4000.0, 0.25, 0.0, None) == (
        plain.input_tokens_mean,
        plain.cached_prefix_ratio,
        plain.held_token_s(4000.0, 200.0),
        plain.step,
    )


def test_lengths_that_were_seen_replace_those_of_the_hint_and_scale_what_is_held() -> None:
    signals = TierSignals(
        arrivals_per_s=Known(value=3.0),
        waiting=Known(value=0.0),
        input_tokens_mean=Known(value=14_300.0),
        output_tokens_mean=Known(value=400.0),
    )
    tier = replace(TIER, static_rate_per_s=None)
    load = load_of(tier, signals, History(), headroom_ratio=0.0, horizon_s=60.0, now_s=0.0)
    # twice 7150 and 200: twice 189,000 token-seconds
    assert (14_300.0, pytest.approx(378_000.0)) == (load.input_tokens_mean, load.held_token_s)


def test_what_is_left_sustains_no_more_than_what_is_set_aside_holds() -> None:
    # a replica that sustains a request per 50,000 tokens of cache, and 2 s x 25,000 tokens held a request:
    # with l set aside, (200,000 - 50,000 l) / 50,000 = l at l = 2
    held = held_tokens(lambda tokens: max(tokens, 0.0) / 50_000.0, 200_000.0, 50_000.0)
    assert 100_000.0 <= held <= 100_000.0 * (1.0 + 1.0 / 64.0)
    assert 0.0 == held_tokens(lambda tokens: tokens, 200_000.0, 0.0)


def candidate(hint: WorkloadHint) -> Candidate:
    load = load_of(replace(TIER, hint=hint), TierSignals(), History(), headroom_ratio=0.0, horizon_s=60.0, now_s=0.0)
    option = Option(
        accelerator=CATALOGUE.accelerator("h100-sxm"), weight_format="bf16", kv_format="bf16", tensor_parallel=1
    )
    (found,), _ = candidates(CATALOGUE.model("meta-llama/Llama-3.1-8B-Instruct"), (option,), load, TIER.objectives)
    return found


def test_the_longer_tools_run_the_less_a_replica_serves() -> None:
    found = [candidate(with_shape(hold_s=hold_s)) for hold_s in (0.0, 5.0, 30.0, 120.0)]
    rates = [each.limits.rate_per_s for each in found]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 2.0 * rates[2]
    assert 0.0 == found[0].held_tokens
    for each in found[1:]:
        assert each.memory.kv_capacity_tokens == pytest.approx(each.held_tokens + each.station.kv_capacity_tokens)


def test_reuse_is_worth_more_than_holding_costs_where_tools_are_quick() -> None:
    alone = replace(AGENT, sessions=None, input_tokens_mean=7150.0)
    assert candidate(with_shape(hold_s=1.0)).limits.rate_per_s > 2.0 * candidate(alone).limits.rate_per_s
