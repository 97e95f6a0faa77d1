"""How traffic was served: latencies at a percentile over recent time, and the share that met its objectives."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from poolwright.queueing.objectives import Objectives

RECENT_S: Final = 60.0
"""[s] What "recent" means for a displayed percentile: the window that the operator's own rates have by default."""


@dataclass(slots=True)
class Score:
    """Latencies of one tier.

    Attributes
    ----------
    objectives
        What counts as met.
    arrived, served, met, shed
        Requests that came, that got their first token, of those the ones within the objective, and those refused.
    tokens, tokens_met
        Tokens after the first, and those within the objective for inter-token latency.
    """

    objectives: Objectives
    arrived: int = 0
    served: int = 0
    met: int = 0
    shed: int = 0
    tokens: int = 0
    tokens_met: int = 0
    _ttft: deque[tuple[float, float]] = field(default_factory=deque)
    _itl: deque[tuple[float, float, int]] = field(default_factory=deque)

    def first_token(self, at_s: float, ttft_s: float) -> None:
        """Count a first token."""
        self.served += 1
        self.met += self.objectives.ttft_s is None or ttft_s <= self.objectives.ttft_s
        self._ttft.append((at_s, ttft_s))

    def later_tokens(self, at_s: float, itl_s: float, count: int) -> None:
        """Count tokens that took ``itl_s`` each."""
        self.tokens += count
        self.tokens_met += count * (self.objectives.itl_s is None or itl_s <= self.objectives.itl_s)
        self._itl.append((at_s, itl_s, count))

    def forget_before(self, time_s: float) -> None:
        """Drop what is no longer recent."""
        while self._ttft and self._ttft[0][0] < time_s:
            self._ttft.popleft()
        while self._itl and self._itl[0][0] < time_s:
            self._itl.popleft()

    @property
    def recent_ttft_s(self) -> float | None:
        """Time to first token at the tier's percentile over recent requests [s]; None without any."""
        if not self._ttft:
            return None
        return float(np.quantile([value for _, value in self._ttft], self.objectives.percentile_ratio))

    @property
    def recent_itl_s(self) -> float | None:
        """Inter-token latency at the tier's percentile over recent tokens [s]; None without any."""
        if not self._itl:
            return None
        values = np.array([value for _, value, _ in self._itl])
        weights = np.array([count for _, _, count in self._itl], dtype=np.float64)
        return float(np.quantile(values, self.objectives.percentile_ratio, weights=weights, method="inverted_cdf"))

    @property
    def attainment_ratio(self) -> float:
        """Share of requests whose first token came in time, those refused counted as late; 1 before any."""
        judged = self.served + self.shed
        return self.met / judged if judged else 1.0

    @property
    def token_attainment_ratio(self) -> float:
        """Share of later tokens within the objective for inter-token latency; 1 before any."""
        return self.tokens_met / self.tokens if self.tokens else 1.0
