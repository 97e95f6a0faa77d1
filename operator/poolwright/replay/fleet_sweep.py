"""Many replays at once: in processes of this machine, or on a Dask cluster where a scheduler's address is given.

Replays share nothing, and each is deterministic: where one ran does not matter.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from poolwright.replay.fleet import FleetRules
from poolwright.replay.fleet_replay import Replayed, replay
from poolwright.replay.fleet_variant import FleetVariant
from poolwright.replay.policies import policy_of
from poolwright.replay.source_files import find_source


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One replay, as it is sent to a worker.

    Attributes
    ----------
    trace, folder, factor, until_s
        What ``source_files.find_source`` takes, and where the replay ends [s].
    variants, rules, initial
        The fleet.
    policy, settings
        What ``policies.policy_of`` takes.
    """

    trace: str
    variants: tuple[FleetVariant, ...]
    policy: str
    initial: Mapping[str, int]
    rules: FleetRules = field(default_factory=FleetRules)
    settings: Mapping[str, float] = field(default_factory=dict)
    folder: Path | None = None
    factor: float = 1.0
    until_s: float = float("inf")


def played(run: Run, progress: Callable[[float], None] | None = None) -> Replayed:
    """Play one replay."""
    source = find_source(run.trace, run.folder, factor=run.factor, seed=run.rules.seed)
    policy = policy_of(run.policy, run.variants, run.rules.tiers[0], run.settings)
    return replay(
        run.variants,
        run.rules,
        source.blocks(),
        policy,
        initial=run.initial,
        until_s=min(run.until_s, source.duration_s),
        progress=progress,
    )


def sweep(runs: Sequence[Run], *, workers: int = 2, scheduler: str | None = None) -> Iterator[tuple[int, Replayed]]:
    """Play all replays, and yield the index of each and what it found, in the order in which they end.

    Parameters
    ----------
    runs
        Replays.
    workers
        Processes of this machine.
    scheduler
        Address of a Dask scheduler, such as ``tcp://10.0.0.5:8786``, whose workers play instead; they need this
        package, and traces under the same path.

    Raises
    ------
    ValueError
        When a scheduler is given and ``distributed`` is not installed.
    """
    if scheduler is not None:
        yield from _on_cluster(runs, scheduler)
        return
    # A fresh interpreter each: a fork of a process that has compiled or drawn progress may hang.
    with ProcessPoolExecutor(max_workers=min(workers, len(runs)), mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(played, run): index for index, run in enumerate(runs)}
        for done in as_completed(waiting):
            yield waiting[done], done.result()


def _on_cluster(runs: Sequence[Run], scheduler: str) -> Iterator[tuple[int, Replayed]]:
    try:
        distributed: Any = import_module("distributed")
    except ImportError as error:
        raise ValueError("a scheduler needs the package distributed: pip install distributed") from error
    with distributed.Client(scheduler) as client:
        waiting = {client.submit(played, run, pure=False): index for index, run in enumerate(runs)}
        for done, found in distributed.as_completed(waiting, with_results=True):
            yield waiting[done], found
