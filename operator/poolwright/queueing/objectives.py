"""What a tier promises, at a percentile."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """Latency objectives of one tier; an absent one is None.

    Attributes
    ----------
    percentile_ratio
        Share of requests (TTFT, end to end) or of tokens (ITL) that must meet the objective, in (0, 1).
    ttft_s, itl_s, end_to_end_s
        Time to first token, inter-token latency, whole request [s].
    """

    percentile_ratio: float = 0.95
    ttft_s: float | None = None
    itl_s: float | None = None
    end_to_end_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse objectives that nothing could be checked against."""
        if not 0.0 < self.percentile_ratio < 1.0:
            raise ValueError(f"percentile_ratio is {self.percentile_ratio}, must be in (0, 1)")
        stated = self.stated
        if not stated or not all(0.0 < value < float("inf") for value in stated.values()):
            raise ValueError(f"objectives are {stated} s, need at least one, each positive and finite")

    @property
    def stated(self) -> dict[str, float]:
        """The stated objectives [s] by name."""
        named = {"ttft": self.ttft_s, "itl": self.itl_s, "end_to_end": self.end_to_end_s}
        return {name: value for name, value in named.items() if value is not None}
