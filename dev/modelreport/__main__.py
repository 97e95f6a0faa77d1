"""``python -m modelreport``: score the model against published measurements and write docs/validation.md."""

import sys
from pathlib import Path

from modelreport import report
from modelreport.ablation import ablations
from modelreport.elsewhere import logged_run, static_tables
from modelreport.figure import scatter
from modelreport.regimes import constants, few_rows, left_out, shipped
from modelreport.rows import VARIABLE, data_folder, read_measured
from modelreport.score import QUANTITIES
from modelreport.sharing import shared

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = Path(__file__).with_name("validation.md.in")


def main() -> int:
    """Write the page and its figure."""
    folder = data_folder()
    if folder is None:
        print(f"{VARIABLE} names no folder with benchmarks.csv: nothing validated")
        return 2
    data = read_measured(folder)
    plain = constants(data)
    regimes = [
        plain,
        left_out(data),
        *(shared(data, plain.errors, by) for by in ("engine", "model and engine")),
        shipped(data),
        *(few_rows(data, count) for count in (1, 3, 10)),
    ]
    tables = static_tables(folder)
    columns = {
        "source": data.column("source"),
        "accelerator": data.column("accelerator"),
        "model": data.column("model_key"),
        "engine": [each.config.engine.name for each in data.questions],
        "weights": [each.config.weight_format for each in data.questions],
        "load": report.load_of(data),
    }
    by_column = [report.column_table(plain.errors, name, values) for name, values in columns.items()]
    scatter(plain.errors, data, DOCS / "validation.png")
    parts = {
        "rows": str(len(data.rows)),
        "refused": report.refused_text(data.refused),
        "regimes": report.regimes_table(regimes),
        "columns": "\n\n".join(by_column),
        "ablation": report.ablation_table(plain.errors, ablations(data)),
        "static": report.static_table(tables, constants(tables).errors),
        "log": report.log_text(logged_run(folder)),
        "worst": "\n\n".join(f"### {name}\n\n{report.worst_table(data, plain.errors, name)}" for name in QUANTITIES),
    }
    text = PAGE.read_text(encoding="utf-8")
    for name, value in parts.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    (DOCS / "validation.md").write_text(text, encoding="utf-8")
    print(parts["regimes"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
