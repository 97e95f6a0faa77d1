"""What the loop keeps when plans meet the world they asked for, again and again."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.plan import plan
from poolwright.planner.policy import AcceleratorChoice, PoolPolicy, Scaling, TierPolicy
from poolwright.planner.snapshot import History, Inventory, Known, Snapshot, TierSignals, VariantState
from poolwright.queueing.objectives import Objectives

CATALOGUE = load_catalogue()
PERIOD_S = 15.0
COLD_START_S = 60.0
POLICY = PoolPolicy(
    namespace="n",
    name="p",
    model=CATALOGUE.model("meta-llama/Llama-3.1-8B-Instruct"),
    tiers=(TierPolicy(name="chat", objectives=Objectives(ttft_s=0.8, itl_s=0.04)),),
    accelerators=(AcceleratorChoice(name="h100-sxm"),),
    max_tensor_parallel=1,
    scaling=Scaling(max_replicas=200, scale_down_stabilisation_s=120.0),
)


def signals(rate_per_s: float) -> TierSignals:
    return TierSignals(
        arrivals_per_s=Known(value=rate_per_s),
        edge_per_s=Known(value=rate_per_s),
        edge_s=Known(value=PERIOD_S),
        waiting=Known(value=0.0),
        running=Known(value=rate_per_s),
        input_tokens_mean=Known(value=1024.0),
        output_tokens_mean=Known(value=256.0),
        reporting_ratio=Known(value=1.0),
    )


def replicas_over(rates: list[float]) -> list[int]:
    """Return replicas wanted in each cycle, where what is ordered serves one cold start later."""
    history, states, counts = History(), (), []
    ordered: list[tuple[float, int]] = []
    for cycle, rate in enumerate(rates):
        now_s = 1000.0 + PERIOD_S * cycle
        world = Snapshot(
            tiers=(("chat", signals(rate)),),
            variants=states,
            inventory=Inventory(provisionable=("h100-sxm",)),
            cold_start_s=Known(value=COLD_START_S),
        )
        made = plan(POLICY, world, history, CATALOGUE, now_s)
        history = made.history
        chosen = made.variants[0]
        counts.append(chosen.replicas)
        ordered.append((now_s, chosen.replicas))
        served = [count for time_s, count in ordered if time_s <= now_s - COLD_START_S]
        ready = min(served[-1] if served else 0, chosen.replicas)
        states = (
            VariantState(
                variant=chosen.variant,
                wanted=chosen.replicas,
                ready=ready,
                starting=chosen.replicas - ready,
                max_num_seqs=chosen.max_num_seqs,
                max_num_batched_tokens=chosen.max_num_batched_tokens,
                max_queued_requests=chosen.max_queued_requests,
                weight_bytes=chosen.weight_bytes,
            ),
        )
    return counts


RATES = st.integers(0, 8).map(lambda power: 1.1 * 2.0**power)


@settings(max_examples=3)
@given(RATES, RATES)
def test_a_step_is_followed_once_and_without_oscillation(before: float, after: float) -> None:
    counts = replicas_over([before] * 10 + [after] * 45)
    moves = [later - earlier for earlier, later in pairwise(counts) if later != earlier]
    assert all(move > 0 for move in moves) or all(move < 0 for move in moves), counts
    assert len(set(counts[-8:])) == 1


@settings(max_examples=3)
@given(RATES, st.sampled_from([2.0, 2.7]))
def test_a_step_up_is_ordered_whole_in_one_cycle_whatever_is_pending(before: float, factor: float) -> None:
    counts = replicas_over([before] * 3 + [before * factor] * 6)
    assert counts[3] == max(counts)


def test_a_scale_down_waits_for_the_whole_window() -> None:
    counts = replicas_over([100.0] * 12 + [10.0] * 14)
    # 120 s of stabilisation and 300 s of recent windows that still count as the present, in cycles of 15 s.
    assert counts[12 + 7] == counts[11]
