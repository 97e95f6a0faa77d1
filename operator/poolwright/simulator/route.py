"""How loaded a replica is in the eyes of a router, compiled."""

from poolwright.simulator.compiled import compiled
from poolwright.simulator.layout import LEAST_REQUESTS, LEAST_TOKENS, Integers, Law, Row, Rows, Rules
from poolwright.simulator.stretch import step_s


@compiled
def load(law: Law, rules: Rules, jobs: Rows, site: Row, batch: Integers, request: int) -> float:
    """Return what the router compares: requests, tokens, or the time at which a request's prompt would be done [s].

    Equations (13.4) and (13.5) of docs/model.md.
    """
    if rules.router == LEAST_REQUESTS:
        return float(batch.size + site.waiting)
    decoding = context = 0
    prefill, tokens = site.waiting_prefill, site.waiting_tokens
    for each in batch:
        job = jobs[each]
        exist = job.prompt + job.generated
        tokens += job.prompt + job.output - job.computed
        if job.generated and exist - job.computed == 1:
            decoding += 1
            context += exist
        else:
            prefill += exist - job.computed
    if rules.router == LEAST_TOKENS:
        return float(tokens)
    prefill += jobs[request].prompt - jobs[request].computed
    chunk = max(rules.max_num_batched_tokens - decoding, 1)
    full = (prefill - 1) // chunk
    mean_context = context / max(decoding, 1)
    last_s = step_s(law, decoding, mean_context, prefill - full * chunk)
    if full:
        last_s += full * step_s(law, decoding, mean_context, chunk)
    return last_s + float(max(site.now_s, jobs[request].arrival_s))
