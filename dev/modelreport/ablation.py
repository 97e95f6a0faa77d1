"""What each effect is worth: errors with one of them switched off, all else equal."""

from collections.abc import Iterator
from dataclasses import replace

from modelreport.rows import Measured, measured_rows
from modelreport.score import Errors, errors_of
from poolwright.perf.efficiency import KV_STREAM_RATIO, ROUTING_SKEW, Efficiencies
from poolwright.perf.row_answer import answer
from poolwright.perf.work import StepWork

NOTHING = 1e-9
"""Stands for a factor of zero, which factors may not be."""
EVERYTHING = 1e9
"""Stands for no limit: efficiencies stop at the datasheet."""


def ablations(data: Measured) -> Iterator[tuple[str, Errors]]:
    """Give the name of what is missing and the errors without it."""
    for name, factors in _FACTORS.items():
        yield name, errors_of(data, answer(data.questions, factors, data.works))
    for name, changes in _WORKS.items():
        works = [_without(each, changes) for each in data.works]
        yield name, errors_of(data, answer(data.questions, works=works))
    full = answer(data.questions, works=data.works)
    yield "prompts in the decode step", errors_of(data, replace(full, tpot_s=full.decode_step_s))
    yield "first wave", errors_of(data, answer([replace(each, wave_share=0.0) for each in data.questions]))
    yield "engine arguments of published scripts", _without_recipes(data)


def _without(work: StepWork, names: tuple[str, ...]) -> StepWork:
    changed: StepWork = replace(work, **dict.fromkeys(names, 0.0))  # type: ignore[arg-type] # all of them are numbers
    return changed


def _without_recipes(data: Measured) -> Errors:
    """Return errors when the row's source, by which scripts are found, is not known."""
    plain = measured_rows([{**row, "source": ""} for row in data.rows])
    return errors_of(plain, answer(plain.questions, works=plain.works))


_FACTORS = {
    "all fixed latencies": Efficiencies(
        kernel_latency=NOTHING, link_latency=NOTHING, step_overhead=NOTHING, launch=NOTHING
    ),
    "gaps between kernels": Efficiencies(kernel_latency=NOTHING),
    "latency of collectives": Efficiencies(link_latency=NOTHING),
    "host work a step": Efficiencies(step_overhead=NOTHING),
    "launch floor of prefill": Efficiencies(launch=NOTHING),
    "weights below datasheet bandwidth": Efficiencies(weight_bandwidth=EVERYTHING, expert_bandwidth=EVERYTHING),
    "cache below datasheet bandwidth": Efficiencies(kv_bandwidth=1.0 / KV_STREAM_RATIO),
    "products below peak": Efficiencies(gemm=EVERYTHING, expert_gemm=EVERYTHING, attention=EVERYTHING),
    "expert coverage (all experts read)": Efficiencies(routing_skew=EVERYTHING),
    "routing skew (uniform routing)": Efficiencies(routing_skew=1.0 / ROUTING_SKEW),
}
_WORKS = {
    "bytes of collectives": ("reduce_s_per_token", "exchange_s_per_token"),
    "front end before the scheduler": ("front_end_s", "front_end_s_per_token"),
    "receive intervals and batch waits": ("admission_steps", "balance_steps"),
}
