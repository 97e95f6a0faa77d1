"""Requests drawn from rates and lengths, and traces in their public formats."""

import json
from pathlib import Path

import numpy as np
import pytest

from poolwright.replay.source import Lengths, Rates, quantiles, quantiles_with_mean
from poolwright.replay.source_files import find_source
from poolwright.replay.source_shapes import SHAPES, shape

FLAT = Lengths(from_s=0.0, input_tokens=np.array([7]), output_tokens=np.array([3]))


def rates(*per_s: float, window_s: float = 10.0, lengths: tuple[Lengths, ...] = (FLAT,)) -> Rates:
    return Rates(name="test", citation="none", window_s=window_s, rates_per_s=np.array(per_s), lengths=lengths, seed=5)


def test_requests_keep_the_rate_of_every_window_and_their_order() -> None:
    source = rates(100.0, 0.0, 400.0).source()
    arrivals = np.concatenate([block.arrivals_s for block in source.blocks()])
    assert np.all(np.diff(arrivals) >= 0.0)
    counts = np.histogram(arrivals, bins=[0.0, 10.0, 20.0, 30.0])[0]
    # Poisson: 1000 and 4000 expected, four standard deviations are 126 and 253.
    assert [1000, 0, 4000] == pytest.approx(counts, abs=253)
    assert (30.0, 5000.0, 10) == (source.duration_s, source.requests, source.longest_tokens)


def test_a_source_gives_the_same_requests_each_time() -> None:
    source = rates(50.0, 60.0).source()
    first, second = ([block.arrivals_s.tobytes() for block in source.blocks()] for _ in range(2))
    assert first == second


def test_windows_too_large_for_a_block_come_in_several() -> None:
    blocks = list(rates(30_000.0).source().blocks())
    # 300,000 expected requests of at most 100,000 each.
    assert 100_000 >= max(len(block) for block in blocks)
    arrivals = np.concatenate([block.arrivals_s for block in blocks])
    assert np.all(np.diff(arrivals) >= 0.0)
    assert 300_000 == pytest.approx(len(arrivals), rel=0.01)


def test_lengths_change_when_their_time_has_come() -> None:
    later = Lengths(from_s=10.0, input_tokens=np.array([70]), output_tokens=np.array([30]))
    blocks = list(rates(5.0, 5.0, lengths=(FLAT, later)).source().blocks())
    assert [{7}, {70}] == [set(block.input_tokens.tolist()) for block in blocks]


def test_times_factor_scales_every_rate() -> None:
    assert [5.0, 10.0] == rates(1.0, 2.0).times(5.0).rates_per_s.tolist()


def test_quantiles_are_met_and_so_is_the_mean() -> None:
    ratios, tokens = np.array([0.0, 0.5, 0.9, 1.0]), np.array([1.0, 77.0, 880.0, 3000.0])
    found = quantiles_with_mean(ratios, tokens, 300.0)
    assert 300.0 == pytest.approx(found.mean(), rel=2e-3)
    assert [77.0, 880.0] == pytest.approx(np.quantile(found, [0.5, 0.9]), rel=0.01)
    # Linear in between: the mean of 1 to 101 is 51.
    assert 51.0 == pytest.approx(quantiles(np.array([0.0, 1.0]), np.array([1.0, 101.0])).mean(), rel=1e-3)


def test_a_mean_that_the_quantiles_rule_out_is_refused() -> None:
    with pytest.raises(ValueError, match="a mean of 900 tokens is not between 1 and 500"):
        quantiles_with_mean(np.array([0.0, 1.0]), np.array([1.0, 500.0]), 900.0)


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_begin_at_their_length_and_never_stop(name: str) -> None:
    made = shape(name)
    assert made.rates_per_s.min() > 0.0
    assert SHAPES[name][0] == made.source().duration_s / 3600.0


def test_the_step_triples_and_the_burst_lasts_five_minutes() -> None:
    step, burst = shape("step").rates_per_s, shape("burst").rates_per_s
    assert 3.0 == step[-1] / step[0]
    assert 6 * 30 == np.count_nonzero(burst == 4.0 * burst.min())


def test_public_formats_are_read_by_name(tmp_path: Path) -> None:
    stem = tmp_path / "azure2024_conversation"
    Path(f"{stem}_rate_per_min.csv").write_text("minute_of_week,rate_mid_normalised\n6,60\n12,120\n")
    for side, most in (("input", 100), ("output", 10)):
        Path(f"{stem}_{side}_tokens_cdf.csv").write_text(f"tokens,cdf_percent\n-5,0\n{most},100\n")
    week = find_source("azure2024", tmp_path, factor=2.0)
    # 60 and 120 a minute for 6 minutes each, twice.
    assert (720.0, 2160.0, 110) == (week.duration_s, week.requests, week.longest_tokens)

    (tmp_path / "servegen_m_large_rate.csv").write_text("window_start_s,rate_rps\n0,2\n600,3\n")
    fields = "".join(f"0,{side},50,40,90,200,300\n" for side in ("input_tokens", "output_tokens"))
    (tmp_path / "servegen_m_large_tokens.csv").write_text(f"window_start_s,field,mean,p50,p90,p99,max\n{fields}")
    fortnight = find_source("servegen", tmp_path)
    assert (1200.0, 3000.0) == (fortnight.duration_s, fortnight.requests)
    assert 50.0 == pytest.approx(next(fortnight.blocks()).input_tokens.mean(), rel=0.1)

    rows = [{"timestamp": 500 + 1500 * i, "input_length": 10 + i, "output_length": 5} for i in range(3)]
    (tmp_path / "mooncake_conversation.jsonl").write_text("\n".join(map(json.dumps, rows)))
    block = next(find_source("mooncake", tmp_path).blocks())
    assert [0.0, 1.5, 3.0] == block.arrivals_s.tolist()
    assert [10, 11, 12] == block.input_tokens.tolist()


def test_what_cannot_be_read_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"timestamp": 1}\n')
    with pytest.raises(ValueError, match=r"x\.jsonl:1: KeyError"):
        find_source(str(path), None)
    with pytest.raises(ValueError, match="known names are azure2023"):
        find_source("nothing", None)
    with pytest.raises(ValueError, match="POOLWRIGHT_TRACES"):
        find_source("azure2023", None)
