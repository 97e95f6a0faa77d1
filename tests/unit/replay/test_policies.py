"""Each peer policy against its public definition, by hand."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from poolwright.queueing.objectives import Objectives
from poolwright.replay.fleet_observed import Latencies, Observed, VariantSeen
from poolwright.replay.fleet_variant import FleetVariant
from poolwright.replay.policies import POLICIES, policy_of
from poolwright.replay.policies.fill import filled
from poolwright.replay.policies.hpa import proposed
from poolwright.replay.policies.means_only import Iteration, fitted, sustained_per_s
from poolwright.simulator.layout import law_of
from poolwright.simulator.step_table import StepTable

GOALS = Objectives(ttft_s=1.0, itl_s=0.05)
BINS = 400


def step_s(sequences: float, context: float, prefill: float) -> float:
    """Return 10 ms, 0.1 ms a sequence, 0.05 ms a token of prefill; contexts cost nothing."""
    del context
    return 0.010 + 0.0001 * sequences + 0.00005 * prefill


LAW = law_of(StepTable.of(step_s, max_num_seqs=64, max_context_tokens=4096, max_num_batched_tokens=2048), 64)
VARIANT = FleetVariant(
    key="gpu", law=LAW, max_num_seqs=64, max_num_batched_tokens=2048, blocks=1000, block_tokens=10, price_usd_per_s=1.0
)
SEEN = VariantSeen(
    key="gpu",
    wanted=4,
    ready=4,
    starting=0,
    draining=0,
    quota=None,
    price_usd_per_s=1.0,
    max_num_seqs=64,
    kv_tokens=10_000,
    reporting=4,
)


def times(*values_s: float) -> Latencies:
    """Return a histogram of these times."""
    counts = np.zeros(BINS, dtype=np.int64)
    for value in values_s:
        counts[int(math.log(value / 1e-3) / 0.05)] += 1
    return Latencies(counts=counts, least_s=1e-3, step=0.05, total_s=sum(values_s))


def seen(at_s: float, *variants: VariantSeen, arrived: int = 0, held: int = 0, **latencies: Latencies) -> Observed:
    """Return a scrape of a second ago."""
    return Observed(
        seen_s=at_s - 1.0,
        window_s=15.0,
        variants=variants,
        arrived=arrived,
        shed=0,
        held=held,
        ttft=latencies.get("ttft", times()),
        itl=times(),
        tpot=latencies.get("tpot", times()),
        cold_start_s=120.0,
    )


def answers(name: str, observations: list[tuple[float, Observed]], **settings: float) -> list[Mapping[str, int]]:
    """Return what a fresh policy says to each observation."""
    policy = policy_of(name, (VARIANT,), GOALS, settings)
    return [policy.decide(observed, now_s) for now_s, observed in observations]


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_a_setting_that_does_not_exist_is_refused_with_those_that_do(name: str) -> None:
    with pytest.raises(ValueError, match=r"no setting colour; known (is|are) \w+"):
        policy_of(name, (VARIANT,), GOALS, {"colour": 1.0})


@pytest.mark.parametrize("name", sorted(set(POLICIES) - {"static", "planned"}))
def test_nothing_is_asked_for_before_the_first_scrape(name: str) -> None:
    before = replace(seen(0.0, replace(SEEN, reporting=0)), seen_s=-1.0)
    assert [{}] == answers(name, [(0.0, before)])


def test_the_first_variant_is_filled_to_its_quota_before_the_next() -> None:
    small = replace(SEEN, quota=3)
    assert {"gpu": 3, "other": 4} == filled((small, replace(SEEN, key="other")), 7)


@pytest.mark.parametrize(
    ("why", "total", "reporting", "unready", "expected"),
    [
        ("4 pods at 9 of 10 are within 10 %", 36.0, 4, 0, 4),
        ("4 pods at 15 of 10 need ceil(60 / 10)", 60.0, 4, 0, 6),
        ("4 pods at 5 of 10 need ceil(20 / 10)", 20.0, 4, 0, 2),
        ("2 starting pods count as idle: 60 over 6 pods is on target", 60.0, 4, 2, 4),
        ("and as on target downwards: (20 + 20) / 60 of 6 pods is 4", 20.0, 4, 2, 4),
        ("nobody reports", 0.0, 0, 4, 4),
    ],
)
def test_an_hpa_multiplies_replicas_by_metric_over_target(
    why: str, total: float, reporting: int, unready: int, expected: int
) -> None:
    found = proposed(total, 10.0, current=4, reporting=reporting, unready=unready, tolerance=0.1)
    assert (why, expected) == (why, found)


def test_an_hpa_on_running_requests_aims_at_its_share_of_the_batch() -> None:
    # 4 pods of 64 places: 0.8 of them are 204.8 requests; 230 are 112 % of that, so ceil(4 * 1.123) = 5.
    assert [{"gpu": 5}] == answers("hpa-running", [(15.0, seen(15.0, replace(SEEN, running=230)))])


def test_an_hpa_on_busy_devices_cannot_see_beyond_full() -> None:
    # 4 busy pods: 1.0 / 0.8 = 1.25, so 5, whatever waits.
    busy = replace(SEEN, busy_ratio=1.0, waiting=10_000)
    assert [{"gpu": 5}] == answers("hpa-busy", [(15.0, seen(15.0, busy))])


def test_an_hpa_on_queues_at_most_doubles_in_one_sync() -> None:
    # 200 waiting at 5 a pod want 40; 4 pods may become 8.
    assert [{"gpu": 8}] == answers("hpa-waiting", [(15.0, seen(15.0, replace(SEEN, waiting=200)))])


def test_an_hpa_lowers_only_after_five_minutes_of_lower_proposals() -> None:
    full, idle = replace(SEEN, running=205), replace(SEEN, running=50)
    steps = [(15.0, seen(15.0, full)), *((15.0 * k, seen(15.0 * k, idle)) for k in range(2, 25))]
    found = [each["gpu"] for each in answers("hpa-running", steps)]
    # The proposal of 15 s is 300 s old at 315 s, the 21st decision.
    assert [4] * 20 + [1] * 4 == found


def test_keda_looks_at_its_trigger_every_30_s() -> None:
    queued = replace(SEEN, waiting=40)
    found = answers("keda", [(30.0, seen(30.0, queued)), (45.0, seen(45.0, queued)), (60.0, seen(60.0, queued))])
    assert [{"gpu": 8}, {}, {"gpu": 8}] == found


def test_keda_lets_the_last_replica_go_after_the_cooldown_and_brings_one_for_what_waits_at_the_gateway() -> None:
    one = replace(SEEN, wanted=1, ready=1, reporting=1)
    none = replace(SEEN, wanted=0, ready=0, reporting=0)
    steps = [(270.0, seen(270.0, one)), (300.0, seen(300.0, one)), (330.0, seen(330.0, none, held=3))]
    assert [{"gpu": 1}, {"gpu": 0}, {"gpu": 1}] == answers("keda", steps, min_replicas=0)


def test_kpa_follows_mean_concurrency_over_a_minute() -> None:
    # Target 0.7 * 64 = 44.8; the mean of 100 and 260 is 180, so ceil(4.02) = 5.
    steps = [(15.0, seen(15.0, replace(SEEN, running=100))), (30.0, seen(30.0, replace(SEEN, running=260)))]
    assert [{"gpu": 3}, {"gpu": 5}] == answers("kpa", steps)


def test_kpa_panics_at_twice_what_is_ready_and_then_holds_for_a_stable_window() -> None:
    flood, calm = replace(SEEN, running=256, waiting=144), replace(SEEN, running=10)
    steps = [(15.0, seen(15.0, flood)), *((15.0 * k, seen(15.0 * k, calm)) for k in range(2, 6))]
    # 400 / 44.8 makes 9, at least 2 * 4; after 60 s the mean is 10, but at least half of 4 stays.
    assert [9, 9, 9, 9, 2] == [each["gpu"] for each in answers("kpa", steps)]


def test_token_saturation_keeps_demand_between_its_ratios() -> None:
    # 4 caches of 10000, of which 0.8 count: 32000. Demand 36000 / 0.85 lacks 10353, two replicas of 8000.
    up = seen(30.0, replace(SEEN, kv_used_ratio=0.9))
    # Demand 12000 / 0.70 = 17143: 14857 to spare, one whole replica of 8000.
    down = seen(30.0, replace(SEEN, kv_used_ratio=0.3))
    between = seen(30.0, replace(SEEN, kv_used_ratio=0.6))
    found = [answers("token-saturation", [(30.0, each)])[0]["gpu"] for each in (up, down, between)]
    assert [6, 3, 4] == found


def test_token_saturation_counts_replicas_on_their_way() -> None:
    starting = replace(SEEN, wanted=6, starting=2, kv_used_ratio=0.9)
    assert [{"gpu": 6}] == answers("token-saturation", [(30.0, seen(30.0, starting))])


def test_slo_ratio_grows_with_pressure_and_shrinks_by_one_a_minute() -> None:
    slow, fast = times(1.1), times(0.2)
    steps = [
        (15.0, seen(15.0, SEEN, ttft=slow, tpot=times(0.01))),
        # A minute later the slow one has left the window; then one replica a minute.
        *((75.0 + 30.0 * k, seen(75.0 + 30.0 * k, SEEN, ttft=fast, tpot=times(0.01))) for k in range(3)),
    ]
    # 1.1 over 0.55 is 2: 4 become 8.
    assert [8, 3, 4, 3] == [each["gpu"] for each in answers("slo-ratio", steps)]


def test_slo_ratio_takes_a_queue_without_any_first_token_for_the_worst() -> None:
    assert [{"gpu": 8}] == answers("slo-ratio", [(15.0, seen(15.0, replace(SEEN, waiting=9)))])


def test_a_linear_law_is_fitted_exactly() -> None:
    model = fitted(LAW, input_tokens=1000.0, output_tokens=100.0, batch=64, chunk_tokens=2048)
    # Alone 10 ms + 0.1 ms; a prompt 10 ms + 50 ms. In a batch of 64 each step carries 640 prompt tokens, 32 ms.
    expected = (0.0101, 0.0484, 0.060)
    assert expected == pytest.approx((model.decode_s(1), model.decode_s(64), model.prefill_s(1)))


def test_what_means_sustain_is_bounded_by_the_mean_time_between_tokens() -> None:
    model = Iteration(decode_base_s=0.01, decode_each_s=0.001, prefill_base_s=0.0, prefill_each_s=0.0)
    loose, tight = (
        sustained_per_s(model, output_tokens=101.0, batch=64, objectives=Objectives(itl_s=itl_s))
        for itl_s in (1.0, 0.03)
    )
    # At 20 sequences a step takes 30 ms: some 20 / (100 * 0.03) a second; a full batch 64 / (100 * 0.074).
    assert tight == pytest.approx(20.0 / 3.0, rel=0.05)
    assert loose == pytest.approx(64.0 / 7.4, rel=0.01)


def test_means_only_divides_demand_by_what_one_replica_serves() -> None:
    served = replace(SEEN, finished=10, finished_input_tokens=10_000, finished_output_tokens=1_000)
    model = fitted(LAW, input_tokens=1000.0, output_tokens=100.0, batch=64, chunk_tokens=2048)
    each = sustained_per_s(model, output_tokens=100.0, batch=64, objectives=GOALS)
    arrived = int(6.5 * each * 15.0)
    assert [{"gpu": 7}] == answers("means-only", [(60.0, seen(60.0, served, arrived=arrived))])
