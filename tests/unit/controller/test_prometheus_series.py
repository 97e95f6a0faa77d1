"""How series of a Prometheus answer become scrapes of pods, where a real server would need luck to show it."""

from typing import Any

from poolwright.controller.signals.exposition import Sample
from poolwright.controller.signals.prometheus_source import _by_pod

RUNNING = "vllm:num_requests_running"


def series(job: str, values: list[Any], pod: str = "a", **labels: str) -> dict[str, Any]:
    metric = {"__name__": RUNNING, "pod": pod, "namespace": "team-a", "job": job, **labels}
    return {"metric": metric, "values": values}


def numbers(found: dict[float, list[Sample]]) -> dict[float, list[float]]:
    return {moment: [sample.value for sample in samples] for moment, samples in found.items()}


def test_of_two_jobs_that_scrape_one_pod_the_one_read_last_is_used() -> None:
    found = _by_pod([series("old", [[10.0, "5"], [20.0, "6"]]), series("new", [[20.0, "6"], [30.0, "7"]])])
    assert {20.0: [6.0], 30.0: [7.0]} == numbers(found["a"])


def test_of_two_jobs_read_at_the_same_moment_one_is_used() -> None:
    found = _by_pod([series("one", [[10.0, "5"]]), series("two", [[10.0, "5"]])])
    assert {10.0: [5.0]} == numbers(found["a"])


def test_series_of_one_target_that_differ_in_other_labels_are_all_kept() -> None:
    found = _by_pod([series("one", [[10.0, "5"]], engine="0"), series("one", [[10.0, "2"]], engine="1")])
    assert {10.0: [5.0, 2.0]} == numbers(found["a"])


def test_pods_are_kept_apart() -> None:
    found = _by_pod([series("one", [[10.0, "5"]]), series("one", [[10.0, "2"]], pod="b")])
    assert ({10.0: [5.0]}, {10.0: [2.0]}) == (numbers(found["a"]), numbers(found["b"]))


def test_samples_without_a_time_are_dropped_and_what_they_say_is_judged_later() -> None:
    hostile = [["NaN", "1"], [None, "1"], [], "no", [10.0, "many"], [20.0, "NaN"], [30.0, "-1"]]
    found = numbers(_by_pod([series("one", hostile)])["a"])
    assert [20.0, 30.0] == sorted(found)
    assert [-1.0] == found[30.0]
