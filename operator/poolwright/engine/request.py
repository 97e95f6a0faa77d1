"""One request inside an engine: its lengths, how far it has come, and the blocks that it holds."""

from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Request:
    """A request, mutable because the scheduler moves it along; two requests are never equal.

    Attributes
    ----------
    number
        Identity, in order of arrival.
    prompt_tokens, output_tokens
        Length of the prompt, and how many tokens will be generated (an upper bound in the engine, exact in a
        simulation).
    priority
        Lower is served first; equal ones in order of arrival.
    token_ids
        Tokens of the prompt where they are known; without them the prefix cache knows nothing but ``cached_tokens``.
    cached_tokens
        Tokens of a prompt without ``token_ids`` that a simulation takes as known to the prefix cache: not computed, in
        blocks of its own.
    computed
        Tokens whose KV is in the cache.
    generated
        Tokens sampled so far; the last of them is not computed yet.
    blocks
        Ids of cache blocks held, in order of position.
    preemptions
        How often its blocks were taken away.
    """

    number: int
    prompt_tokens: int
    output_tokens: int
    priority: int = 0
    token_ids: tuple[int, ...] | None = None
    computed: int = 0
    generated: int = 0
    blocks: list[int] = field(default_factory=list)
    preemptions: int = 0
    cached_tokens: int = 0

    def __post_init__(self) -> None:
        """Refuse lengths that nothing could serve."""
        if self.prompt_tokens < 1 or self.output_tokens < 1:
            raise ValueError(
                f"prompt_tokens {self.prompt_tokens} and output_tokens {self.output_tokens} must be at least 1"
            )
        if self.token_ids is not None and len(self.token_ids) != self.prompt_tokens:
            raise ValueError(f"token_ids has {len(self.token_ids)} tokens, prompt_tokens says {self.prompt_tokens}")

    @property
    def tokens(self) -> int:
        """Tokens that exist: prompt and generated."""
        return self.prompt_tokens + self.generated

    @property
    def to_compute(self) -> int:
        """Tokens that exist and are not computed: 1 while decoding, more while prefilling."""
        return self.tokens - self.computed

    @property
    def is_decoding(self) -> bool:
        """Whether only the last sampled token is left to compute."""
        return self.generated > 0 and self.to_compute == 1

    @property
    def is_finished(self) -> bool:
        """Whether every token has been generated."""
        return self.generated >= self.output_tokens
