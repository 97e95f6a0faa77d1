"""Worked examples of where bounds come from."""

from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.ceilings import ReplicaCost, ceilings_of
from poolwright.planner.constraints import Ask, allot
from poolwright.planner.policy import AcceleratorChoice, Budget, PoolPolicy, Scaling, TierPolicy
from poolwright.planner.snapshot import Inventory, Missing, MissingReason, Snapshot, Variant, VariantState
from poolwright.queueing.objectives import Objectives

H100 = Variant(tier="a", accelerator="h100-sxm", weight_format="bf16", kv_format="bf16", tensor_parallel=2)
L4 = Variant(tier="b", accelerator="l4", weight_format="bf16", kv_format="bf16")
COSTS = {H100: ReplicaCost(usd_per_s=0.004, power_w=1400.0), L4: ReplicaCost(usd_per_s=0.0002, power_w=72.0)}
UNREADABLE = Missing(reason=MissingReason.UNREACHABLE, detail="nodes: 403")


def policy(
    *,
    budget: Budget | None = None,
    menu: tuple[AcceleratorChoice, ...] = (),
    quota: tuple[tuple[str, int], ...] = (),
    max_replicas: int = 64,
) -> PoolPolicy:
    return PoolPolicy(
        namespace="team",
        name="chat",
        model=load_catalogue().model("llama-3.1-8b"),
        tiers=(TierPolicy(name="a", objectives=Objectives(ttft_s=1.0)),),
        scaling=Scaling(max_replicas=max_replicas),
        budget=budget or Budget(),
        accelerators=menu,
        max_accelerators=quota,
    )


def granted(wishes: PoolPolicy, snapshot: Snapshot | None = None) -> tuple[int, int]:
    world = snapshot or Snapshot(inventory=UNREADABLE)
    asks = (Ask(key=H100.key, replicas=10), Ask(key=L4.key, replicas=10))
    shares = allot(asks, ceilings_of(wishes, world, COSTS), counts={})
    return shares[H100.key], shares[L4.key]


def test_an_unreadable_inventory_limits_nothing() -> None:
    assert (10, 10) == granted(policy())


def test_the_maximum_counts_every_variant() -> None:
    assert (10, 4) == granted(policy(max_replicas=14))


def test_the_menu_counts_replicas_and_the_quota_accelerators() -> None:
    # two accelerators a replica: a quota of 7 leaves 3 replicas
    menu = (AcceleratorChoice(name="h100-sxm", max_replicas=5),)
    assert [(5, 10), (3, 10)] == [granted(policy(menu=menu)), granted(policy(menu=menu, quota=(("h100-sxm", 7),)))]


def test_the_cluster_offers_what_is_free_and_what_the_pool_holds() -> None:
    running = VariantState(variant=H100, wanted=2, ready=1, starting=1)
    inventory = Inventory(total=(("h100-sxm", 16), ("l4", 2)), free=(("h100-sxm", 4), ("l4", 2)))
    assert (4, 2) == granted(policy(), Snapshot(inventory=inventory, variants=(running,)))


def test_pods_that_wait_for_an_accelerator_stay_asked_for() -> None:
    pending = VariantState(variant=H100, wanted=6, ready=2, starting=4, unschedulable=4)
    inventory = Inventory(total=(("h100-sxm", 4),), free=())
    assert (6, 0) == granted(policy(), Snapshot(inventory=inventory, variants=(pending,)))


def test_what_an_autoscaler_can_provide_is_not_bounded_by_the_nodes_of_now() -> None:
    inventory = Inventory(provisionable=("h100-sxm", "l4"))
    assert (10, 10) == granted(policy(), Snapshot(inventory=inventory))


def test_budgets_are_shared_one_to_each_first_and_then_by_priority() -> None:
    # 0.0130 $/s: one L4 leaves 0.0128, three H100 pairs 0.0120 of it, four more L4 0.0008
    assert (3, 5) == granted(policy(budget=Budget(usd_per_s=0.0130)))
    # 5000 W: 72 leaves 4928, three pairs 4200 of it, ten L4 fit into the 728 left
    assert (3, 10) == granted(policy(budget=Budget(watts=5000.0)))
