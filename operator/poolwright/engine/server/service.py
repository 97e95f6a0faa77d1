"""What every route needs: the engine once it is there, its text, its counters, and whether requests are taken."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from poolwright.engine.generation import EngineCore, EngineFailedError, EngineState
from poolwright.engine.server.chat import ChatTemplate
from poolwright.engine.server.errors import not_served, overloaded
from poolwright.engine.server.flight import Mailbox
from poolwright.engine.server.metrics import Metrics
from poolwright.engine.server.settings import Settings
from poolwright.engine.server.text import Codec


class Phase(StrEnum):
    """Where a process is in its life; it only moves on."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model that is ready.

    Attributes
    ----------
    engine
        Generates.
    codec
        Its tokenizer.
    template
        Its chat template; None: it has none.
    defaults
        Sampling parameters that its makers recommend, used where a request is silent.
    """

    engine: EngineCore
    codec: Codec
    template: ChatTemplate | None
    defaults: dict[str, Any]


SAMPLING_DEFAULTS: Final = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
"""Fields of ``generation_config.json`` that are looked at, as in vLLM."""


class Service:
    """The state that routes share. Lives on the event loop."""

    def __init__(self, settings: Settings, mailbox: Mailbox) -> None:
        self.settings = settings
        self.mailbox = mailbox
        self.phase = Phase.LOADING
        self.created_s = 0
        self._served: Served | None = None
        self._metrics: Metrics | None = None

    def is_served(self, served: Served, metrics: Metrics, created_s: int) -> None:
        """Take requests from now on, unless the process is ending already."""
        self._served, self._metrics, self.created_s = served, metrics, created_s
        if self.phase is Phase.LOADING:
            self.phase = Phase.READY

    def drain(self) -> None:
        """Take no more requests."""
        self.phase = Phase.DRAINING

    @property
    def metrics(self) -> Metrics | None:
        """Counters; None before the model is there."""
        return self._metrics

    @property
    def served(self) -> Served:
        """The model.

        Raises
        ------
        ApiError
            It is still loading.
        """
        if self._served is None:
            raise overloaded("the model is still loading", code="model_loading")
        return self._served

    @property
    def counted(self) -> Metrics:
        """Counters of a model that is there."""
        if self._metrics is None:
            raise overloaded("the model is still loading", code="model_loading")
        return self._metrics

    def state(self) -> EngineState | None:
        """Return the engine's state, None before there is one."""
        return None if self._served is None else self._served.engine.state()

    @property
    def health(self) -> str:
        """``ready``, or why requests are not taken: ``loading``, ``draining``, ``failed``."""
        try:
            self.state()
        except EngineFailedError:
            return "failed"
        return self.phase.value

    def admit(self, model: str | None) -> Served:
        """Return what serves a request for a model.

        Raises
        ------
        ApiError
            No requests are taken, or the name is not served.
        """
        if self.phase is Phase.DRAINING:
            self.counted.refused["draining"].inc()
            raise overloaded("the engine is shutting down and takes no more requests", code="draining")
        served = self.served
        if model is not None and model not in self.settings.names:
            raise not_served(model, self.settings.names)
        return served
