import os
from pathlib import Path

import numpy as np
import pytest

from poolwright.replay.profile import CITATION, load_profile, profile_of
from poolwright.replay.traces import Trace, read_azure_csv, scaled

SHARED_TRACE = Path(
    os.environ.get("POOLWRIGHT_DATA", "."),
    "traces",
    "azure2023_conversation.csv",
)


def trace_of(requests: int = 2000) -> Trace:
    rng = np.random.default_rng(7)
    return Trace(
        arrivals_s=np.sort(rng.random(requests) * 600.0),
        input_tokens=rng.integers(1, 4000, requests),
        output_tokens=rng.integers(1, 500, requests),
        source="test",
    )


def test_a_file_in_the_public_format_is_read_in_order_of_arrival(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:15:50.9951690,396,109\n"
        "2023-11-16 18:15:46.4951690,374,0\n"
        "2023-11-16 18:15:51,12,3\n"
    )
    trace = read_azure_csv(file)
    assert [374, 396, 12] == trace.input_tokens.tolist()
    assert [1, 109, 3] == trace.output_tokens.tolist()  # an empty answer still takes its first token
    assert trace.arrivals_s[1] - trace.arrivals_s[0] == pytest.approx(4.5)


@pytest.mark.parametrize(
    ("line", "named"),
    [("2023-11-16 18:15:50,abc,1", "abc"), ("yesterday,1,1", "yesterday"), ("2023-11-16 18:15:50,3", ":2")],
)
def test_a_bad_line_is_named_with_its_number(tmp_path: Path, line: str, named: str) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(f"TIMESTAMP,ContextTokens,GeneratedTokens\n{line}\n")
    with pytest.raises(ValueError, match=named) as caught:
        read_azure_csv(file)
    assert f"{file}:2" in str(caught.value)


def test_scaling_multiplies_requests_and_keeps_rhythm_and_lengths() -> None:
    trace = trace_of()
    tripled = scaled(trace, 3.0, np.random.default_rng(1))
    assert len(tripled) == 3 * len(trace)
    assert np.histogram(tripled.arrivals_s, bins=60, range=(0, 600))[0].tolist() == [
        3 * count for count in np.histogram(trace.arrivals_s, bins=60, range=(0, 600))[0]
    ]
    assert tripled.input_tokens.mean() == pytest.approx(trace.input_tokens.mean(), rel=0.05)


def test_the_same_seed_gives_the_same_trace() -> None:
    first, second = (load_profile().trace(np.random.default_rng(3)) for _ in range(2))
    assert first.arrivals_s.tobytes() == second.arrivals_s.tobytes()
    assert first.input_tokens.tobytes() == second.input_tokens.tobytes()


def test_a_profile_keeps_counts_and_mean_lengths_of_its_trace() -> None:
    trace = trace_of()
    profile = profile_of(trace, source="test")
    assert sum(count for count, _, _ in profile.lengths) == len(trace)
    mean_in, mean_out = profile.mean_tokens()
    assert mean_in == pytest.approx(trace.input_tokens.mean(), rel=1e-3)
    assert mean_out == pytest.approx(trace.output_tokens.mean(), rel=1e-3)
    assert profile.mean_rate_per_s * profile.window_s * len(profile.rates_per_s) == pytest.approx(len(trace))


def test_a_profile_makes_traces_with_its_own_rate_and_lengths() -> None:
    profile = load_profile()
    trace = profile.trace(np.random.default_rng(0), factor=4.0)
    assert len(trace) / trace.duration_s == pytest.approx(4.0 * profile.mean_rate_per_s, rel=0.02)
    assert (trace.input_tokens.mean(), trace.output_tokens.mean()) == pytest.approx(profile.mean_tokens(), rel=0.02)


@pytest.mark.skipif(not SHARED_TRACE.exists(), reason=f"needs {SHARED_TRACE.name}; point POOLWRIGHT_DATA at the data")
def test_the_shipped_profile_is_the_one_that_the_public_trace_gives() -> None:
    assert profile_of(read_azure_csv(SHARED_TRACE), source=CITATION) == load_profile()


def test_a_trace_that_no_replay_could_mean_is_refused() -> None:
    one = np.ones(1, dtype=np.int64)
    with pytest.raises(ValueError, match="ascending"):
        Trace(arrivals_s=np.array([np.nan]), input_tokens=one, output_tokens=one, source="")
    with pytest.raises(ValueError, match="at least 1"):
        Trace(arrivals_s=np.zeros(1), input_tokens=one * 0, output_tokens=one, source="")
    with pytest.raises(ValueError, match="equally many"):
        Trace(arrivals_s=np.zeros(2), input_tokens=one, output_tokens=one, source="")
