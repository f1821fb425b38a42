"""A recipe whose small network has a streaming form."""

from __future__ import annotations

import msgspec

from soundwatch.training.model.network_recipe import SeparableCnn
from soundwatch.training.model.recipe import Recipe
from soundwatch.training.model.recipe_file import load_recipe


def small_streaming_recipe(instant_layers: int = 1) -> Recipe:
    """Frames of four mel frames, in windows of 1 s."""
    recipe = load_recipe("urban-street")
    network = SeparableCnn(
        widths=(4, 6, 6, 6), strides=(2, 1, 2, 1), dropout_share=0.1, time_padding=False, instant_layers=instant_layers
    )
    features = msgspec.structs.replace(recipe.features, window_ms=1000, normalisation="none")
    return msgspec.structs.replace(recipe, network=network, features=features)
