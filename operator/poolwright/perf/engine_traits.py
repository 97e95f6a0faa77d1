"""What a serving engine costs beside the physics: dispatch of kernels, host work a step, and how it admits prompts.

Facts of engines, not of accelerators. Reading them from a pod's arguments is in ``engine_arguments``.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTraits:
    """One engine as the model sees it.

    Attributes
    ----------
    name
        ``vllm``, ``sglang``, ``tensorrt-llm`` ...
    kernel_latency_s
        Time between two dependent kernels of a decode step [s], when their own work takes none.
    dispatch_s
        Time the host needs to launch one kernel of a step that runs without a graph [s].
    is_graph_captured
        Whether pure decode steps are replayed from a captured graph.
    graph_kernel_ratio
        Share of a prefill step's kernels that the host still launches one by one, in (0, 1].
    step_overhead_s
        Host work per step that nothing hides [s]: scheduling, sampling, detokenising.
    sequence_overhead_s
        Host work per decoding sequence and step [s].
    front_end_s, front_end_s_per_token
        Work before a request is scheduled [s], [s/token]: parsing, tokenising, queues between processes.
    is_prefill_first
        Whether prompts run in steps of their own while decoding waits (True), or share steps with decoding (False).
    token_budget
        Most tokens of one step (``max_num_batched_tokens``, chunk size).
    max_sequences
        Most sequences that run at once, or None where memory decides.
    admission_steps
        Further steps that a waiting prompt lets pass before it may start (receive intervals, batch waits).
    balance_steps
        Steps that a prompt may wait until every group of data-parallel attention has one, 0 where groups do not wait.
    pads_heads
        Whether heads that tensor parallelism does not divide are padded instead of refused.
    """

    name: str
    kernel_latency_s: float
    dispatch_s: float
    is_graph_captured: bool = True
    graph_kernel_ratio: float = 1.0
    step_overhead_s: float
    sequence_overhead_s: float = 0.0
    front_end_s: float = 8e-3
    front_end_s_per_token: float = 2e-6
    is_prefill_first: bool = False
    token_budget: int = 8192
    max_sequences: int | None = None
    admission_steps: float = 0.0
    balance_steps: float = 0.0
    pads_heads: bool = False


KERNEL_LATENCY_S: Final = 2.5e-6
"""Gap between dependent kernels of a replayed CUDA graph plus ramp-up and drain of a small kernel [s]. Graph replay
alone costs 1.3-1.6 us a node (NVIDIA, "Constant Time Launch for Straight-Line CUDA Graphs", 2024); a small kernel on an
H100 takes 2-4 us whatever it computes. Erring low makes small batches look too fast."""

DISPATCH_S: Final = 50e-6
"""Host time to launch one kernel from PyTorch without a graph [s], framework layers included: bare launches take 5 us,
eager engines are seen at 45-67 us a fused operator. Erring low makes short prompts look too fast."""

STEP_OVERHEAD_S: Final = 1e-3
"""Host work per step that the device waits for [s]: scheduling, input preparation, sampling, output handling; vLLM's V1
design notes and profiles give 0.5-3 ms. Erring low makes small models look too fast."""

OVERLAPPED_OVERHEAD_S: Final = 0.5e-3
"""The same where scheduling runs while the device works (TensorRT-LLM's and SGLang's overlap schedulers) [s]: what
stays is sampling, the copy of tokens and the launch of the graph."""

VLLM: Final = EngineTraits(
    name="vllm",
    kernel_latency_s=KERNEL_LATENCY_S,
    dispatch_s=DISPATCH_S,
    graph_kernel_ratio=0.5,
    step_overhead_s=STEP_OVERHEAD_S,
    max_sequences=1024,
)
"""vLLM V1: piecewise graphs halve the launches of mixed steps; 8192 tokens a step is its default on large devices."""

SGLANG: Final = EngineTraits(
    name="sglang",
    kernel_latency_s=KERNEL_LATENCY_S,
    dispatch_s=DISPATCH_S,
    step_overhead_s=OVERLAPPED_OVERHEAD_S,
    is_prefill_first=True,
    token_budget=8192,
)
"""SGLang: prompts run in steps of their own, without a graph, in chunks of 8192 tokens by default."""

TENSORRT_LLM: Final = EngineTraits(
    name="tensorrt-llm",
    kernel_latency_s=2.0e-6,
    dispatch_s=DISPATCH_S,
    step_overhead_s=OVERLAPPED_OVERHEAD_S,
)
"""TensorRT-LLM since 1.0 (PyTorch backend): fewer gaps in decoding (fused kernels, programmatic dependent launch),
while prompts run without a graph unless told otherwise."""

TENSORRT_ENGINE: Final = EngineTraits(
    name="tensorrt-engine",
    kernel_latency_s=2.0e-6,
    dispatch_s=5e-6,
    step_overhead_s=STEP_OVERHEAD_S,
    front_end_s=4e-3,
)
"""TensorRT-LLM before 1.0 and what wraps it (Triton, NIM): compiled engines, launched and served from C++."""

POOLWRIGHT: Final = EngineTraits(
    name="poolwright",
    kernel_latency_s=KERNEL_LATENCY_S,
    dispatch_s=DISPATCH_S,
    step_overhead_s=STEP_OVERHEAD_S,
    max_sequences=256,
)
"""This project's engine: chunked prefill shares steps with decoding."""

EAGER: Final = EngineTraits(
    name="eager",
    kernel_latency_s=KERNEL_LATENCY_S,
    dispatch_s=DISPATCH_S,
    is_graph_captured=False,
    step_overhead_s=STEP_OVERHEAD_S,
    is_prefill_first=True,
    token_budget=2048,
)
"""PyTorch without graphs, as engines of 2023 ran: the host launches every kernel of every step."""

NEURON: Final = EngineTraits(
    name="neuronx",
    kernel_latency_s=KERNEL_LATENCY_S,
    dispatch_s=0.0,
    step_overhead_s=STEP_OVERHEAD_S,
    is_prefill_first=True,
    pads_heads=True,
)
"""AWS Neuron: whole graphs are compiled ahead, heads are padded to the cores."""

ENGINES: Final[dict[str, EngineTraits]] = {
    each.name: each for each in (VLLM, SGLANG, TENSORRT_LLM, TENSORRT_ENGINE, POOLWRIGHT, EAGER, NEURON)
}
"""Engines by name."""
