"""Draws tokens from logits. What one request draws depends on its seed and its place in the answer, on nothing else.

Order: penalties, temperature, min_p, top_k, top_p. Log probabilities told are those of the model, before all of it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from poolwright.engine.generation import Sampling

_RANDOM_BITS = 53
"""Bits of a uniform number that a double can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One row of logits and what is to be drawn from it.

    Attributes
    ----------
    sampling
        How; its seed is not looked at.
    seed
        Of the request.
    prompt, answer
        Tokens so far.
    """

    sampling: Sampling
    seed: int
    prompt: Sequence[int]
    answer: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A token; log probabilities where they were asked for, the best ones first."""

    token_id: int
    logprob: float | None = None
    top_logprobs: tuple[tuple[int, float], ...] = ()


def uniform(seed: int, place: int) -> float:
    """Return a number in [0, 1) that looks random and depends on nothing but its arguments."""
    content = (seed % (1 << 64)).to_bytes(8, "little") + place.to_bytes(8, "little")
    digest = hashlib.blake2b(content, digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> (64 - _RANDOM_BITS)) / (1 << _RANDOM_BITS)


def drawn(logits: Tensor, draws: Sequence[Draw]) -> list[Drawn]:
    """Return a token for each row.

    Parameters
    ----------
    logits
        (rows, vocabulary) in float32; not changed.
    draws
        What to draw from each row.
    """
    penalised = _penalised(logits, draws)
    tokens: dict[int, int] = {}
    greedy = [row for row, draw in enumerate(draws) if draw.sampling.temperature == 0]
    if greedy:
        best = (penalised if len(greedy) == len(draws) else penalised[greedy]).argmax(dim=-1)
        tokens |= zip(greedy, best.tolist(), strict=True)
    for rows, choose in ((_whole_rows(draws), _from_all), (_filtered_rows(draws), _from_some)):
        if rows:
            chosen = choose(penalised[rows], [draws[row] for row in rows])
            tokens |= zip(rows, chosen, strict=True)
    return [_told(logits[row], draw, tokens[row]) for row, draw in enumerate(draws)]


def _is_filtered(sampling: Sampling) -> bool:
    """Return whether the order of probabilities matters."""
    return sampling.top_k > 0 or sampling.top_p < 1


def _whole_rows(draws: Sequence[Draw]) -> list[int]:
    return [r for r, d in enumerate(draws) if d.sampling.temperature > 0 and not _is_filtered(d.sampling)]


def _filtered_rows(draws: Sequence[Draw]) -> list[int]:
    return [r for r, d in enumerate(draws) if d.sampling.temperature > 0 and _is_filtered(d.sampling)]


def _penalised(logits: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Return logits with the penalties of the rows that have any."""
    changed = [row for row, draw in enumerate(draws) if _has_penalties(draw.sampling)]
    if not changed:
        return logits
    result = logits.clone()
    for row in changed:
        result[row] = _with_penalties(result[row], draws[row])
    return result


def _has_penalties(sampling: Sampling) -> bool:
    return bool(sampling.presence_penalty or sampling.frequency_penalty or sampling.repetition_penalty != 1)


def _with_penalties(row: Tensor, draw: Draw) -> Tensor:
    """Return one row, (vocabulary), less what its request takes off tokens that it has seen."""
    sampling = draw.sampling
    answer = torch.tensor(draw.answer, dtype=torch.int64, device=row.device)
    counts = torch.bincount(answer, minlength=len(row))  # (vocabulary)
    seen = counts > 0
    seen[torch.tensor(draw.prompt, dtype=torch.int64, device=row.device)] = True
    repeated = torch.where(row > 0, row / sampling.repetition_penalty, row * sampling.repetition_penalty)
    row = torch.where(seen, repeated, row)
    return row - sampling.frequency_penalty * counts - sampling.presence_penalty * (counts > 0)


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=like.device)[:, None]  # (rows, 1)


def _probabilities(logits: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Return probabilities after temperature and min_p, (rows, vocabulary), not scaled to sum to one."""
    warm = (logits / _column([draw.sampling.temperature for draw in draws], logits)).softmax(dim=-1)
    floor = _column([draw.sampling.min_p for draw in draws], logits)
    if not any(draw.sampling.min_p for draw in draws):
        return warm
    return torch.where(warm >= floor * warm.amax(dim=-1, keepdim=True), warm, 0.0)


def _from_all(logits: Tensor, draws: Sequence[Draw]) -> list[int]:
    """Draw from every token left."""
    return [int(place) for place in _places(_probabilities(logits, draws), draws).tolist()]


def _from_some(logits: Tensor, draws: Sequence[Draw]) -> list[int]:
    """Draw from the most probable tokens: so many, and the fewest with so much probability of what those have."""
    probabilities, order = _probabilities(logits, draws).sort(dim=-1, descending=True, stable=True)
    vocabulary = logits.shape[-1]
    counts = _column([draw.sampling.top_k or vocabulary for draw in draws], logits)
    ranks = torch.arange(vocabulary, device=logits.device)  # (vocabulary)
    kept = torch.where(ranks < counts, probabilities, 0.0)
    before = kept.cumsum(dim=-1) - kept
    share = _column([draw.sampling.top_p for draw in draws], logits) * kept.sum(dim=-1, keepdim=True)
    kept = torch.where((before < share) | (ranks == 0), kept, 0.0)
    places = _places(kept, draws)  # (rows)
    return [int(token) for token in order.gather(1, places[:, None])[:, 0].tolist()]


def _places(weights: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Return, for each row, the place where its random share of the total weight is reached."""
    sums = weights.to(torch.float64).cumsum(dim=-1)
    shares = [uniform(draw.seed, len(draw.answer)) for draw in draws]
    wanted = torch.tensor(shares, dtype=torch.float64, device=weights.device)[:, None] * sums[:, -1:]
    return torch.searchsorted(sums, wanted, right=True)[:, 0].clamp(max=weights.shape[-1] - 1)


def _told(row: Tensor, draw: Draw, token_id: int) -> Drawn:
    """Return the token with the log probabilities that its request asks for."""
    wanted = draw.sampling.logprobs
    if wanted is None:
        return Drawn(token_id=token_id)
    logprobs = row.log_softmax(dim=-1)
    best, ids = logprobs.topk(wanted)
    top = tuple(zip(ids.tolist(), best.tolist(), strict=True))
    return Drawn(token_id=token_id, logprob=float(logprobs[token_id]), top_logprobs=top)
