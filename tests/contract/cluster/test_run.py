"""A command inside a cluster: what it finds, what becomes of its status, and that nothing is left, however it ends."""

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from localcluster.build import binary
from localcluster.cluster import Cluster
from localcluster.operator_process import eventually

pytestmark = pytest.mark.cluster
Start = Callable[..., Any]
Programs = Callable[..., Mapping[str, str]]

SLEEP = ("sh", "-c", "echo up; exec sleep 600")
KEEPER_PATIENCE_S = 10.0
"""The keeper needs a tenth of a second; a loaded machine gets a hundred times that."""


def assert_nothing_is_left(started: Any) -> None:
    eventually("everything gone", started.left, lambda left: left == [], KEEPER_PATIENCE_S)


def test_a_command_gets_a_kubeconfig_and_kubectl_and_helm_and_its_status_is_returned(
    owner: Start, programs: Programs
) -> None:
    looks = "kubectl get nodes -o name && helm list -q && test -d $(dirname $KUBECONFIG) && echo seen; exit 7"
    # A port that somebody takes between its choice and its use is replaced by another: the first try fails so.
    taken = "listen tcp 127.0.0.1:2379: bind: address already in use"
    first = f'if mkdir "$TMPDIR/first" 2>/dev/null; then echo "{taken}" >&2; exit 1; fi'
    started = owner("sh", "-c", looks, **programs(keygen=f'{first}\nexec {binary("keygen")} "$@"'))
    status, output, errors = started.end()
    assert (7, "") == (status, errors)
    assert "node/h100-0" in output.splitlines()
    assert "seen" == output.splitlines()[-1]
    assert [] == started.left()


@pytest.fixture(scope="module")
def sleepers(owner: Start) -> list[Any]:
    """Three at the same time; each test ends one."""
    return [owner(*SLEEP) for _ in range(3)]


@pytest.mark.parametrize(
    ("number", "status"),
    [
        pytest.param(signal.SIGTERM, 128 + 15, id="a SIGTERM to the owner alone"),
        pytest.param(signal.SIGINT, 128 + 2, id="Ctrl-C, which the terminal sends to the owner and to the command"),
        pytest.param(signal.SIGKILL, -9, id="a SIGKILL to the owner alone"),
    ],
)
def test_nothing_is_left_after(number: signal.Signals, status: int, sleepers: list[Any]) -> None:
    started = sleepers.pop()
    assert "up" == started.line()
    there = started.left()
    # A folder; the owner, the command, the keeper, kwok and the four programs of the control plane.
    assert 9 == len(there)
    if number == signal.SIGINT:
        os.killpg(started.process.pid, number)
    else:
        started.process.send_signal(number)
    assert (status, "", "") == started.end()
    assert_nothing_is_left(started)


def test_a_start_that_is_interrupted_leaves_nothing_and_says_nothing(owner: Start) -> None:
    started = owner(*SLEEP)
    eventually("etcd", started.left, lambda there: any("etcd" in each for each in there))
    started.process.send_signal(signal.SIGTERM)
    assert (128 + 15, "", "") == started.end()
    assert_nothing_is_left(started)


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        pytest.param(("no-such-command",), 127, "localcluster: cannot run no-such-command: No such file", id="unknown"),
        pytest.param(("sh", "-c", "kill -KILL $$"), 128 + 9, "", id="killed"),
    ],
)
def test_the_status_is_what_a_shell_would_give_a_command_that_is(
    command: tuple[str, ...], status: int, message: str, owner: Start, cluster: Cluster
) -> None:
    started = owner(*command, CLUSTER="current", KUBECONFIG=str(cluster.kubeconfig))
    ended, output, errors = started.end()
    assert (status, "") == (ended, output)
    assert errors.startswith(message)
    assert bool(message) == bool(errors)
    assert [] == started.left()


BROKEN = "echo 'the disk is on fire' >&2; exit 3"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        pytest.param("keygen", "localcluster: keygen ended with 3:\nthe disk is on fire\n", id="the first program"),
        pytest.param(
            "kube_apiserver",
            "localcluster: kube-apiserver ended while waiting for API server:\nthe disk is on fire\n",
            id="the API server",
        ),
        pytest.param(
            "kube_scheduler",
            "localcluster: kube-scheduler ended while waiting for scheduler:\nthe disk is on fire\n",
            id="the scheduler",
        ),
    ],
)
def test_a_start_that_fails_half_way_shows_the_end_of_the_log_and_leaves_nothing(
    program: str, message: str, owner: Start, programs: Programs
) -> None:
    started = owner("true", **programs(**{program: BROKEN}))
    status, _, errors = started.end()
    assert 1 == status
    assert message.strip() in errors
    assert "Traceback" not in errors
    assert [] == started.left()


def test_a_program_that_may_not_be_run_is_named(owner: Start, programs: Programs) -> None:
    started = owner("true", **programs(etcd=""))
    status, _, errors = started.end()
    assert 1 == status
    assert errors.startswith("localcluster: etcd does not start: ")
    assert errors.endswith("/etcd: Permission denied\n")
    assert [] == started.left()
