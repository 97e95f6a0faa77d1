"""A real process from start to end: loading, full queues, live limits, and how it goes when told to."""

import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

Launch = Callable[..., Any]
LONG = {"prompt": "the queue", "max_tokens": 600, "ignore_eos": True, "temperature": 0}
"""Long enough to be looked at while it runs, on a fast machine too."""


class Stream(threading.Thread):
    """A client that reads a stream to its end."""

    def __init__(self, url: str, **asked: Any) -> None:
        super().__init__()
        self.url = url
        self.asked = LONG | asked | {"stream": True}
        self.events: list[Any] = []

    def run(self) -> None:
        with httpx2.stream("POST", self.url + "/v1/completions", json=self.asked, timeout=120) as response:
            for line in response.iter_lines():
                if line:
                    self.events.append(line.removeprefix("data: "))

    @property
    def reason(self) -> str | None:
        """Why the answer ended; None where it was not told."""
        chunks = [json.loads(event) for event in self.events if event != "[DONE]"]
        return next((each["choices"][0]["finish_reason"] for each in reversed(chunks) if "choices" in each), None)


def is_alive(process: str) -> bool:
    """Return whether a process still runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def streaming(running: Any, **asked: Any) -> Stream:
    """Return a stream of which the first tokens have come."""
    stream = Stream(running.url, **asked)
    stream.start()
    running.until(lambda: len(stream.events) > 2)
    return stream


def test_health_is_503_until_the_model_is_there_and_requests_are_told_to_come_again(launch: Launch) -> None:
    running = launch("--served-model-name=a", waits=False)
    loading = running.get("/health")
    assert (503, {"status": "loading"}) == (loading.status_code, loading.json())
    refused = httpx2.post(running.url + "/v1/completions", json=LONG)
    assert (503, "1", "model_loading") == (
        refused.status_code,
        refused.headers["Retry-After"],
        refused.json()["error"]["code"],
    )
    running.until(lambda: running.get("/health").status_code == 200)
    assert {"status": "ready"} == running.get("/health").json()


def test_a_drain_finishes_what_runs_and_takes_nothing_new(launch: Launch) -> None:
    running = launch("--drain-seconds=60", "--max-num-seqs=2")
    streams = [streaming(running) for _ in range(2)]
    waiting = Stream(running.url)
    waiting.start()
    running.until(lambda: running.metric("vllm:num_requests_waiting") == 1)
    running.process.send_signal(signal.SIGTERM)
    running.until(lambda: running.get("/health").status_code == 503)
    assert {"status": "draining"} == running.get("/health").json()
    refused = httpx2.post(running.url + "/v1/completions", json=LONG)
    assert (503, "1", "close") == (
        refused.status_code,
        refused.headers["Retry-After"],
        refused.headers["Connection"].lower(),
    )
    assert "draining" == refused.json()["error"]["code"]
    assert 0 == running.process.wait(timeout=60)
    for stream in (*streams, waiting):
        stream.join(timeout=10)
        assert ("length", "[DONE]") == (stream.reason, stream.events[-1])


def test_a_drain_ends_in_time_and_tells_who_is_cut_off(launch: Launch) -> None:
    running = launch("--drain-seconds=0.3")
    stream = streaming(running, max_tokens=1000)
    started_s = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    assert 0 == running.process.wait(timeout=30)
    assert time.monotonic() - started_s < 20
    stream.join(timeout=10)
    told = json.loads(stream.events[-2])["error"]
    assert ("draining", "the engine shut down before the answer was complete") == (told["code"], told["message"])
    assert "[DONE]" == stream.events[-1]


def test_a_second_signal_ends_a_drain_at_once(launch: Launch) -> None:
    running = launch("--drain-seconds=300")
    stream = streaming(running, max_tokens=1000)
    running.process.send_signal(signal.SIGTERM)
    running.until(lambda: running.get("/health").status_code == 503)
    running.process.send_signal(signal.SIGINT)
    assert 0 == running.process.wait(timeout=30)
    stream.join(timeout=10)
    assert stream.reason is None


def test_an_idle_process_goes_at_once(launch: Launch) -> None:
    running = launch()
    started_s = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    assert 0 == running.process.wait(timeout=30)
    assert time.monotonic() - started_s < 10


def test_a_full_queue_refuses_and_the_official_client_comes_again_until_it_is_served(launch: Launch) -> None:
    running = launch("--served-model-name=tiny", "--max-num-seqs=1", "--max-queued-requests=1")
    asked = {"model": "tiny", "prompt": "a", "max_tokens": 60, "extra_body": {"ignore_eos": True}}
    streams = [streaming(running)]
    waiting = Stream(running.url, max_tokens=5)
    waiting.start()
    running.until(lambda: running.metric("vllm:num_requests_waiting") == 1)
    with openai.OpenAI(base_url=running.url + "/v1", api_key="none", max_retries=0) as impatient:
        with pytest.raises(openai.InternalServerError) as refused:
            impatient.completions.create(**asked)
        assert (503, "1", "queue_full") == (
            refused.value.status_code,
            refused.value.response.headers["Retry-After"],
            refused.value.code,
        )
        patient = impatient.with_options(max_retries=30)
        assert 60 == patient.completions.create(**asked).usage.completion_tokens
    assert running.metric("poolwright_requests_refused_total") >= 1
    for stream in (*streams, waiting):
        stream.join(timeout=60)
        assert "length" == stream.reason


def test_limits_change_while_requests_run_and_none_is_dropped(launch: Launch, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("hunter2")
    running = launch("--max-num-seqs=1", "--admin-port=0", f"--admin-token-file={token}")
    streams = [streaming(running)]
    for _ in range(5):
        streams.append(Stream(running.url))
        streams[-1].start()
    running.until(lambda: running.metric("vllm:num_requests_waiting") == 5)
    headers = {"Authorization": "Bearer hunter2"}
    assert 401 == httpx2.put(running.admin_url + "/limits", json={"max_num_seqs": 4}).status_code
    for limits, most in (({"max_num_seqs": 4}, 4), ({"max_num_seqs": 2, "max_num_batched_tokens": 64}, 2)):
        told = httpx2.put(running.admin_url + "/limits", json=limits, headers=headers)
        assert limits == {name: told.json()[name] for name in limits}
        running.until(lambda most=most: running.metric("vllm:num_requests_running") == most)
    for stream in streams:
        stream.join(timeout=120)
    assert ["length"] * 6 == [stream.reason for stream in streams]
    assert 404 == running.get("/limits").status_code


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("tokenizer.json", None, "tokenizer.json: is missing"),
        ("config.json", b"{", "config.json: is no JSON"),
        ("model.safetensors", b"\0" * 4, "model.safetensors"),
        ("tokenizer_config.json", b'{"chat_template": "{% for %}"}', "the chat template does not compile"),
    ],
)
def test_a_checkpoint_that_cannot_be_served_ends_the_process_with_the_file(
    file: str, content: bytes | None, expected: str, launch: Launch, checkpoint: Path, tmp_path: Path
) -> None:
    for path in checkpoint.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content)
    running = launch(directory=tmp_path, waits=False)
    assert 1 == running.process.wait(timeout=60)
    assert expected in running.log.read_text()


def test_a_model_in_two_processes_answers_and_both_end(launch: Launch) -> None:
    running = launch("--tensor-parallel-size=2", "--weight-format=fp32")
    answer = httpx2.post(running.url + "/v1/completions", json=LONG | {"max_tokens": 8}, timeout=60)
    assert 8 == answer.json()["usage"]["completion_tokens"]
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    assert children
    running.process.send_signal(signal.SIGTERM)
    assert 0 == running.process.wait(timeout=60)
    running.until(lambda: not any(is_alive(child) for child in children))


def test_a_directory_that_is_not_there_ends_the_process_with_its_name(launch: Launch) -> None:
    running = launch(directory=Path("/nowhere/model"), waits=False)
    assert 1 == running.process.wait(timeout=60)
    assert "--model=/nowhere/model: there is no such directory" in running.log.read_text()
