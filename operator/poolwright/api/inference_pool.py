"""InferencePool: a model served on GPU-pinned pods to objectives at a percentile. Namespaced.

Not to be confused with the kind of the same name in ``inference.networking.k8s.io``: theirs routes, ours owns capacity.
"""

from typing import Literal

from pydantic import Field

from poolwright.api.pool_spec import InferencePoolSpec
from poolwright.api.pool_status import InferencePoolStatus
from poolwright.api.resource import Metadata, Strict


class InferencePool(Strict):
    """A pool of inference engines that is sized, placed and explained."""

    api_version: Literal["poolwright.io/v1alpha1"] = "poolwright.io/v1alpha1"
    kind: Literal["InferencePool"] = "InferencePool"
    metadata: Metadata
    spec: InferencePoolSpec = Field(description="What is wanted.")
    status: InferencePoolStatus = Field(default=InferencePoolStatus(), description="What is.")
