"""How many (candidate, batch) pairs a second the performance model evaluates on one core; fails below one million.

Prints the median of several rounds: a machine shared with others slows single rounds down.
"""

import statistics
import sys
import time

import numpy as np

from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.step_time import StepLaw, candidate_law

ROUNDS = 7
BATCHES = 1000
LEAST_PER_S = 1e6


def candidates() -> list[ReplicaConfig]:
    """Return dense, sparse and latent models on accelerators of three vendors."""
    catalogue = load_catalogue()
    return [
        ReplicaConfig(
            accelerator=catalogue.accelerator(accelerator),
            model=catalogue.model(model),
            weight_format=weights,
            kv_format="bf16",
            tensor_parallel=tensor,
        )
        for model in ("llama-3.1-70b", "qwen3-235b-a22b", "deepseek-r1", "llama-3.1-8b")
        for accelerator in ("h100-sxm", "h200-sxm", "b200-sxm", "mi300x", "gaudi3")
        for weights in ("fp8", "bf16")
        for tensor in (1, 2, 4, 8)
    ]


def pairs_per_s(law: StepLaw, count: int) -> float:
    """Return evaluations a second of one round."""
    batches = np.linspace(1.0, 512.0, BATCHES)
    start_s = time.process_time()
    law.seconds(decode_sequences=batches, context_tokens=2048.0, prefill_tokens=256.0)
    return count * BATCHES / (time.process_time() - start_s)


def main() -> int:
    """Print the figure and compare it with what the planner needs."""
    configs = candidates()
    law = candidate_law(configs)
    rate = statistics.median(pairs_per_s(law, len(configs)) for _ in range(ROUNDS))
    print(
        f"perf: {rate / 1e6:.2f} million (candidate, batch) evaluations a second on one core, {len(configs)} candidates"
    )
    return 0 if rate >= LEAST_PER_S else 1


if __name__ == "__main__":
    sys.exit(main())
