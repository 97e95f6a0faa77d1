"""The figures of compiled kernels as a table of docs/kernels.md."""

from pathlib import Path
from typing import Final

import triton

from kernelreport.machine_code import MachineCode, Variant

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "kernels.md"
START: Final = "<!-- figures: python -m kernelreport -->"
END: Final = "<!-- end of figures -->"
LAID_OUT_OF_LINE: Final = 100
"""Capability whose loops cannot be counted: waits for the tensor cores are laid out far from the loop."""
HEADER: Final = (
    "| kernel | sm | warps | registers | shared KiB | loop | per weight | tensor cores | weights from |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def row(variant: Variant, code: MachineCode) -> str:
    """Return the line of one compilation."""
    names = sorted({text.split(maxsplit=1)[0] for text in code.tensor_instructions})
    is_counted = bool(code.loop) and code.capability < LAID_OUT_OF_LINE
    source = "registers" if code.reads_weights_from_registers else "shared memory"
    is_product = variant.kernel.__name__ == "quantised_product"
    cells = [
        variant.name,
        str(code.capability),
        str(variant.warps),
        str(code.registers),
        f"{code.shared_bytes / 1024:.1f}",
        str(len(code.loop)) if is_counted else "",
        f"{code.instructions_per_weight:.2f}" if is_counted else "",
        ", ".join(names),
        source if is_product else "",
    ]
    return "| " + " | ".join(cells) + " |"


def table(rows: list[str]) -> str:
    """Return the whole table between its marks."""
    return "\n".join([START, f"Triton {triton.__version__}.", "", HEADER, *rows, END])


def written(text: str, rows: list[str]) -> str:
    """Return a document with its table replaced."""
    before, rest = text.split(START, maxsplit=1)
    return before + table(rows) + rest.split(END, maxsplit=1)[1]
