"""How loaded a replica is in the eyes of a router, compiled."""

from poolwright.simulator.compiled import compiled
from poolwright.simulator.layout import BEGUN, EXIST, LEAST_TOKENS, LEFT, TO_COMPUTE, Integers, Law, Row, Rows, Rules
from poolwright.simulator.stretch import step_s


@compiled
def load(law: Law, rules: Rules, jobs: Rows, site: Row, batch: Integers, request: int) -> float:
    """Return what a router compares: tokens left, or the time at which a request's prompt would be done [s].

    Equations (13.4) and (13.5) of docs/model.md.
    """
    decoding = context = 0
    prefill, tokens = site.waiting_prefill, site.waiting_tokens
    for place in range(site.batch):
        tokens += batch[TO_COMPUTE, place] + batch[LEFT, place]
        is_decoding = batch[BEGUN, place] == batch[TO_COMPUTE, place]
        decoding += is_decoding
        context += batch[EXIST, place] if is_decoding else 0
        prefill += 0 if is_decoding else batch[TO_COMPUTE, place]
    if rules.router == LEAST_TOKENS:
        return float(tokens)
    prefill += jobs[request].prompt - jobs[request].cached
    chunk = max(rules.max_num_batched_tokens - decoding, 1)
    full = (prefill - 1) // chunk
    mean_context = context / max(decoding, 1)
    last_s = step_s(law, decoding, mean_context, prefill - full * chunk)
    if full:
        last_s += full * step_s(law, decoding, mean_context, chunk)
    return last_s + float(max(site.now_s, jobs[request].arrival_s))
