"""``poolwright demo``: a pool follows an hour of real traffic on the cluster of the current kubeconfig, in two minutes.

Installs the chart, runs the operator with the chart's own rights, applies the ten-line pool, lets the twin play the
engines, and shows what the operator decides. Puts the parts together; each of them is a command of its own.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import yaml
from kubernetes import client, config
from rich.console import Console
from rich.live import Live

from poolwright.api.resource import GROUP, VERSION
from poolwright.cli.demo_view import Moment, View
from poolwright.cli.install import RELEASE, install_chart
from poolwright.cli.twin import SEED, traffic
from poolwright.replay.traces import Trace

NAMESPACE: Final = "poolwright-demo"
SPEED: Final = 30.0
"""World seconds per wall second: an hour of traffic in two minutes."""
FACTOR: Final = 10.0
"""Times the recorded traffic: enough for several replicas of the largest accelerator."""
HORIZON_MINUTES: Final = 60.0
PERIOD_S: Final = 1.0
"""[wall s] Time between two looks at the pool."""
PIPE_COLUMNS: Final = 160
"""Width of lines where the output is no terminal."""
PATIENCE_S: Final = 10.0
"""[wall s] Time that a process gets to end by itself."""
POOLS: Final = "inferencepools"


@click.command()
@click.option(
    "--trace",
    type=click.Path(exists=True, path_type=Path),
    help="Azure LLM trace; default: in $POOLWRIGHT_DATA, else the shipped profile.",
)
@click.option(
    "--factor", default=FACTOR, show_default=True, type=click.FloatRange(0.1, 100.0), help="Times the traffic."
)
@click.option(
    "--speed", default=SPEED, show_default=True, type=click.FloatRange(1.0, 100.0), help="World over wall time."
)
@click.option(
    "--minutes", default=HORIZON_MINUTES, show_default=True, type=click.FloatRange(1.0, 600.0), help="World minutes."
)
@click.option(
    "--pool", "path", default="examples/chat.yaml", show_default=True, type=click.Path(exists=True, path_type=Path)
)
@click.option("--chart", default="charts/poolwright", show_default=True, type=click.Path(exists=True, path_type=Path))
@click.option("--keep", is_flag=True, help="Leave everything running afterwards, until Ctrl-C.")
def demo(
    trace: Path | None, factor: float, speed: float, minutes: float, path: Path, chart: Path, *, keep: bool
) -> None:
    """Watch a pool follow real traffic on the cluster of the current kubeconfig."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends it so wants its processes gone as well
    console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    resource = yaml.safe_load(path.read_text())
    trace = trace or _recorded()
    played = traffic(trace, factor, np.random.default_rng(SEED))
    console.print(f"traffic: {played.source}, {len(played)} requests in {played.duration_s / 60.0:.0f} minutes")
    with tempfile.TemporaryDirectory(prefix="poolwright-demo-") as folder, contextlib.ExitStack() as stack:
        console.print("installing the chart; the operator gets its ServiceAccount's token and no other right")
        stack.callback(_clean_up)
        installed = install_chart(chart, NAMESPACE, Path(folder))
        operator = stack.enter_context(
            _process("operator", Path(folder), ["operator"], _operator_environment(installed.kubeconfig, speed))
        )
        resource["metadata"]["namespace"] = NAMESPACE
        api = _admin()
        client.CustomObjectsApi(api).create_namespaced_custom_object(GROUP, VERSION, NAMESPACE, POOLS, resource)
        console.print(f"applied {path}:\n{path.read_text()}", highlight=False)
        name = resource["metadata"]["name"]
        arguments = ["twin", name, "-n", NAMESPACE, f"--factor={factor}", f"--speed={speed}", f"--minutes={minutes}"]
        arguments += [f"--trace={trace}"] if trace else []
        player = stack.enter_context(_process("twin", Path(folder), arguments, dict(os.environ)))
        view = View(minutes=min(minutes, played.duration_s / 60.0), speed=speed)
        _watch(api, name, view, operator, player, Path(folder), console)
        _finish(view, played, console)
        if keep:
            _keep(operator, console)


def _recorded() -> Path | None:
    """Return the recorded trace in the folder that ``POOLWRIGHT_DATA`` names; None where there is none."""
    path = Path(os.environ.get("POOLWRIGHT_DATA", "")) / "traces" / "azure2023_conversation.csv"
    return path if path.is_file() else None


def _watch(
    api: client.ApiClient,
    name: str,
    view: View,
    operator: "subprocess.Popen[bytes]",
    player: "subprocess.Popen[bytes]",
    folder: Path,
    console: Console,
) -> None:
    """Show the pool until the twin has played everything."""
    lines = (folder / "twin.log").open()
    live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
    with live or contextlib.nullcontext():
        while player.poll() is None:
            if operator.poll() is not None:
                raise click.ClickException(f"the operator ended:\n{(folder / 'operator.log').read_text()[-3000:]}")
            for line in lines:
                if line.startswith("{") and line.endswith("\n"):
                    view.served(json.loads(line))
            document = client.CustomObjectsApi(api).get_namespaced_custom_object(GROUP, VERSION, NAMESPACE, POOLS, name)
            view.seen(Moment.of(document if isinstance(document, dict) else {}))
            if live is not None:
                live.update(view.table())
            else:
                click.echo(view.line())
            time.sleep(PERIOD_S)
        for line in lines:
            if line.startswith("{"):
                view.served(json.loads(line))
    if player.returncode:
        raise click.ClickException(
            f"the twin ended with {player.returncode}:\n{(folder / 'twin.log').read_text()[-3000:]}"
        )


def _finish(view: View, played: Trace, console: Console) -> None:
    for line in view.summary(played):
        console.print(line, highlight=False)


def _keep(operator: "subprocess.Popen[bytes]", console: Console) -> None:
    """Say how to look around, and wait for Ctrl-C."""
    console.print(
        "\nThe cluster and the operator stay until Ctrl-C. In another terminal:\n"
        f"  export KUBECONFIG={os.environ.get('KUBECONFIG', '~/.kube/config')}\n"
        f"  kubectl get ipool,deployments,pods -n {NAMESPACE}\n"
        f"  kubectl describe ipool chat -n {NAMESPACE}\n"
        f"  kubectl get ipool chat -n {NAMESPACE} -o yaml | poolwright explain\n"
        f'  kubectl patch ipool chat -n {NAMESPACE} --type merge -p \'{{"spec":{{"mode":"Recommend"}}}}\'',
        highlight=False,
    )
    with contextlib.suppress(KeyboardInterrupt):
        operator.wait()


def _clean_up() -> None:
    """Remove what was installed, so that the demo can run again on a cluster that stays; definitions are left."""
    subprocess.run(
        ["helm", "uninstall", RELEASE, "--namespace", NAMESPACE],  # noqa: S607 - whichever Helm installed it
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with contextlib.suppress(client.ApiException):
        client.CoreV1Api(_admin()).delete_namespace(NAMESPACE)


def _operator_environment(kubeconfig: Path, speed: float) -> dict[str, str]:
    return {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "POOLWRIGHT_NAMESPACES": json.dumps([NAMESPACE]),
        "POOLWRIGHT_OPERATOR_NAMESPACE": NAMESPACE,
        "POOLWRIGHT_CLOCK_SPEED": str(speed),
        # A second of simulation would be half a minute of this world: the closed form decides alone.
        "POOLWRIGHT_SIMULATION_ENABLED": "false",
        "POOLWRIGHT_HTTP_HOST": "127.0.0.1",
        "POOLWRIGHT_HTTP_PORT": "0",
    }


@contextlib.contextmanager
def _process(
    name: str, folder: Path, arguments: list[str], environment: dict[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command of ours beside this one; it ends with the block."""
    with (folder / f"{name}.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "poolwright.cli", *arguments], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _admin() -> Any:
    configuration = client.Configuration()
    config.load_kube_config(client_configuration=configuration)
    return client.ApiClient(configuration)
