"""Bodies of requests, as OpenAI's and vLLM's clients write them: typed, bounded, and refused by field.

A field that would change the answer and is not served is refused where it asks for something; names that nobody knows
are ignored, as vLLM does, so that clients of other engines keep working.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_CHOICES: Final = 128
"""Most answers to one prompt, and most prompts in one request: OpenAI's own bound for ``n``."""
MAX_TOP_LOGPROBS: Final = 20
"""OpenAI's and vLLM's bound."""
MAX_STOPS: Final = 16
"""Most stop strings; OpenAI takes 4."""
MAX_STOP_LENGTH: Final = 1_000
"""[characters] Longest stop string: as much text may be held back while an answer streams."""
MAX_PRIORITY: Final = 1_000_000
"""Largest priority either way."""

Ratio = Annotated[float, Field(ge=0.0, le=1.0)]
Penalty = Annotated[float, Field(ge=-2.0, le=2.0)]
TokenId = Annotated[int, Field(ge=0)]
StopString = Annotated[str, Field(min_length=1, max_length=MAX_STOP_LENGTH)]
Prompt = str | list[str] | list[TokenId] | list[list[TokenId]]

NOT_SERVED: Final[Mapping[str, tuple[Any, ...]]] = {
    "allowed_token_ids": (None,),
    "audio": (None,),
    "bad_words": (None, []),
    "best_of": (None, 1),
    "function_call": (None, "none"),
    "functions": (None, []),
    "guided_choice": (None,),
    "guided_grammar": (None,),
    "guided_json": (None,),
    "guided_regex": (None,),
    "length_penalty": (None, 1.0),
    "logit_bias": (None, {}),
    "logits_processors": (None, []),
    "min_tokens": (None, 0),
    "modalities": (None, ["text"]),
    "prompt_logprobs": (None,),
    "response_format": (None, {"type": "text"}),
    "structured_outputs": (None,),
    "suffix": (None, ""),
    "tool_choice": (None, "none", "auto"),
    "tools": (None, []),
    "truncate_prompt_tokens": (None,),
    "use_beam_search": (None, False),
    "web_search_options": (None,),
}
"""Fields that are refused, and the values with which they ask for nothing."""


class Body(BaseModel):
    """Any body: strict, so that a number in quotes or a yes for a one is an error."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, protected_namespaces=())

    model: str | None = Field(default=None, description="one of the names in /v1/models")

    @model_validator(mode="after")
    def _asks_for_what_is_served(self) -> "Body":
        for name, value in (self.model_extra or {}).items():
            if name in NOT_SERVED and value not in NOT_SERVED[name]:
                raise ValueError(f"{name} is not supported by this engine")
        return self


class StreamOptions(BaseModel):
    """What a stream tells besides the answer."""

    model_config = ConfigDict(strict=True)

    include_usage: bool | None = None


class GenerationBody(Body):
    """What chat and plain completions have in common."""

    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = Field(default=None, description="answers to each prompt")
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: StopString | Annotated[list[StopString], Field(max_length=MAX_STOPS)] | None = Field(
        default=None, description=f"a string or up to {MAX_STOPS}, of 1 to {MAX_STOP_LENGTH} characters"
    )
    stop_token_ids: Annotated[list[TokenId], Field(max_length=MAX_CHOICES)] | None = None
    include_stop_str_in_output: bool | None = None
    ignore_eos: bool | None = None
    skip_special_tokens: bool | None = None
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = Field(default=None, description="0 to 2")
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = Field(default=None, description="above 0, up to 1")
    top_k: Annotated[int, Field(ge=-1)] | None = Field(default=None, description="tokens kept; 0 or -1 keep all")
    min_p: Ratio | None = Field(default=None, description="0 to 1")
    presence_penalty: Penalty | None = Field(default=None, description="-2 to 2")
    frequency_penalty: Penalty | None = Field(default=None, description="-2 to 2")
    repetition_penalty: Annotated[float, Field(gt=0.0, le=10.0)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = Field(default=None, description="a 64-bit integer")
    priority: Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)] | None = Field(
        default=None, description="lower is served first"
    )

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings that end an answer."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def choices(self) -> int:
        """Answers to each prompt."""
        return self.n or 1

    @property
    def tells_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @model_validator(mode="after")
    def _streams_what_it_describes(self) -> "GenerationBody":
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only for stream: true")
        return self


class CompletionBody(GenerationBody):
    """``/v1/completions``."""

    prompt: Prompt = Field(description="a string, strings, token ids, or lists of token ids")
    max_tokens: Annotated[int, Field(ge=1)] | None = Field(default=None, description="at least 1")
    logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = Field(
        default=None, description=f"0 to {MAX_TOP_LOGPROBS}"
    )
    echo: bool | None = None

    @model_validator(mode="after")
    def _echoes_only_text(self) -> "CompletionBody":
        if self.echo and self.logprobs is not None:
            raise ValueError("echo together with logprobs is not supported: prompts have no log probabilities here")
        return self


class TextPart(BaseModel):
    """Part of a message."""

    model_config = ConfigDict(strict=True)

    type: Literal["text"] = Field(description="only text is read")
    text: str


class Message(BaseModel):
    """One message; what else it has goes to the chat template as it is."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    role: Annotated[str, Field(min_length=1, max_length=64)]
    content: str | list[TextPart] | None = None

    def for_template(self) -> dict[str, Any]:
        """Return what a chat template reads: content as one text, parts one below the other."""
        content = self.content
        if isinstance(content, list):
            content = "\n".join(part.text for part in content)
        return {"role": self.role, "content": content or "", **(self.model_extra or {})}


class ChatBody(GenerationBody):
    """``/v1/chat/completions``."""

    messages: Annotated[list[Message], Field(min_length=1)] = Field(description="at least one message")
    max_tokens: Annotated[int, Field(ge=1)] | None = Field(default=None, description="at least 1")
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = Field(default=None, description="at least 1")
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = Field(
        default=None, description=f"0 to {MAX_TOP_LOGPROBS}, with logprobs: true"
    )
    add_generation_prompt: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _agrees(self) -> "ChatBody":
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs is only for logprobs: true")
        if None not in (self.max_tokens, self.max_completion_tokens) and self.max_tokens != self.max_completion_tokens:
            raise ValueError(
                f"max_tokens {self.max_tokens} and max_completion_tokens {self.max_completion_tokens} differ; give one"
            )
        return self


class TokenizeBody(Body):
    """``/tokenize``: a prompt, or messages."""

    prompt: str | None = None
    messages: Annotated[list[Message], Field(min_length=1)] | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool | None = None
    return_token_strs: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _is_one_text(self) -> "TokenizeBody":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self


class DetokenizeBody(Body):
    """``/detokenize``."""

    tokens: list[TokenId] = Field(description="token ids")


class LimitsBody(BaseModel):
    """``PUT /limits``: what is not named stays as it is."""

    model_config = ConfigDict(strict=True, extra="forbid")

    max_num_seqs: Annotated[int, Field(ge=1)] | None = None
    max_num_batched_tokens: Annotated[int, Field(ge=1)] | None = None
    max_queued_requests: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _names_one(self) -> "LimitsBody":
        if not self.model_dump(exclude_none=True):
            raise ValueError("name at least one of max_num_seqs, max_num_batched_tokens, max_queued_requests")
        return self
