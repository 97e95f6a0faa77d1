"""AcceleratorProfile: adds an accelerator to the built-in catalogue, or overrides one by its name. Cluster-scoped."""

from typing import Annotated, Literal

from pydantic import Field

from poolwright.api.pool_spec import Money
from poolwright.api.resource import Metadata, Strict


class PeakSpec(Strict):
    """Dense peak per number format, in units of 10^12 operations a second."""

    bf16: int = Field(ge=1, le=1_000_000, description="16-bit floating point.")
    fp8: int | None = Field(default=None, ge=1, le=1_000_000, description="8-bit floating point, where there is any.")
    int8: int | None = Field(default=None, ge=1, le=1_000_000, description="8-bit integers, where there are any.")
    fp4: int | None = Field(default=None, ge=1, le=1_000_000, description="4-bit floating point, where there is any.")


class SelectorSpec(Strict):
    """Node labels that identify the accelerator; all must match, each with one of its values."""

    labels: dict[str, Annotated[tuple[str, ...], Field(min_length=1, max_length=16)]] = Field(
        min_length=1, max_length=8, description="Values by label key."
    )


class AcceleratorProfileSpec(Strict):
    """A datasheet, and how Kubernetes names the thing."""

    vendor: str = Field(default="", max_length=63, description="Who makes it.")
    memory_gibibytes: int = Field(ge=1, le=100_000, description="Device memory.")
    bandwidth_gigabytes_per_second: int = Field(ge=1, le=1_000_000, description="Memory bandwidth.")
    peak_teraflops: PeakSpec = Field(description="Dense peaks, not the sparse ones that datasheets print larger.")
    scale_up_gigabytes_per_second: int = Field(
        default=32, ge=1, le=100_000, description="Link bandwidth of one accelerator in one direction, in its domain."
    )
    scale_up_domain: int = Field(default=1, ge=1, le=100_000, description="Accelerators that such links join.")
    scale_out_gigabytes_per_second: int = Field(
        default=12, ge=1, le=100_000, description="Network bandwidth of one accelerator in one direction."
    )
    accelerators_per_node: int = Field(default=8, ge=1, le=1024, description="Most that one node has.")
    tdp_watts: int = Field(ge=1, le=100_000, description="Power at its limit.")
    idle_watts: int | None = Field(default=None, ge=0, le=100_000, description="Power doing nothing.")
    usd_per_hour: Money | None = Field(default=None, description="Price of one accelerator, such as '3.90'.")
    resource_name: str = Field(
        default="nvidia.com/gpu", min_length=1, max_length=253, description="Extended resource that pods ask for."
    )
    selectors: tuple[SelectorSpec, ...] = Field(
        min_length=1, max_length=16, description="Label sets that identify it; pods are pinned by any of them."
    )


class AcceleratorProfile(Strict):
    """An accelerator that the catalogue lacks, or whose figures differ here."""

    api_version: Literal["poolwright.io/v1alpha1"] = "poolwright.io/v1alpha1"
    kind: Literal["AcceleratorProfile"] = "AcceleratorProfile"
    metadata: Metadata
    spec: AcceleratorProfileSpec = Field(description="The accelerator.")
