"""Parameters of the towers that a multimodal checkpoint carries beside its language model.

They are loaded and take memory, but text tokens do not touch them; only their count matters here, to about a percent.
"""

from collections.abc import Mapping

from poolwright.hardware.catalogue_fields import Fields, section


def tower_parameters(config: Mapping[str, object], hidden: int, name: str) -> int:
    """Return the parameters of the vision tower and its projector, 0 without one.

    A vision transformer has four attention matrices and two MLP matrices a layer; patch embedding and projector follow.
    """
    vision = config.get("vision_config")
    if not isinstance(vision, Mapping):
        return 0
    tower = section(
        f"model {name}: vision_config", {str(key): value for key, value in vision.items() if value is not None}
    )
    layers = tower.whole(tower.first("num_hidden_layers", "depth", "vt_num_hidden_layers"))
    width = tower.whole(tower.first("hidden_size", "vt_hidden_size"))
    inner = tower.whole(tower.first("intermediate_size", "vt_intermediate_size"))
    return layers * (4 * width * width + 2 * width * inner) + _projector_parameters(tower, width, hidden)


def _projector_parameters(tower: Fields, width: int, hidden: int) -> int:
    """Return patch embedding and the projection into the language model (two matrices when patches are merged)."""
    patch = tower.whole("patch_size") ** 2 * tower.whole(tower.first("num_channels", "in_channels"), 3) * width
    merged = width * tower.whole("spatial_merge_size", 1) ** 2
    merging = merged * merged if merged != width else 0
    adapter = tower.whole("projector_input_dim") * (
        tower.whole("projector_output_dim") + tower.whole("intermediate_size")
    )
    return patch + merging + adapter + tower.whole("vision_output_dim", merged) * hidden
