"""The two shapes of an answer: plain completions and chat, whole or in chunks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from poolwright.engine.server.choice import Delta, Scored
from poolwright.engine.server.text import REPLACEMENT, Codec

Json = dict[str, Any]


class Dialect(Protocol):
    """How one route speaks."""

    @property
    def whole_object(self) -> str:
        """What ``object`` says of a whole answer."""

    @property
    def chunk_object(self) -> str:
        """What ``object`` says of a chunk."""

    def opening(self, index: int) -> Json | None:
        """Return the choice of a first chunk, before any token."""

    def chunk(self, delta: Delta) -> Json:
        """Return the choice of a chunk."""

    def whole(self, delta: Delta) -> Json:
        """Return the choice of a whole answer, of which ``delta`` is all."""


@dataclass(slots=True, eq=False)
class PlainDialect:
    """``/v1/completions``.

    Attributes
    ----------
    codec
        For tokens' texts.
    echoes
        Text before each choice; empty: none.
    tells_logprobs
        Whether they were asked for.
    """

    codec: Codec
    echoes: Sequence[str]
    tells_logprobs: bool
    whole_object: str = "text_completion"
    chunk_object: str = "text_completion"
    _offsets: dict[int, int] = field(default_factory=dict)

    def opening(self, index: int) -> Json | None:
        """Return the prompt, where it is to be echoed."""
        if not self.echoes:
            return None
        return {"index": index, "text": self.echoes[index], "logprobs": None, "finish_reason": None}

    def chunk(self, delta: Delta) -> Json:
        """Return the choice of a chunk."""
        logprobs = self._logprobs(delta) if self.tells_logprobs else None
        return {"index": delta.index, "text": delta.text, "logprobs": logprobs, "finish_reason": delta.finish_reason}

    def whole(self, delta: Delta) -> Json:
        """Return the choice of a whole answer."""
        choice = self.chunk(delta)
        return choice | {"text": self.echoes[delta.index] + delta.text} if self.echoes else choice

    def _logprobs(self, delta: Delta) -> Json:
        """Return the lists that the older API has; offsets count from the start of the answer."""
        offset = self._offsets.get(delta.index, 0)
        offsets = []
        for scored in delta.scored:
            offsets.append(offset)
            offset += len(self.codec.token(scored.token_id)[0])
        self._offsets[delta.index] = offset
        return {
            "tokens": [self._name(scored.token_id) for scored in delta.scored],
            "token_logprobs": [scored.logprob for scored in delta.scored],
            "top_logprobs": [self._best(scored) for scored in delta.scored],
            "text_offset": offsets,
        }

    def _best(self, scored: Scored) -> Mapping[str, float]:
        """Return the best tokens by text, and the chosen one; of two with the same text the better one."""
        best: dict[str, float] = {}
        for token_id, logprob in (*scored.top, (scored.token_id, scored.logprob)):
            best.setdefault(self._name(token_id), logprob)
        return best

    def _name(self, token_id: int) -> str:
        """Return a token's text; part of a character as its bytes, as OpenAI does, or all parts would look alike."""
        text, content = self.codec.token(token_id)
        return "bytes:" + "".join(map(r"\x{:02x}".format, content)) if REPLACEMENT in text else text


@dataclass(slots=True, eq=False)
class ChatDialect:
    """``/v1/chat/completions``."""

    codec: Codec
    tells_logprobs: bool
    whole_object: str = "chat.completion"
    chunk_object: str = "chat.completion.chunk"

    def opening(self, index: int) -> Json | None:
        """Return who speaks."""
        return {
            "index": index,
            "delta": {"role": "assistant", "content": ""},
            "logprobs": None,
            "finish_reason": None,
        }

    def chunk(self, delta: Delta) -> Json:
        """Return the choice of a chunk."""
        said = {"content": delta.text} if delta.text else {}
        return {"index": delta.index, "delta": said} | self._end(delta)

    def whole(self, delta: Delta) -> Json:
        """Return the choice of a whole answer."""
        message = {"role": "assistant", "content": delta.text, "refusal": None}
        return {"index": delta.index, "message": message} | self._end(delta)

    def _end(self, delta: Delta) -> Json:
        logprobs = {"content": [self._scored(scored) for scored in delta.scored], "refusal": None}
        return {"logprobs": logprobs if self.tells_logprobs else None, "finish_reason": delta.finish_reason}

    def _scored(self, scored: Scored) -> Json:
        top = [self._entry(token_id, logprob) for token_id, logprob in scored.top]
        return self._entry(scored.token_id, scored.logprob) | {"top_logprobs": top}

    def _entry(self, token_id: int, logprob: float) -> Json:
        text, content = self.codec.token(token_id)
        return {"token": text, "logprob": logprob, "bytes": content}
