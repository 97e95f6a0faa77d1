"""Number formats of weights, activations and KV cache: how many bytes a value takes and which peak it computes at.

Decides nothing about which format to use (``planner.candidates``) or how efficient its kernels are (``perf``).
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFormat:
    """One way to store a number, scales included.

    Attributes
    ----------
    name
        Lower-case name as used in catalogues and plans.
    bytes_per_value
        Storage [bytes] of one value, group scales and zeros included.
    compute
        Key of ``Accelerator.peak_flop_per_s`` in which a product with this weight format runs.
    """

    name: str
    bytes_per_value: float
    compute: str


FORMATS: Final[dict[str, NumberFormat]] = {
    each.name: each
    for each in (
        NumberFormat(name="fp32", bytes_per_value=4.0, compute="bf16"),
        NumberFormat(name="bf16", bytes_per_value=2.0, compute="bf16"),
        NumberFormat(name="fp16", bytes_per_value=2.0, compute="bf16"),
        NumberFormat(name="fp8", bytes_per_value=1.0, compute="fp8"),
        NumberFormat(name="int8", bytes_per_value=1.0, compute="int8"),
        # 4-bit values with one 16-bit scale and one 4-bit zero for each group of 128: 4.156 bits.
        NumberFormat(name="w4a16", bytes_per_value=(4.0 + 20.0 / 128.0) / 8.0, compute="bf16"),
        NumberFormat(name="w4a8", bytes_per_value=(4.0 + 20.0 / 128.0) / 8.0, compute="int8"),
        # OCP microscaling: one 8-bit scale for 32 values; NVFP4: one 8-bit scale for 16 values.
        NumberFormat(name="mxfp4", bytes_per_value=(4.0 + 8.0 / 32.0) / 8.0, compute="bf16"),
        NumberFormat(name="nvfp4", bytes_per_value=(4.0 + 8.0 / 16.0) / 8.0, compute="fp4"),
    )
}
"""Every format by name. Bytes include group scales as the checkpoint formats store them; sources: GPTQ and AWQ
checkpoints with group size 128; OCP Microscaling Formats v1.0 (2023), section 5; NVIDIA's NVFP4 (blocks of 16)."""
