"""Recipes are typed, and what a recipe does not know it refuses by name."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.model.recipe import Recipe, decode_recipe, encode_recipe
from soundwatch.training.model.recipe_file import load_recipe, parse_recipe, shipped_recipes

TUTORIAL = shipped_recipes()["tutorial"]


def test_eight_recipes_are_shipped() -> None:
    assert sorted(shipped_recipes()) == [
        "finetune",
        "own-sounds",
        "speech",
        "tutorial",
        "urban",
        "urban-hard",
        "urban-street",
        "urban-taught",
    ]


def test_the_shipped_default_looks_at_nothing_above_11_khz() -> None:
    spec = load_recipe("urban").features
    assert spec.mel_max_hz <= 11000
    assert abs(spec.window_hop_samples / spec.rate_hz - 1) < 0.01


@pytest.mark.parametrize(
    ("seen", "written", "message"),
    [
        ("batch_clips: 16", "batch_clip: 16", r"batch_clip is not a key; did you mean batch_clips\?"),
        ("n_mels: 64", "n_mel: 64", r"features\.n_mel is not a key; did you mean n_mels\?"),
        ("widths:", "width:", r"network\.width is not a key; did you mean widths\?"),
        ("anneal: linear", "zebra: linear", r"optimisation\.zebra is not a key; it may be one of max_learning_rate"),
        ("epochs: 40", "epochs: many", "Expected `integer`, got `text` - at `epochs`"),
        ("batch_clips: 16", "batch_clips: 99999999999", "batch_clips is 99999999999; it must lie in 1 to 1000000"),
        ("epochs: 40", "epochs: 0", "epochs is 0; it must lie in 1 to 1000000"),
        ("kind: blocks", "kind: transformer", "Invalid value 'transformer'"),
        ("mel_max_hz: 22050", "mel_max_hz: 30000", "mel_min_hz 0.0 and mel_max_hz 30000.0 must rise"),
        ("[5, 3, 3, 3]", "[5, 3]", "must be equally many"),
        ("seed: 1", "", "missing required field `seed`"),
        ("name: tutorial", "name: [", "Recipe a.yaml does not read"),
        ("name: tutorial", "name: runs/mine", "name 'runs/mine' is no name of a file; use letters"),
        (
            "max_learning_rate: 1.0e-3",
            "max_learning_rate: 1e-3",
            r"got `text` - at .* such as 3e-3, as text; write 3.0e",
        ),
        ("time_shift_share: 0.4", "synthetic_negative_share: 0.1", "activation is softmax"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_reason(seen: str, written: str, message: str) -> None:
    assert seen in TUTORIAL
    with pytest.raises(ConfigError, match=message):
        parse_recipe(TUTORIAL.replace(seen, written), "a.yaml")


@pytest.mark.parametrize(
    ("section", "key", "value", "wanted"),
    [
        ("network", "widths", [], "be 1 or more"),
        ("network", "kernels", [5, 4, 3, 3], "be odd and 1 or more"),
        ("network", "stride", 0, "be 1 or more"),
        ("augmentation", "speeds_percent", [0], "lie in 10 to 1000"),
        ("augmentation", "noise_snr_db", [50, 10], "rise, the lowest first"),
        ("augmentation", "time_shift_share", 1.5, "lie in 0 to 1"),
        ("augmentation", "mixup_alpha", math.inf, "be 0 or more"),
        ("optimisation", "max_learning_rate", math.nan, "be above 0"),
        ("optimisation", "ema_decay", 1.0, "be 0 or more and below 1"),
        ("", "seed", -1, "lie in 0 to 1000000000000000"),
        ("", "false_event_price", 1, "be above 0 and below 1"),
    ],
)
def test_a_number_out_of_its_range_is_refused_with_the_range(section: str, key: str, value: Any, wanted: str) -> None:
    changed = {key: value}
    text = yaml.safe_dump({"like": "tutorial", **({section: changed} if section else changed)})
    with pytest.raises(ConfigError, match=rf"{section}\.?{key} is .*; it must {wanted}\."):
        parse_recipe(text, "here")


@pytest.mark.parametrize("text", ["", "[]", "tutorial"])
def test_yaml_that_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="does not read: Expected `mapping`"):
        parse_recipe(text, "a.yaml")


@pytest.mark.skipif(not Path("/dev/zero").is_char_device(), reason="there is no /dev/zero")
def test_a_recipe_that_has_no_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="it is longer than 1048576 bytes"):
        load_recipe("/dev/zero")


def test_a_recipe_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(
        ConfigError,
        match=r"No recipe urbane: .* Give one of finetune, own-sounds, speech, tutorial, urban, urban-hard, urban-st",
    ):
        load_recipe("urbane")


def test_a_recipes_hash_changes_with_every_value(tiny_recipe: Recipe) -> None:
    assert tiny_recipe.sha256 == decode_recipe(encode_recipe(tiny_recipe)).sha256
    assert tiny_recipe.sha256 != msgspec.structs.replace(tiny_recipe, seed=6).sha256


def test_a_recipe_reads_from_a_file(tiny_recipe_file: Path, tiny_recipe: Recipe) -> None:
    assert load_recipe(str(tiny_recipe_file)) == tiny_recipe


def test_a_recipe_based_on_another_has_only_the_differences() -> None:
    recipe = parse_recipe("{like: tutorial, name: mine, optimisation: {weight_decay: 0.5}, epochs: 3}", "here")
    tutorial = load_recipe("tutorial")
    assert (recipe.name, recipe.epochs, recipe.features) == ("mine", 3, tutorial.features)
    assert recipe.optimisation == msgspec.structs.replace(tutorial.optimisation, weight_decay=0.5)
    assert encode_recipe(decode_recipe(encode_recipe(recipe))) == encode_recipe(recipe)


def test_a_recipe_may_be_like_one_that_is_like_another() -> None:
    recipe, finetune = parse_recipe("{like: finetune, name: mine, epochs: 3}", "here"), load_recipe("finetune")
    assert recipe == msgspec.structs.replace(finetune, name="mine", epochs=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{like: urbane, name: mine}",
            "like is 'urbane'; a shipped recipe was expected: finetune, own-sounds, speech, tutorial, urban",
        ),
        ("{like: urban, optimisation: {weight_decoy: 1}}", "optimisation.weight_decoy is not a key; did you mean"),
    ],
)
def test_a_recipe_like_nothing_that_is_there_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_recipe(text, "here")


def test_the_shipped_recipes_are_those_that_the_shipped_models_name() -> None:
    """A hash that changes would make every model's provenance a lie."""
    assert load_recipe("tutorial").sha256.startswith("5bc68f8bb294")
    assert "finetune" not in encode_recipe(load_recipe("tutorial"))


def test_the_price_of_a_false_event_changes_no_hash_since_it_changes_no_weight() -> None:
    recipe = load_recipe("urban-street")
    dearer, other = (
        msgspec.structs.replace(recipe, **changed) for changed in ({"false_event_price": 0.1}, {"seed": 9})
    )
    assert dearer.sha256 == recipe.sha256
    assert other.sha256 != recipe.sha256
