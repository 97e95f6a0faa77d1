"""What the chart renders, whole: a change of one line of it is a change that somebody must have meant."""

import subprocess
from pathlib import Path

import pytest

from localcluster.build import binary

HERE = Path(__file__).resolve().parent
CHART = HERE.parents[2] / "charts" / "poolwright"

CASES = {
    "namespaced.yaml": [],
    "cluster-wide.yaml": ["--set", "clusterWide=true,replicas=2,podMonitor.enabled=true"],
}


@pytest.mark.parametrize("file", CASES)
def test_the_chart_renders_what_was_reviewed(file: str) -> None:
    command = [binary("helm"), "template", "poolwright", CHART, "--namespace", "inference", *CASES[file]]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    words = ["helm", "template", "poolwright", "charts/poolwright", "--namespace", "inference", *CASES[file]]
    expected = (HERE / file).read_text()
    assert expected == rendered, f"if that was meant: {' '.join(words)} > tests/golden/chart/{file}"
