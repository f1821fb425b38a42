"""A recipe of a small separable network."""

from __future__ import annotations

import msgspec

from soundwatch.training.model.recipe import Recipe, SeparableCnn
from soundwatch.training.model.recipe_file import load_recipe


def small_separable_recipe() -> Recipe:
    """Return the recipe, with windows of 1 s."""
    recipe = load_recipe("urban-street")
    network = SeparableCnn(widths=(4, 6, 6, 6), strides=(2, 1, 2, 1), dropout_share=0.1)
    features = msgspec.structs.replace(recipe.features, window_ms=1000, normalisation="none")
    return msgspec.structs.replace(recipe, network=network, features=features)
