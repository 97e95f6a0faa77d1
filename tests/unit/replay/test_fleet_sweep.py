"""Replays in another process find what this one finds."""

import pickle
from dataclasses import replace

from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.replica import ReplicaConfig
from poolwright.replay.fleet_summary import summary_of
from poolwright.replay.fleet_sweep import Run, played, sweep
from poolwright.replay.fleet_variant import after, variant_of

CATALOGUE = load_catalogue()
VARIANT = variant_of(
    ReplicaConfig(
        accelerator=CATALOGUE.accelerator("h100-sxm"),
        model=CATALOGUE.model("llama-3.1-8b"),
        weight_format="bf16",
        kv_format="bf16",
    ),
    max_context_tokens=10_000,
    cold_start=after(30.0),
)
RUN = Run(trace="step", variants=(VARIANT,), policy="static", initial={VARIANT.key: 1}, until_s=120.0)


def test_another_process_finds_what_this_one_finds() -> None:
    runs = [replace(RUN, settings={"replicas": float(count)}) for count in (1, 2)]
    expected = [summary_of(played(run), run.variants) for run in runs]
    actual = {index: summary_of(made, runs[index].variants) for index, made in sweep(runs, workers=1)}
    assert expected == [actual[0], actual[1]]
    # The second is ordered at the first decision, 15 s after the beginning.
    assert [120.0, 225.0] == [round(each.accelerator_hours * 3600.0, 6) for each in expected]


def test_a_run_travels_as_it_is() -> None:
    assert RUN.variants[0].key == pickle.loads(pickle.dumps(RUN)).variants[0].key  # noqa: S301 - our own
