"""What the rate curve of a plan keeps."""

from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.plan import plan
from poolwright.planner.policy import AcceleratorChoice, PoolPolicy, TierPolicy, WorkloadHint
from poolwright.planner.snapshot import History, Inventory, Snapshot
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.sizing import NEAR_BEST
from poolwright.queueing.station import kv_limit
from poolwright.queueing.workload import Workload

CATALOGUE = load_catalogue()
BIN = 1.06
"""Mean lengths are rounded to bins of 5 % before limits are scanned."""


@settings(max_examples=8)
@given(
    st.sampled_from(["h100-sxm", "l40s", "l4"]),
    st.sampled_from([100.0, 1000.0, 8000.0]),
    st.sampled_from([50.0, 1000.0]),
    st.sampled_from([0.03, 0.1, 1.0]),
)
def test_no_point_of_the_curve_is_above_what_the_cache_holds_and_the_choice_is_near_its_best(
    accelerator: str, inputs: float, outputs: float, itl_s: float
) -> None:
    hint = WorkloadHint(input_tokens_mean=inputs, output_tokens_mean=outputs)
    policy = PoolPolicy(
        namespace="n",
        name="p",
        model=CATALOGUE.model("meta-llama/Llama-3.1-8B-Instruct"),
        tiers=(TierPolicy(name="t", objectives=Objectives(itl_s=itl_s), hint=hint, static_rate_per_s=1.0),),
        accelerators=(AcceleratorChoice(name=accelerator),),
        max_tensor_parallel=1,
    )
    made = plan(policy, Snapshot(inventory=Inventory(provisionable=(accelerator,))), History(), CATALOGUE, 0.0)
    memory = [step for step in made.tiers[0].steps if step.name == "memory"]
    for variant in made.variants:
        assert variant.rate_curve
        fits = float(memory[0].value)
        assert max(sequences for sequences, _, _ in variant.rate_curve) <= fits
        # and that is no more than the cache of this accelerator holds of such requests
        most = CATALOGUE.accelerator(accelerator).memory_bytes / 131_072.0
        assert fits <= kv_limit(Workload.from_means(inputs / BIN, outputs / BIN).moments, most, 16)
        best = max(rate for _, _, rate in variant.rate_curve)
        chosen = {(b, c): rate for b, c, rate in variant.rate_curve}[
            variant.max_num_seqs, variant.max_num_batched_tokens
        ]
        assert NEAR_BEST * best <= chosen <= best
