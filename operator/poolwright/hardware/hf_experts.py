"""MLP and expert shapes from a configuration: widths, routed and shared experts, routers.

Which layers are sparse is decided in ``hf_layers``.
"""

from poolwright.hardware.catalogue_fields import Fields
from poolwright.hardware.hf_families import Family
from poolwright.hardware.model_shape import FeedForward

_EXPERT_COUNTS = ("num_local_experts", "n_routed_experts", "num_experts")


def routed_experts(config: Fields) -> int:
    """Return how many routed experts a sparse layer has; 0 in dense models."""
    return config.whole(config.first(*_EXPERT_COUNTS))


def dense_mlp(config: Fields, family: Family, hidden: int) -> FeedForward:
    """Return a dense MLP; families whose ``intermediate_size`` is the experts' write the dense one elsewhere."""
    if config.whole("shared_intermediate_size") and not routed_experts(config):
        width = config.count("shared_intermediate_size")  # Granite without experts keeps only the shared one
    else:
        written = config.first("dense_intermediate_size", "intermediate_size_mlp", "intermediate_size")
        width = config.count(written, family.mlp_ratio * hidden or None)
    return FeedForward(dense_parameters=family.mlp_matrices * hidden * width, dense_width=width)


def no_mlp() -> FeedForward:
    """Return the MLP of a layer that has none."""
    return FeedForward(dense_parameters=0)


def sparse_mlp(config: Fields, family: Family, hidden: int) -> FeedForward:
    """Return a layer of experts: routed ones, shared ones and the router."""
    experts = config.count(config.first(*_EXPERT_COUNTS))
    chosen = config.count(config.first("experts_per_token", "top_k_experts", "num_experts_per_tok"))
    if chosen > experts:
        raise config.refuse("num_experts_per_tok", chosen, f"at most the {experts} routed experts are needed")
    width = config.count(config.first("moe_intermediate_size", "intermediate_size"))
    shared = _shared_width(config, width)
    latent = config.whole("moe_latent_size")
    always = family.mlp_matrices * hidden * shared + hidden * experts + 2 * hidden * latent
    if "shared_expert_intermediate_size" in config.values and shared:
        always += hidden  # Qwen gates its shared expert by one more column
    return FeedForward(
        dense_parameters=always,
        experts=experts,
        experts_per_token=chosen,
        expert_parameters=family.mlp_matrices * (latent or hidden) * width,
        has_shared_expert=shared > 0,
        dense_width=shared,
        expert_width=width,
    )


def _shared_width(config: Fields, expert_width: int) -> int:
    """Return the summed width of the shared experts, however the family writes it; 0 without."""
    written = config.first(
        "shared_expert_intermediate_size",
        "shared_intermediate_size",
        "moe_shared_expert_intermediate_size",
        "share_expert_dim",
    )
    if written in config.values:
        return config.whole(written)
    return config.whole("n_shared_experts") * expert_width
