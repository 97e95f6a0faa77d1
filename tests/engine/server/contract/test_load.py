"""Public load generators against a real process: every request is answered, and both sides count the same.

``hey`` is built from its pinned module. GuideLLM reads streams token by token but needs several gigabytes in an
environment of its own: ``uv venv DIR``, ``uv pip install --python DIR guidellm==0.8.0``, ``GUIDELLM=DIR/bin/guidellm``.
"""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from localcluster.build import binary

GUIDELLM = os.environ.get("GUIDELLM")
TOKENS = 12


def hey(url: str, requests: int, workers: int, **asked: Any) -> dict[int, int]:
    """Return how many responses had which status."""
    body = json.dumps({"prompt": "the queue", "max_tokens": TOKENS, "ignore_eos": True} | asked)
    done = subprocess.run(
        [
            *(binary("hey"), "-n", str(requests), "-c", str(workers), "-t", "60"),
            *("-m", "POST", "-T", "application/json", "-d", body, f"{url}/v1/completions"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Error distribution" not in done.stdout, done.stdout
    return {int(status): int(count) for status, count in re.findall(r"\[(\d+)\]\s+(\d+) responses", done.stdout)}


@pytest.mark.parametrize("streams", [False, True])
def test_every_request_of_a_crowd_is_answered_and_counted(engine: Any, streams: bool) -> None:  # noqa: FBT001 - a parameter
    counted = (
        "poolwright_requests_arrived_total",
        "vllm:request_success_total",
        "vllm:time_to_first_token_seconds_count",
        "vllm:generation_tokens_total",
        "vllm:inter_token_latency_seconds_count",
    )
    before = [engine.metric(series) for series in counted]
    assert {200: 60} == hey(engine.url, 60, 12, stream=streams)
    after = [engine.metric(series) for series in counted]
    assert [60, 60, 60, 60 * TOKENS, 60 * (TOKENS - 1)] == [now - then for now, then in zip(after, before, strict=True)]
    assert (0, 0) == (engine.metric("vllm:num_requests_running"), engine.metric("vllm:num_requests_waiting"))


def test_a_crowd_above_the_queue_is_answered_or_refused_and_nothing_is_lost(launch: Any) -> None:
    running = launch("--max-num-seqs=2", "--max-queued-requests=2")
    statuses = hey(running.url, 80, 16)
    assert {200, 503} == set(statuses)
    assert 80 == sum(statuses.values()) == running.metric("poolwright_requests_arrived_total")
    assert statuses[200] == running.metric("vllm:e2e_request_latency_seconds_count")
    assert statuses[503] == running.metric("poolwright_requests_refused_total")


@pytest.mark.skipif(GUIDELLM is None, reason="GUIDELLM names no guidellm; it needs an environment of its own")
def test_guidellm_reads_every_stream_and_sees_what_the_metrics_say(
    engine: Any, checkpoint: Path, tmp_path: Path
) -> None:
    series = [f"vllm:time_to_first_token_seconds_{part}" for part in ("sum", "count")]
    before = [engine.metric(each) for each in series]
    report = tmp_path / "report.json"
    subprocess.run(
        [
            *(str(GUIDELLM), "run", "--disable-console"),
            *("--backend", f"kind=openai_http,target={engine.url},model=tiny"),
            *("--tokenizer", f"kind=huggingface_auto,model={checkpoint}"),
            *("--data", "kind=synthetic_text,prompt_tokens=64,output_tokens=32"),
            *("--profile", "kind=concurrent,streams=4"),
            *("--constraint", "kind=max_requests,count=24"),
            *("--output", f"kind=json,path={report}"),
        ],
        check=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    total_s, count = (engine.metric(each) - then for each, then in zip(series, before, strict=True))
    (benchmark,) = json.loads(report.read_text())["benchmarks"]
    metrics = benchmark["metrics"]
    assert {"successful": 24, "errored": 0, "incomplete": 0, "total": 24} == metrics["request_totals"]
    assert 24 * 32 == metrics["output_token_count"]["successful"]["total_sum"]
    # What a client sees is later than what the engine says, by the way there and back, and never earlier.
    assert total_s / count <= metrics["time_to_first_token_ms"]["successful"]["mean"] / 1000
