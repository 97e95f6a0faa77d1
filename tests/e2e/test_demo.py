"""The demo, shortened: the README's own line, on the cluster of the run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from localcluster.cluster import Cluster

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).resolve().parents[2]
MINUTES = 9.0


@pytest.fixture(scope="module")
def printed(cluster: Cluster) -> str:
    own = Path(sys.executable).parent
    environment = {**cluster.env(), "COLUMNS": "200"}
    environment["PATH"] = os.pathsep.join([str(own), environment["PATH"]])
    command = [sys.executable, "-m", "poolwright.cli", "demo", f"--minutes={MINUTES}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def rows(printed: str) -> list[dict[str, str]]:
    names = ("time", "load", "planned", "wanted/ready", "runs on", "ttft", "itl", "$/h", "reason")
    pattern = "  ".join(f"{re.escape(name)} (.*?)" for name in names) + "$"
    found = [re.match(pattern, line) for line in printed.splitlines() if line.startswith("time ")]
    return [dict(zip(names, each.groups(), strict=True)) for each in found if each]


def figures(printed: str, pattern: str) -> list[float]:
    found = re.search(pattern, printed)
    assert found, printed[-2000:]
    return [float(each) for each in found.groups()]


def test_the_pool_begins_small_and_grows_to_what_the_load_needs(printed: str) -> None:
    wanted = [int(row["wanted/ready"].split("/")[0]) for row in rows(printed) if row["runs on"]]
    # One replica knows nothing; some 50 requests/s of real traffic need 3 to 6 of the large accelerators.
    assert 1 == wanted[0]
    assert 3 <= wanted[-1] <= 10


def test_what_serves_at_the_end_is_what_was_wanted(printed: str) -> None:
    wanted, ready = rows(printed)[-1]["wanted/ready"].split("/")
    assert abs(int(wanted) - int(ready)) <= 2


def test_what_was_predicted_is_what_is_seen(printed: str) -> None:
    calm = [row for row in rows(printed) if row["reason"] in ("Demand", "Stabilisation")]
    settled = [row for row in calm if "-" not in row["itl"]][-3:]
    assert settled
    for row in settled:
        predicted, seen = (float(value.removesuffix(" ms")) for value in row["itl"].split(" / "))
        assert 0.5 < seen / predicted < 1.6, row


def test_the_summary_counts_every_request(printed: str) -> None:
    arrived, served, refused = figures(printed, r"(\d+) requests in .*?, (\d+) served, (\d+) refused")
    # Those in flight when the time was over are in neither count: some 50/s for some 10 s at most.
    assert 0 <= arrived - served - refused <= 600
    assert arrived > 20_000


def test_reasons_and_cost_are_told(printed: str) -> None:
    assert "Demand" in printed
    spent, static = figures(printed, r"cost ([\d.]+) \$ .* \$/h\) ([\d.]+) \$")
    assert 0.0 < spent < static


def test_the_readme_shows_what_is_printed(printed: str) -> None:
    """Up to figures, and up to what depends on the course of the run: accelerators and reasons."""
    readme = (ROOT / "README.md").read_text()
    shown = re.search(r"^\$ make demo\n(.*?)^```$", readme, flags=re.MULTILINE | re.DOTALL)
    assert shown
    lines = [line for line in shown.group(1).splitlines() if line != "..."]
    assert len(lines) == 5
    for line in lines:
        begin = re.split(r"runs on|reasons given", line)[0]
        pattern = r"\d+(?:\.\d+)?".join(re.escape(part) for part in re.split(r"\d+(?:\.\d+)?", begin))
        assert re.search(pattern, printed), line


def test_nothing_is_left_behind(printed: str, cluster: Cluster) -> None:
    assert printed
    command = [str(cluster.kubectl), "get", "namespace", "poolwright-demo", "-o", "jsonpath={.status.phase}"]
    done = subprocess.run(command, env=dict(cluster.env()), capture_output=True, text=True, check=False)
    assert done.stdout in ("", "Terminating")
