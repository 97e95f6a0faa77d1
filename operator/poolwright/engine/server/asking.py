"""From a request's body to generations: limits, sampling, stops and priority, with the model's own defaults."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from poolwright.engine.generation import Generation, Sampling
from poolwright.engine.server.errors import bad_request
from poolwright.engine.server.schema import MAX_PRIORITY, GenerationBody
from poolwright.engine.server.service import Served

PRIORITY_HEADER: Final = "x-poolwright-priority"
"""Set by gateways, which know the tier of a caller; counts more than the body's field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request, resolved.

    Attributes
    ----------
    name
        Of the response.
    generations
        Prompts times choices, choices of one prompt side by side.
    choices
        Answers to each prompt.
    stops, keeps_stop
        Stop strings, and whether they are told.
    hidden
        Stop tokens that are not told.
    skips_special
        Whether special tokens are left out of the text.
    """

    name: str
    generations: tuple[Generation, ...]
    choices: int
    stops: tuple[str, ...]
    keeps_stop: bool
    hidden: frozenset[int]
    skips_special: bool


def ask_of(
    name: str,
    body: GenerationBody,
    prompts: Sequence[tuple[int, ...]],
    served: Served,
    *,
    max_tokens: int | None,
    logprobs: int | None,
    priority: int,
) -> Ask:
    """Return what the engine is asked.

    Parameters
    ----------
    name
        Of the response.
    body
        The request.
    prompts
        Its tokens.
    served
        Who answers.
    max_tokens
        Most tokens of an answer; None: as many as the context has room for.
    logprobs
        How many best tokens are scored; None scores none.
    priority
        Lower is served first.

    Raises
    ------
    ApiError
        A prompt is empty or too long.
    """
    stop_ids = frozenset(body.stop_token_ids or ()) | (frozenset() if body.ignore_eos else served.codec.stop_token_ids)
    generations = tuple(
        Generation(
            name=f"{name}-{place}-{choice}",
            token_ids=tokens,
            max_tokens=_room(tokens, max_tokens, served.engine.max_model_len),
            sampling=_sampling(body, served.defaults, logprobs, choice),
            stop_token_ids=stop_ids,
            priority=priority,
        )
        for place, tokens in enumerate(prompts)
        for choice in range(body.choices)
    )
    keeps_stop = bool(body.include_stop_str_in_output)
    return Ask(
        name=name,
        generations=generations,
        choices=body.choices,
        stops=body.stops,
        keeps_stop=keeps_stop,
        hidden=served.codec.stop_token_ids if keeps_stop else stop_ids,
        skips_special=body.skip_special_tokens is not False,
    )


def priority_of(body: GenerationBody, headers: Mapping[str, str]) -> int:
    """Return the priority of a request, 0 where nobody says.

    Raises
    ------
    ApiError
        The header holds no such number.
    """
    written = headers.get(PRIORITY_HEADER)
    if written is None:
        return body.priority or 0
    try:
        priority = int(written)
    except ValueError:
        priority = MAX_PRIORITY + 1
    if abs(priority) > MAX_PRIORITY:
        raise bad_request(
            f"{PRIORITY_HEADER}: {written[:32]!r} must be a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}",
            param=PRIORITY_HEADER,
            code="invalid_value",
        )
    return priority


def _room(tokens: Sequence[int], wanted: int | None, longest: int) -> int:
    """Return how long an answer may be."""
    if not tokens:
        raise bad_request("the prompt has no tokens", param="prompt", code="invalid_value")
    left = longest - len(tokens)
    if left < 1 or (wanted or 0) > left:
        asked = "" if wanted is None else f" and asks for {wanted} more"
        raise bad_request(
            f"the context of this model is {longest} tokens; the prompt has {len(tokens)}{asked}",
            param="max_tokens" if wanted is not None and left >= 1 else "prompt",
            code="context_length_exceeded",
        )
    return left if wanted is None else wanted


def _sampling(body: GenerationBody, defaults: Mapping[str, Any], logprobs: int | None, choice: int) -> Sampling:
    """Return how a choice is drawn: each of several with a seed of its own."""

    def chosen(name: str, fallback: float) -> Any:
        value = getattr(body, name)
        return defaults.get(name, fallback) if value is None else value

    return Sampling(
        temperature=chosen("temperature", 1.0),
        top_p=chosen("top_p", 1.0),
        top_k=max(int(chosen("top_k", 0)), 0),
        min_p=chosen("min_p", 0.0),
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        repetition_penalty=chosen("repetition_penalty", 1.0),
        seed=None if body.seed is None else body.seed + choice,
        logprobs=logprobs,
    )
