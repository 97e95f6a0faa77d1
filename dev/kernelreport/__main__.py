"""Compiles every kernel for every capability and writes the table of docs/kernels.md: ``python -m kernelreport``."""

from kernelreport.machine_code import compiled
from kernelreport.table import DOCUMENT, row, written
from kernelreport.variants import CAPABILITIES, variants


def main() -> None:
    """Write the table."""
    rows = []
    for capability in CAPABILITIES:
        for variant in variants(capability):
            rows.append(row(variant, compiled(variant, capability)))
            print(rows[-1], flush=True)
    DOCUMENT.write_text(written(DOCUMENT.read_text(), rows))


if __name__ == "__main__":
    main()
