"""What a policy may see of a fleet: the API's counts of now, and a scrape's figures of one period ago.

Figures are those of the replicas that answered the scrape, over the window that ended with it. Nothing here tells what
is still to come, which requests are in flight, or what an answer's length will be.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from poolwright.simulator.layout import Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """A histogram of times over one window, in bins of equal ratio.

    Attributes
    ----------
    counts
        How many were in each bin, shape (bins,).
    least_s, step
        Lower end of the first bin [s], and width of every bin [1, natural logarithm].
    total_s
        Sum of the times [s], exact.
    """

    counts: Integers
    least_s: float
    step: float
    total_s: float

    @property
    def count(self) -> int:
        """How many were seen."""
        return int(self.counts.sum())

    @property
    def mean_s(self) -> float | None:
        """Their mean [s]; None without any."""
        count = self.count
        return self.total_s / count if count else None

    def percentile_s(self, ratio: float) -> float | None:
        """Return the time that ``ratio`` of them stay within [s], to the middle of its bin; None without any."""
        summed = np.cumsum(self.counts)
        if summed[-1] == 0:
            return None
        place = int(np.searchsorted(summed, ratio * summed[-1]))
        return float(self.least_s * np.exp(self.step * (place + 0.5)))

    def share_within(self, limit_s: float) -> float | None:
        """Return the share that stayed within a time, spread evenly inside a bin; None without any."""
        count = self.count
        if not count:
            return None
        place = float(np.log(max(limit_s, self.least_s) / self.least_s)) / self.step
        whole = min(int(place), len(self.counts) - 1)
        return float(self.counts[:whole].sum() + min(place - whole, 1.0) * self.counts[whole]) / count


def merged(several: Sequence[Latencies]) -> Latencies:
    """Return the histogram of several windows together; at least one, all with the same bins."""
    counts = np.sum([each.counts for each in several], axis=0)
    total_s = sum(each.total_s for each in several)
    return Latencies(counts=counts, least_s=several[0].least_s, step=several[0].step, total_s=total_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantSeen:
    """One variant of a fleet.

    Attributes
    ----------
    key
        Its name, as in the answer of a policy.
    wanted, ready, starting, draining
        Replicas asked for, taking requests, on their way, and finishing what they have: the API's, of now.
    quota
        Most replicas that there may be, or None.
    price_usd_per_s
        Of one replica.
    max_num_seqs, kv_tokens
        Requests in one replica's batch, and tokens that its cache holds.
    reporting
        Replicas whose figures the scrape has; below ``ready`` (then) where some did not answer.
    running, waiting
        Requests in their batches, and in their queues, at the scrape.
    kv_used_ratio
        Mean share of cache blocks that are held, at the scrape.
    arrived, finished
        Requests that came to them and that left them served, in the window.
    prefilled_tokens, generated_tokens
        Tokens computed and generated in the window; a prompt that is computed again counts again.
    finished_input_tokens, finished_output_tokens
        Lengths of those that finished in the window, summed.
    preempted
        Requests whose cache was taken away in the window.
    busy_ratio
        Mean share of the window in which a step ran: what a device's utilisation counter shows.
    """

    key: str
    wanted: int
    ready: int
    starting: int
    draining: int
    quota: int | None
    price_usd_per_s: float
    max_num_seqs: int
    kv_tokens: int
    reporting: int = 0
    running: int = 0
    waiting: int = 0
    kv_used_ratio: float = 0.0
    arrived: int = 0
    finished: int = 0
    prefilled_tokens: int = 0
    generated_tokens: int = 0
    finished_input_tokens: int = 0
    finished_output_tokens: int = 0
    preempted: int = 0
    busy_ratio: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a policy sees at a decision.

    Attributes
    ----------
    seen_s
        When the scrape was [s]: a period before the decision; negative before the first one, when all figures are 0.
    window_s
        Length of the window that it closed [s].
    variants
        By variant, in a fixed order.
    arrived, shed
        Requests that came to the gateway in the window, and of those the ones refused.
    held
        Requests that waited at the gateway for any ready replica, at the scrape.
    ttft, itl, tpot
        Times to first token of requests that got theirs in the window; between tokens, by token; and mean per token of
        requests that finished in the window.
    cold_start_s
        Time from order to readiness of the latest start that was seen [s], or what is configured before any.
    """

    seen_s: float
    window_s: float
    variants: tuple[VariantSeen, ...]
    arrived: int
    shed: int
    held: int
    ttft: Latencies
    itl: Latencies
    tpot: Latencies
    cold_start_s: float

    def variant(self, key: str) -> VariantSeen:
        """Return one variant by name."""
        return next(each for each in self.variants if each.key == key)

    @property
    def ready(self) -> int:
        """Replicas that take requests, of all variants."""
        return sum(each.ready for each in self.variants)

    @property
    def coming(self) -> int:
        """Replicas that take requests or will: ready and starting, of all variants."""
        return sum(each.ready + each.starting for each in self.variants)

    @property
    def running(self) -> int:
        """Requests in batches at the scrape, of all variants."""
        return sum(each.running for each in self.variants)

    @property
    def waiting(self) -> int:
        """Requests in queues at the scrape, of all variants and at the gateway."""
        return sum(each.waiting for each in self.variants) + self.held

    @property
    def arrivals_per_s(self) -> float:
        """Requests per second over the window."""
        return self.arrived / self.window_s
