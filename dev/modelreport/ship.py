"""``python -m modelreport.ship``: fit the shipped calibration on all rows and write its data file."""

import sys
from pathlib import Path

import yaml

from modelreport.rows import VARIABLE, data_folder, read_measured
from poolwright.perf.deployment_fit import fit_biases

TARGET = Path(__file__).resolve().parents[2] / "operator" / "poolwright" / "perf" / "data" / "shipped.yaml"
HEADER = """\
# Bias of published deployments against the sourced constants, written by `python -m modelreport.ship`. One line each:
# factor on step time, factor on TTFT, rows that it was fitted on, their sources. Open loops are not among them.
"""


def main() -> int:
    """Write the file."""
    folder = data_folder()
    if folder is None:
        print(f"{VARIABLE} names no folder with benchmarks.csv")
        return 2
    data = read_measured(folder)
    biases = fit_biases(data.questions, data.column("source"), data.tpot_s, data.ttft_s)
    lines = [
        {
            "model": key.model,
            "accelerator": key.accelerator,
            "weight_format": key.weight_format,
            "engine": key.engine,
            "step": round(bias.step, 3),
            "first_token": round(bias.first_token, 3),
            "rows": bias.rows,
            "sources": list(bias.sources),
        }
        for key, bias in sorted(biases.items(), key=lambda item: str(item[0]))
    ]
    body = "".join("- " + yaml.safe_dump(each, default_flow_style=True, sort_keys=False, width=1000) for each in lines)
    TARGET.write_text(HEADER + body, encoding="utf-8")
    print(f"{len(lines)} deployments in {TARGET.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
