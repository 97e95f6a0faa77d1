"""Whatever a body holds, the answer is an answer or a refusal in OpenAI's shape; never a failure, never a leftover."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.engine.server.schema import NOT_SERVED, ChatBody, CompletionBody

LEAVES = st.none() | st.booleans() | st.integers(-3, 300) | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
NAMES = sorted({*CompletionBody.model_fields, *ChatBody.model_fields, *NOT_SERVED})
SENSIBLE = [{"prompt": "ab"}, {"prompt": [5, 6]}, {"messages": [{"role": "user", "content": "hi"}]}, {}]
BODIES = st.builds(
    lambda base, rest: base | {"max_tokens": 3} | rest,
    st.sampled_from(SENSIBLE),
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3),
)
PATHS = st.sampled_from(["/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"])


@pytest.fixture
def bodies() -> list[tuple[str, Any]]:
    """Return bodies drawn before there is a server, which belongs to an event loop that Hypothesis does not know."""
    drawn: list[tuple[str, Any]] = []

    @given(path=PATHS, body=BODIES | VALUES)
    @settings(max_examples=150, database=None, derandomize=True)
    def draw(path: str, body: Any) -> None:
        drawn.append((path, body))

    draw()
    return drawn


async def test_any_body_is_answered_or_refused(bodies: list[tuple[str, Any]], serve: Any) -> None:
    api = await serve()
    statuses = set()
    for path, body in bodies:
        async with api.client.post(path, json=body) as response:
            content = await response.text()
            statuses.add(response.status)
            assert response.status in (200, 400, 404), (path, body, content)
            if response.status != 200:
                assert {"message", "type", "param", "code"} == set((await response.json())["error"])
    assert {200, 400} <= statuses
    await api.until(lambda: not api.engine.running and not api.engine.waiting)
