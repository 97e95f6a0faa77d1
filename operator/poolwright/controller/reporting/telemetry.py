"""The operator's own metrics, by name: what it wants and why, and whether it is well itself.

One object owns one registry, so that tests and several operators in a process do not meet.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from poolwright.controller.cluster.pod_state import PoolRef
from poolwright.planner.outcome import Plan
from poolwright.planner.snapshot import Known, Snapshot
from poolwright.units import usd_per_h_from_usd_per_s

POOL = ("namespace", "pool")
TIER = (*POOL, "tier")
VARIANT = (*TIER, "variant")


class Telemetry:
    """All metrics of one operator."""

    def __init__(self) -> None:
        """Declare them; ``docs/reference/metrics.md`` lists them."""
        self.registry = CollectorRegistry()
        registry = self.registry
        self.reconcile_seconds = Histogram(
            "poolwright_reconcile_seconds", "Wall time of one pass over a pool.", ["outcome"], registry=registry
        )
        self.reconcile_errors = Counter(
            "poolwright_reconcile_errors_total", "Passes that failed, by fate.", ["fate"], registry=registry
        )
        self.queue_depth = Gauge("poolwright_queue_depth", "Pools that are due.", registry=registry)
        self.leader = Gauge("poolwright_leader", "1 while this process surely holds the lease.", registry=registry)
        self.watch_age = Gauge(
            "poolwright_watch_age_seconds", "Time since anything was heard of the cluster.", registry=registry
        )
        self.watch_restarts = Counter(
            "poolwright_watch_restarts_total", "Times that the watches broke and began anew.", registry=registry
        )
        self.api_requests = Counter(
            "poolwright_api_requests_total", "Calls of the API server.", ["verb", "kind", "status"], registry=registry
        )
        self.decisions = Counter(
            "poolwright_decisions_total", "Changes of a tier's plan.", ["reason"], registry=registry
        )
        self.wanted = Gauge("poolwright_wanted_replicas", "Replicas planned.", VARIANT, registry=registry)
        self.ready = Gauge("poolwright_ready_replicas", "Replicas that serve.", VARIANT, registry=registry)
        self.arrivals = Gauge("poolwright_arrivals_per_second", "Requests arriving, as seen.", TIER, registry=registry)
        self.planned_rate = Gauge(
            "poolwright_planned_requests_per_second", "Load planned for.", TIER, registry=registry
        )
        self.predicted_ttft = Gauge(
            "poolwright_predicted_ttft_seconds", "At the objective's percentile.", TIER, registry=registry
        )
        self.predicted_itl = Gauge(
            "poolwright_predicted_itl_seconds", "At the objective's percentile.", TIER, registry=registry
        )
        self.observed_ttft = Gauge(
            "poolwright_observed_ttft_seconds", "At the objective's percentile.", TIER, registry=registry
        )
        self.observed_itl = Gauge(
            "poolwright_observed_itl_seconds", "At the objective's percentile.", TIER, registry=registry
        )
        self.cost = Gauge("poolwright_cost_usd_per_hour", "Cost of all replicas planned.", POOL, registry=registry)
        self._shown: dict[PoolRef, set[tuple[str, ...]]] = {}

    def page(self) -> bytes:
        """Return the metrics page."""
        return generate_latest(self.registry)

    def observe_call(self, verb: str, kind: str, status: int) -> None:
        """Count one call of the API server; status 0 is no answer."""
        self.api_requests.labels(verb, kind, str(status)).inc()

    def show(self, pool: PoolRef, plan: Plan, snapshot: Snapshot) -> None:
        """Show a pool's plan, and stop showing variants that it no longer has."""
        names = (pool.namespace, pool.name)
        ready = {state.variant: state.ready for state in snapshot.variants}
        shown: set[tuple[str, ...]] = set()
        for tier in plan.tiers:
            own = (*names, tier.tier)
            self.planned_rate.labels(*own).set(tier.load.rate_per_s)
            signals = snapshot.signals(tier.tier)
            for gauge, signal in (
                (self.arrivals, signals.arrivals_per_s),
                (self.observed_ttft, signals.ttft_s),
                (self.observed_itl, signals.itl_s),
            ):
                # Missing is not zero: the series goes.
                if isinstance(signal, Known):
                    gauge.labels(*own).set(signal.value)
                else:
                    _forget(gauge, own)
            if tier.variants:
                self.predicted_ttft.labels(*own).set(tier.variants[0].predicted.ttft_s)
                self.predicted_itl.labels(*own).set(tier.variants[0].predicted.itl_s)
            for each in tier.variants:
                key: tuple[str, ...] = (*own, each.variant.key)
                shown.add(key)
                self.wanted.labels(*key).set(each.replicas)
                self.ready.labels(*key).set(ready.get(each.variant, 0))
        if plan.cost_usd_per_s is not None:
            self.cost.labels(*names).set(usd_per_h_from_usd_per_s(plan.cost_usd_per_s))
        for old in self._shown.get(pool, set()) - shown:
            _forget(self.wanted, old)
            _forget(self.ready, old)
        self._shown[pool] = shown

    def forget(self, pool: PoolRef) -> None:
        """Stop showing a pool that is gone."""
        names = (pool.namespace, pool.name)
        for key in self._shown.pop(pool, set()):
            _forget(self.wanted, key)
            _forget(self.ready, key)
            for gauge in (
                self.planned_rate,
                self.arrivals,
                self.predicted_ttft,
                self.predicted_itl,
                self.observed_ttft,
                self.observed_itl,
            ):
                _forget(gauge, key[:3])
        _forget(self.cost, names)


def _forget(gauge: Gauge, key: tuple[str, ...]) -> None:
    """Remove one series; none there is fine."""
    try:
        gauge.remove(*key)
    except KeyError:
        return
