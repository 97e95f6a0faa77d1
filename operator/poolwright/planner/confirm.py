"""Which offers are worth a simulation: those that would be chosen, until the cheapest one is confirmed.

The closed form ranks; the judge then looks at the best offer, which may become dearer and lose its place to the next,
and at what runs already. The others stay as the closed form has them.
"""

from collections.abc import Callable, Sequence

from poolwright.planner.offer import Offer
from poolwright.planner.snapshot import Variant

Again = Callable[[Offer], Offer]
"""The same offer by the judge."""


def confirmed(offers: Sequence[Offer], again: Again, current: Variant | None) -> list[Offer]:
    """Return offers, best first, of which the first and the current one were judged.

    Those that the judge finds infeasible are left out; all of them stay where nothing would be left.
    """
    judged: dict[Variant, Offer] = {}
    ranked = sorted(offers, key=lambda offer: offer.rank)
    while True:
        wanted = [each for each in ranked[:1] if each.variant not in judged]
        wanted += [each for each in ranked if each.variant == current and each.variant not in judged]
        if not wanted:
            return ranked or sorted(offers, key=lambda offer: offer.rank)
        judged |= {each.variant: again(each) for each in wanted}
        known = [judged.get(each.variant, each) for each in ranked]
        ranked = sorted((each for each in known if each.verdict.is_feasible), key=lambda offer: offer.rank)
