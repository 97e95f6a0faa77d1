"""How well kernels of each weight format use an accelerator: one table, a data file that measurements can replace.

The row says at which peak a product is computed and which shares of peak and bandwidth its kernels reach. It decides
nothing about formats' accuracy or storage (``hardware.number_format``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from poolwright.hardware.accelerator import Accelerator


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRow:
    """Kernels of one weight format on one vendor's accelerators.

    Attributes
    ----------
    vendor
        Vendor in the catalogue, or ``any``.
    weight_format
        Name in ``number_format.FORMATS``.
    needs
        Peak (key of ``peak_flop_per_s``) that an accelerator must have for the row to apply.
    compute
        Peak at which the product runs.
    compute_ratio
        Share of that peak that a large dense product reaches, in (0, 1].
    expert_compute_ratio
        The same for grouped products of experts.
    stream_ratio
        Share of the datasheet bandwidth at which weights are read at small batch, in (0, 1].
    source
        Where the numbers come from.
    """

    vendor: str
    weight_format: str
    needs: str
    compute: str
    compute_ratio: float
    expert_compute_ratio: float
    stream_ratio: float
    source: str

    def applies(self, accelerator: Accelerator, weight_format: str) -> bool:
        """Return whether this row describes the accelerator's kernels for that format."""
        return (
            self.weight_format == weight_format
            and self.vendor in ("any", accelerator.vendor)
            and self.needs in accelerator.peak_flop_per_s
            and self.compute in accelerator.peak_flop_per_s
        )


@cache
def packaged_kernels() -> tuple[KernelRow, ...]:
    """Return the rows of the package's data file, first match first."""
    text = files(__package__).joinpath("data", "kernels.yaml").read_text(encoding="utf-8")
    return tuple(KernelRow(**row) for row in yaml.safe_load(text))


def kernel_of(
    accelerator: Accelerator, weight_format: str, rows: Sequence[KernelRow] | None = None
) -> KernelRow | None:
    """Return the kernels that an accelerator has for a weight format, or None where it cannot run it.

    Parameters
    ----------
    rows
        A table measured by the user; the package's where None.
    """
    table = packaged_kernels() if rows is None else rows
    return next((row for row in table if row.applies(accelerator, weight_format)), None)
