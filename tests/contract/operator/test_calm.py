"""What must not happen: writes when nothing changed, and fewer replicas because pods talk nonsense."""

import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from localcluster.operator_process import OperatorProcess, eventually
from localcluster.pool_space import PoolSpace

pytestmark = pytest.mark.cluster

PORT = 8000
CYCLES = 4
IDLE = (
    "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 0\n"
    "poolwright_requests_arrived_total 0\nvllm:request_success_total 0\n"
    "vllm:request_prompt_tokens_sum 0\nvllm:request_prompt_tokens_count 0\n"
    "vllm:request_generation_tokens_sum 0\nvllm:request_generation_tokens_count 0\n"
)
NONSENSE = {
    "not a number": IDLE.replace(" 0\n", " NaN\n"),
    "negative": IDLE.replace(" 0\n", " -5\n"),
    "no metrics": "<html>502 Bad Gateway</html>\n",
    "nothing": "",
}

Speak = Callable[[str, str], None]


@pytest.fixture
def speak(space: PoolSpace) -> Iterator[Speak]:
    """Lets every pod of a pool answer with a page; another call changes it."""
    servers: dict[str, ThreadingHTTPServer] = {}
    said = {"page": ""}

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = said["page"].encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 - the library's name
            del format

    def let(name: str, page: str) -> None:
        said["page"] = page
        for pod in space.pods(name):
            address = pod["status"]["podIP"]
            if address not in servers:
                servers[address] = ThreadingHTTPServer((address, PORT), Page)
                threading.Thread(target=servers[address].serve_forever, daemon=True).start()

    yield let
    for each in servers.values():
        each.shutdown()
        each.server_close()


def test_a_settled_pool_costs_no_write(space: PoolSpace, pool: Callable[..., str], operator: OperatorProcess) -> None:
    stated = pool(demand={"source": "Static", "requestsPerMinute": 60})
    silent = pool(scaling={"minReplicas": 2})
    for name in (stated, silent):
        space.until(name, "Ready")
        space.until(name, "Progressing", "False")
    wait_cycles(operator, 2)
    before = writes(operator)
    version = space.pool(silent)["metadata"]["resourceVersion"]

    wait_cycles(operator, CYCLES)

    assert before == writes(operator)
    assert version == space.pool(silent)["metadata"]["resourceVersion"]


def test_pods_that_talk_nonsense_never_lower_the_pool_and_idle_ones_do(
    space: PoolSpace, pool: Callable[..., str], speak: Speak, operator: OperatorProcess
) -> None:
    name = pool(scaling={"minReplicas": 3, "scaleDownStabilizationSeconds": 0})
    space.until(name, "Ready")
    speak(name, NONSENSE["not a number"])
    space.patch(name, scaling={"minReplicas": 1})

    for what, page in NONSENSE.items():
        speak(name, page)
        wait_cycles(operator, CYCLES)
        stale = space.until(name, "MetricsStale")

        assert (what, 3) == (what, space.replicas(name))
        assert "capacity is held, not lowered" in stale["message"]

    speak(name, IDLE)
    space.until_replicas(name, 1)


def wait_cycles(operator: OperatorProcess, count: int) -> None:
    """Wait until every pool has been looked at so many times; at thirty times the speed, two a second."""

    def passes() -> float:
        return operator.metric("poolwright_reconcile_seconds_count")

    pools = 2
    enough = passes() + count * pools
    eventually("enough passes", passes, lambda made: made >= enough)


def writes(operator: OperatorProcess) -> float:
    """Return how many writes the operator has made, its lease apart."""

    def is_write(labels: Mapping[str, str]) -> bool:
        return labels["verb"] not in ("GET", "LIST") and labels["kind"] != "leases"

    return operator.metric("poolwright_api_requests_total", is_write)
