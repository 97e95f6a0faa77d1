"""How many replicas of a kind a load needs, as the planner says, in a table: fast enough for two weeks of decisions.

A plan proposes by the closed form of ``queueing`` and lets a simulation decide. Here the closed form is laid out once
for each workload over rates and replicas, and each number of replicas is moved by what the simulation (the planner's
own judge) said of it for the workload that came first: so a decision is a look-up, within one replica of a plan's.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from poolwright.perf.memory import memory_plan
from poolwright.perf.step_time import step_law
from poolwright.planner.candidates import Same, station_of, step_time_of, workload_of
from poolwright.planner.judge import simulated
from poolwright.planner.outcome import Load
from poolwright.planner.verify import Judge, rates_of
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.sizing import probabilities
from poolwright.queueing.station import Station, capacity
from poolwright.queueing.steady import Limits, steady
from poolwright.queueing.workload import Array, Arrivals, Workload, rate_levels, request_weights
from poolwright.replay.fleet_variant import FleetVariant

STEP: Final = 0.02
"""Distance of rates in a table [1, natural logarithm], with lines between: twice the planner's own bins."""
LEAST_LOAD: Final = 0.10
"""Least share of what a replica sustains that is laid out [ratio]; below it, one replica is as good as at it."""
PROBED: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
"""Numbers of replicas that are laid out [count], with lines between; more are taken to pool as well as the last."""
JUDGED: Final = 32
"""Largest of them that the judge is asked about [count]: what pooling gains beyond is below 1 %."""
REACH: Final = 15
"""Most steps by which the judge may differ from the closed form [count]: a third of the rate."""


@dataclass(frozen=True, slots=True)
class Table:
    """The closed form of one workload: probabilities by replicas (from 1 on) and rate per replica, falling in rate."""

    least_per_s: float
    met: Array

    def place(self, rate_per_s: float) -> float:
        """Return where a rate per replica lies among the columns."""
        return math.log(max(rate_per_s, self.least_per_s) / self.least_per_s) / STEP

    def met_at(self, count: int, rate_per_s: float) -> float:
        """Return the probability for a number of replicas at a rate per replica; 0 beyond what they sustain."""
        row, exact = _between(self.met, count), self.place(rate_per_s)
        low = int(exact)
        if low + 1 >= len(row):
            return 0.0
        return float(row[low] + (exact - low) * (row[low + 1] - row[low]))

    def largest_per_s(self, count: int, ratio: float) -> float:
        """Return the largest rate per replica with at least this probability [1/s]; 0 where none has."""
        enough = np.flatnonzero(_between(self.met, count) >= ratio)
        return self.least_per_s * math.exp(enough[-1] * STEP) if len(enough) else 0.0


def _between(rows: Array, count: int) -> Array:
    """Return the row of a number of replicas: a line in its logarithm between those that are laid out."""
    if count >= PROBED[-1]:
        return np.asarray(rows[-1])
    upper = bisect_left(PROBED, count)
    if PROBED[upper] == count:
        return np.asarray(rows[upper])
    low, high = PROBED[upper - 1], PROBED[upper]
    part = math.log(count / low) / math.log(high / low)
    return np.asarray((1.0 - part) * rows[upper - 1] + part * rows[upper])


def table_of(station: Station, workload: Workload, objectives: Objectives) -> Table:
    """Lay the closed form out: one call for all rates and replicas."""
    sustained = capacity(station, workload).rate_per_s
    columns = np.exp(np.arange(0.0, math.log(1.0 / LEAST_LOAD), STEP)) * LEAST_LOAD * sustained
    counts = np.array(PROBED, dtype=np.float64)[:, None]
    limits = Limits(
        max_num_seqs=float(station.max_num_seqs),
        max_num_batched_tokens=float(station.max_num_batched_tokens),
        kv_capacity_tokens=station.kv_capacity_tokens,
        block_tokens=station.block_tokens,
    )
    rates, replicas = np.broadcast_arrays(columns[None, :], counts)
    state = steady(station.grid(workload), workload.moments, limits, rates, replicas=replicas, dispersion=1.0)
    met = np.min(probabilities(state, workload, objectives), axis=0)
    # More load is never better: what rises by rounding is levelled.
    return Table(float(columns[0]), np.minimum.accumulate(met, axis=1))


@dataclass(slots=True)
class Sizing:
    """Verdicts on one kind of replica.

    Attributes
    ----------
    station, objectives
        The replica as formulas see it, and what is promised.
    judge
        Who moves the closed form.
    """

    station: Station
    objectives: Objectives
    judge: Judge = simulated
    _tables: dict[Same[Workload], Table] = field(default_factory=dict)
    _moves: Array | None = None

    @classmethod
    def of(cls, variant: FleetVariant, objectives: Objectives, judge: Judge = simulated) -> "Sizing":
        """Return verdicts on a kind of replica in a fleet.

        Raises
        ------
        ValueError
            For one that was not made from a configuration.
        """
        config = variant.config
        if config is None:
            raise ValueError(f"{variant.key}: sizing needs the configuration that a variant was made from")
        sequences, tokens = variant.max_num_seqs, variant.max_num_batched_tokens
        memory = memory_plan(config, max_num_seqs=sequences, max_num_batched_tokens=tokens)
        law = step_time_of(step_law(config))
        return cls(station_of(config, law, memory, sequences, tokens), objectives, judge)

    def needed(self, load: Load) -> int:
        """Return the fewest replicas that meet the objectives under a load, at least 1."""
        levels, weights, _ = rate_levels(rates_of(load))
        shares = request_weights(levels, weights)
        rates = [(float(rate), float(share)) for rate, share in zip(levels, shares, strict=True)]
        table, moves = self._laid_out(workload_of(load))
        goal = self.objectives.percentile_ratio

        def is_enough(count: int) -> bool:
            move = float(_between(moves, count))
            return sum(share * table.met_at(count, rate / (count * move)) for rate, share in rates) >= goal

        each = table.largest_per_s(PROBED[-1], goal) * float(moves[-1])
        if each <= 0.0:
            raise ValueError(f"no number of replicas meets {self.objectives}")
        count = max(1, math.ceil(load.rate_per_s / each))
        while count > 1 and is_enough(count - 1):
            count -= 1
        while not is_enough(count):
            count += 1
        return count

    def served_per_s(self, load: Load, count: int) -> float:
        """Return the steady rate of a load's kind that so many replicas serve [1/s]; 0 for none."""
        return self.sustained_per_s(workload_of(load), count)

    def sustained_per_s(self, workload: Workload, count: int) -> float:
        """Return the steady rate of a workload that so many replicas serve within the objectives [1/s]; 0 for none."""
        if count < 1:
            return 0.0
        table, moves = self._laid_out(workload)
        return count * float(_between(moves, count)) * table.largest_per_s(count, self.objectives.percentile_ratio)

    def _laid_out(self, workload: Workload) -> tuple[Table, Array]:
        key = Same(workload)
        if key not in self._tables:
            self._tables[key] = table_of(self.station, workload, self.objectives)
        if self._moves is None:
            probed = [self._move(workload, self._tables[key], count) for count in PROBED if count <= JUDGED]
            self._moves = np.array(probed + probed[-1:] * (len(PROBED) - len(probed)))
        return self._tables[key], self._moves

    def _move(self, workload: Workload, table: Table, count: int) -> float:
        """Return the rate that the judge allows over the closed form's [ratio], to half a step."""
        goal = self.objectives.percentile_ratio
        largest = table.largest_per_s(count, goal)
        if largest <= 0.0:
            return 1.0

        def is_enough(step: int) -> bool:
            rates = Arrivals(rate_per_s=largest * count * math.exp(step * STEP))
            (judged,) = self.judge(self.station, workload, rates, self.objectives, (count,))
            return judged.probability >= goal

        step = 0
        direction = 1 if is_enough(0) else -1
        while abs(step) < REACH and is_enough(step + direction) == (direction > 0):
            step += direction
        # The edge lies between the last that does and the first that does not.
        edge = step + 0.5 if direction > 0 else step - 0.5
        return math.exp(edge * STEP)
