"""Fronts by hand: what nothing beats."""

import math

import pytest

from poolwright.planner.advice.frontier import Point, with_fronts


def point(variant: str, cost: float, ttft_s: float, itl_s: float = 1.0) -> Point:
    return Point(
        variant=variant,
        replicas=1,
        cost_usd_per_s=cost,
        ttft_s=ttft_s,
        itl_s=itl_s,
        attainment_ratio=1.0,
        meets_objectives=True,
    )


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([point("a", 1.0, 3.0), point("b", 2.0, 2.0), point("c", 3.0, 1.0)], "abc"),
        ([point("a", 1.0, 2.0), point("b", 2.0, 2.0), point("c", 3.0, 3.0)], "a"),
        ([point("dear", 1.0, 2.0), point("b", 1.0, 1.0)], "b"),
        ([point("late", 1.0, math.inf), point("b", 2.0, 1.0)], "b"),
        ([], ""),
    ],
    ids=["all trade", "as slow and dearer is beaten", "one cost", "what never answers", "no point"],
)
def test_the_front_has_what_no_cheaper_point_is_as_fast_as(points: list[Point], front: str) -> None:
    assert list(front) == [each.variant for each in with_fronts(points) if each.on_ttft_front]


def test_each_latency_has_its_own_front() -> None:
    found = with_fronts([point("b", 2.0, 1.0, 3.0), point("a", 1.0, 2.0, 3.0)])
    assert [("a", True, True), ("b", True, False)] == [
        (each.variant, each.on_ttft_front, each.on_itl_front) for each in found
    ]
