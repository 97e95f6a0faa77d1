"""One kind of replica in a fleet: what it runs with, what it costs, and how long it takes to come.

``variant_of`` makes one from a replica configuration by the performance model.
"""

import math
from dataclasses import dataclass, field
from typing import Final

from poolwright.perf.cost import usd_per_s
from poolwright.perf.memory import memory_plan, weight_bytes
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.step_time import step_breakdown, step_law
from poolwright.simulator.layout import Law, law_of
from poolwright.simulator.step_table import StepTable
from poolwright.units import BYTES_PER_GB

PROVISIONING_S: Final = 60.0
"""[s] From the order of a node to its being ready: cloud autoscalers state one to two minutes for a GPU node; 0 where
nodes stand by. Erring low understates how far ahead a policy must look."""
IMAGE_BYTES: Final = 10.0 * BYTES_PER_GB
"""[bytes] Compressed engine image: published images of vLLM and SGLang are 8 to 12 GB."""
IMAGE_BYTES_PER_S: Final = 0.5 * BYTES_PER_GB
"""[bytes/s] Pull and unpack: registries give about a gigabyte a second, unpacking halves it."""
STORAGE_BYTES_PER_S: Final = 4.0 * BYTES_PER_GB
"""[bytes/s] Weights from local NVMe or a shared file system to the device: one NVMe reads 3 to 7 GB/s."""
WARM_UP_S: Final = 20.0
"""[s] Start of the engine and capture of graphs, once weights are there: vLLM logs 10 to 40 s."""
PREFILL_PROBE_TOKENS: Final = 1024.0
"""[tokens] Prompt at which the compute of one token is read off the model: long enough for the linear part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStart:
    """How long a replica takes from order to readiness, equation (13.6) of docs/model.md.

    Attributes
    ----------
    provisioning_s, warm_up_s
        Until there is a node, and from loaded weights to readiness [s].
    image_bytes, image_bytes_per_s
        What is pulled, and how fast.
    storage_bytes_per_s
        How fast weights are loaded.
    """

    provisioning_s: float = PROVISIONING_S
    image_bytes: float = IMAGE_BYTES
    image_bytes_per_s: float = IMAGE_BYTES_PER_S
    storage_bytes_per_s: float = STORAGE_BYTES_PER_S
    warm_up_s: float = WARM_UP_S

    def seconds(self, weight_bytes: float) -> float:
        """Return the whole of it for a replica that loads so much [s]."""
        pull_s = self.image_bytes / self.image_bytes_per_s
        return self.provisioning_s + pull_s + weight_bytes / self.storage_bytes_per_s + self.warm_up_s


def after(seconds: float) -> ColdStart:
    """Return a cold start that takes so long whatever is loaded [s]."""
    return ColdStart(provisioning_s=seconds, image_bytes=0.0, storage_bytes_per_s=math.inf, warm_up_s=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetVariant:
    """One kind of replica.

    Attributes
    ----------
    key
        Its name in counts and answers.
    law
        Step times, made by ``layout.law_of`` for at least ``max_num_seqs``.
    max_num_seqs, max_num_batched_tokens, blocks, block_tokens
        As in ``simulator.pool.Pool``.
    cold_start_s
        From order to readiness [s].
    price_usd_per_s, idle_w, tdp_w
        Of the whole replica.
    compute_s_per_token
        Time that the peak compute would need for one token [s]; tells prefill's power from decode's.
    quota
        Most replicas that may be paid for at once, starting and draining ones included; None: any number.
    mean_life_s
        Mean time from readiness to a failure [s]; infinite: none fails.
    mean_spot_s, notice_s
        Mean time from readiness to the notice of a reclaim, and from that to the end [s].
    weight
        What its load is divided by when a router compares requests or tokens.
    config
        What it was made from, or None.
    """

    key: str
    law: Law = field(repr=False)
    max_num_seqs: int
    max_num_batched_tokens: int
    blocks: int
    block_tokens: int
    cold_start_s: float = 0.0
    price_usd_per_s: float = 0.0
    idle_w: float = 0.0
    tdp_w: float = 0.0
    compute_s_per_token: float = 0.0
    quota: int | None = None
    mean_life_s: float = math.inf
    mean_spot_s: float = math.inf
    notice_s: float = 120.0
    weight: float = 1.0
    config: ReplicaConfig | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse kinds that nothing could run on."""
        for name in ("max_num_seqs", "max_num_batched_tokens", "blocks", "block_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{self.key}: {name} is {getattr(self, name)}, must be at least 1")
        if len(self.law.decode) <= self.max_num_seqs:
            raise ValueError(f"{self.key}: the law was made for {len(self.law.decode) - 1} sequences")
        for name in ("mean_life_s", "mean_spot_s", "weight"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{self.key}: {name} is {getattr(self, name)}, must be positive")

    @property
    def resource(self) -> tuple[str, int]:
        """Which accelerator a replica takes, and how many of it; itself and one where it was not made from any."""
        if self.config is None:
            return self.key, 1
        return self.config.accelerator.name, self.config.accelerators

    @property
    def kv_tokens(self) -> int:
        """Tokens that its cache holds."""
        return self.blocks * self.block_tokens


def variant_of(
    config: ReplicaConfig,
    *,
    max_num_seqs: int = 256,
    max_num_batched_tokens: int = 2048,
    max_context_tokens: int = 32_768,
    cold_start: ColdStart | None = None,
    key: str | None = None,
    quota: int | None = None,
) -> FleetVariant:
    """Return the kind of replica that a configuration is, by the performance model.

    Raises
    ------
    ValueError
        When its memory holds no request of ``max_context_tokens``.
    """
    memory = memory_plan(config, max_num_seqs=max_num_seqs, max_num_batched_tokens=max_num_batched_tokens)
    blocks = int(memory.kv_capacity_tokens // config.block_tokens)
    name = key or f"{config.accelerator.name}-{config.weight_format}-tp{config.tensor_parallel}"
    if blocks * config.block_tokens < max_context_tokens:
        raise ValueError(f"{name}: cache holds {memory.kv_capacity_tokens:.0f} tokens, needed {max_context_tokens}")
    law = step_law(config)
    table = StepTable.of(
        lambda n, c, p: law.seconds(decode_sequences=n, context_tokens=c, prefill_tokens=p),
        max_num_seqs=max_num_seqs,
        max_context_tokens=max_context_tokens,
        max_num_batched_tokens=max_num_batched_tokens,
    )
    probe = step_breakdown(config, decode_sequences=0.0, context_tokens=0.0, prefill_tokens=PREFILL_PROBE_TOKENS)
    start = ColdStart() if cold_start is None else cold_start
    return FleetVariant(
        key=name,
        law=law_of(table, max_num_seqs),
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        blocks=blocks,
        block_tokens=config.block_tokens,
        cold_start_s=start.seconds(weight_bytes(config) * config.ranks),
        price_usd_per_s=usd_per_s(config) or 0.0,
        idle_w=config.accelerators * config.accelerator.idle_w,
        tdp_w=config.accelerators * config.accelerator.tdp_w,
        compute_s_per_token=float(probe.compute_floor_s) / PREFILL_PROBE_TOKENS,
        quota=quota,
        config=config,
    )
