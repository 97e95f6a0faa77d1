"""Settings of the operator from ``POOLWRIGHT_*`` variables: typed, bounded, and refused at start when senseless."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, HttpUrl, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as PydanticSettingsError

from poolwright.planner.policy import EngineKind

PREFIX: Final = "POOLWRIGHT_"

Seconds = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class SettingsError(ValueError):
    """A setting makes no sense: names the variable, its value and what it must be."""


class Settings(BaseSettings):
    """What the operator runs with. Durations of the world are world seconds, all others wall seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    namespaces: tuple[str, ...] = Field(default=(), description="Namespaces whose pools are reconciled.")
    all_namespaces: bool = Field(default=False, description="Reconcile every namespace.")
    reconcile_interval_s: Seconds = Field(default=15.0, le=600.0, description="World time between two looks at a pool.")
    metrics_window_s: Seconds = Field(default=60.0, ge=10.0, le=3600.0, description="World window of rates.")
    stale_after_s: Seconds = Field(default=60.0, ge=5.0, le=3600.0, description="World age of a sample too old to use.")
    workers: int = Field(default=8, ge=1, le=256, description="Pools reconciled at once.")
    prometheus_url: HttpUrl | None = Field(default=None, description="Prometheus server; absent: pods are scraped.")
    prometheus_token_file: Path | None = Field(default=None, description="Bearer token for it.")
    lease_enabled: bool = Field(default=True, description="Elect a leader; only tests turn it off.")
    lease_name: str = Field(default="poolwright", min_length=1, max_length=253, description="Name of the Lease.")
    lease_namespace: str = Field(default="", max_length=63, description="Its namespace; empty: the first watched.")
    identity: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}", min_length=1, max_length=253)
    clock_speed: Annotated[float, Field(gt=0.0, le=1000.0, allow_inf_nan=False)] = Field(
        default=1.0, description="World seconds per wall second: above 1 only in demonstrations and tests."
    )
    simulation_enabled: bool = Field(
        default=True,
        description="Let a simulation decide what the closed form proposes; it takes a CPU second for a new load.",
    )
    http_host: str = Field(default="0.0.0.0", description="Address of health and metrics.")  # noqa: S104 - probes come from outside
    http_port: int = Field(default=8080, ge=0, le=65535, description="Port of health and metrics; 0: any free one.")
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
    pod_monitor_enabled: bool = Field(default=False, description="Make PodMonitors for engine pods.")
    engine_images: Mapping[str, str] = Field(default={}, description="Default image by engine, in lower case.")
    operator_namespace: str = Field(default="", max_length=63, description="Where scrapes come from.")

    @model_validator(mode="after")
    def _watches_something(self) -> "Settings":
        if not self.namespaces and not self.all_namespaces:
            raise ValueError(
                f"{PREFIX}NAMESPACES is empty: state a JSON list, or {PREFIX}ALL_NAMESPACES=true for every namespace"
            )
        unknown = set(self.engine_images) - {kind.value.lower() for kind in EngineKind}
        if unknown:
            known = ", ".join(each.value.lower() for each in EngineKind)
            raise ValueError(f"{PREFIX}ENGINE_IMAGES has {', '.join(sorted(unknown))}: there are {known}")
        return self

    @property
    def images(self) -> dict[EngineKind, str]:
        """Default image of each engine kind."""
        return {kind: self.engine_images.get(kind.value.lower(), DEFAULT_IMAGES[kind]) for kind in EngineKind}

    @property
    def lease_home(self) -> str:
        """Namespace of the Lease."""
        return self.lease_namespace or (self.namespaces[0] if self.namespaces else "default")


DEFAULT_IMAGES: Final = {
    EngineKind.POOLWRIGHT: "ghcr.io/poolwright/engine:0.1.0",
    EngineKind.VLLM: "vllm/vllm-openai:v0.19.0",
    EngineKind.SGLANG: "lmsysorg/sglang:v0.5.9",
}
"""Images used where neither pool nor settings name one: the versions whose flags and metric names are known here."""


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of this process.

    Raises
    ------
    SettingsError
        Naming the variable, its value and what it must be; unknown ``POOLWRIGHT_*`` variables are refused too.
    """
    present = os.environ if environment is None else environment
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    unknown = sorted(name for name in present if name.startswith(PREFIX) and name not in known | OTHERS)
    if unknown:
        raise SettingsError(f"{', '.join(unknown)}: no such setting; there are {', '.join(sorted(known))}")
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if not first["loc"]:
            raise SettingsError(first["msg"].removeprefix("Value error, ")) from error
        name = f"{PREFIX}{first['loc'][0]}".upper()
        raise SettingsError(f"{name} is {present.get(name)!r}: {first['msg']}") from error
    except PydanticSettingsError as error:
        # Its text names the field; the cause says what is wrong with the JSON.
        name = next((each for each in sorted(known) if f'"{each.removeprefix(PREFIX).lower()}"' in str(error)), PREFIX)
        raise SettingsError(f"{name} is {present.get(name)!r}: must be JSON, {error.__cause__}") from error


OTHERS: Final = {"POOLWRIGHT_DATA", "POOLWRIGHT_MEASUREMENTS", "POOLWRIGHT_TRACES"}
"""Variables of that prefix which are not the operator's: folders of data that tests and reports read."""
