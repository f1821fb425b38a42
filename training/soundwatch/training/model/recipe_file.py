"""Recipe files: the shipped ones by name, others by path.

Conventions: YAML. A recipe that is `like:` a shipped one contains only the differences.
Source: the shipped recipes are in `training/recipes/` of the project, and inside the installed package.
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from soundwatch.daemon.config.faults import in_yaml_words
from soundwatch.daemon.config.file import parse_yaml
from soundwatch.daemon.core.errors import ConfigError, ContractError
from soundwatch.daemon.core.files.paths import read_text
from soundwatch.training.model.recipe import Recipe
from soundwatch.training.model.yaml_keys import refuse_unknown_keys

_TEXT_FOR_NUMBER: Final = re.compile(r"Expected `(number|integer)\b[^`]*`, got `text`")


def shipped_recipes() -> dict[str, str]:
    """Return name and YAML of each shipped recipe."""
    inside = resources.files("soundwatch.training") / "recipes"  # where the wheel puts them
    folder = inside if inside.is_dir() else Path(__file__).parents[3] / "recipes"  # where a clone has them
    files = [file for file in folder.iterdir() if file.name.endswith(".yaml")]
    return {file.name.removesuffix(".yaml"): file.read_text("utf-8") for file in files}


_LONGEST_BYTES: Final = 1 << 20


def load_recipe(name: str) -> Recipe:
    """Load a shipped recipe by name, or a recipe from the path of a YAML file.

    Raises:
        ConfigError: The recipe does not exist or is not valid.
    """
    shipped = shipped_recipes()
    if name in shipped:
        return parse_recipe(shipped[name], f"the shipped recipe {name}")
    try:
        return parse_recipe(read_text(Path(name), _LONGEST_BYTES), name)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"No recipe {name}: {error}. Give one of {', '.join(sorted(shipped))}, or a YAML file like theirs."
        ) from error


def parse_recipe(text: str, where: str) -> Recipe:
    """Read a recipe's YAML.

    Args:
        text: The YAML.
        where: The file it came from, for messages.

    Raises:
        ConfigError: The text is not YAML, has an unknown key, lacks a key, or its numbers do not fit.
    """
    try:
        values: Any = _completed(parse_yaml(text.encode(), where))
        refuse_unknown_keys(values, Recipe)
        return msgspec.convert(values, Recipe)
    except msgspec.ValidationError as error:
        reason = in_yaml_words(str(error))
        if _TEXT_FOR_NUMBER.match(reason):
            reason += ". YAML reads a number in quotes or without a point, such as 3e-3, as text; write 3.0e-3"
        raise ConfigError(f"Recipe {where} does not read: {reason}.") from error
    except (ContractError, ConfigError, RecursionError) as error:
        raise ConfigError(f"Recipe {where} does not read: {error}") from error


def _completed(values: Any) -> Any:
    """Complete a recipe's YAML with the values of the shipped recipe that it is `like`."""
    if not isinstance(values, dict) or "like" not in values:
        return values
    like, shipped = values.pop("like"), shipped_recipes()
    if like not in shipped:
        raise ConfigError(f"like is {like!r}; a shipped recipe was expected: {', '.join(sorted(shipped))}.")
    return _merged(_completed(yaml.safe_load(shipped[like])), values)


def _merged(base: Any, override: Any) -> Any:
    """Merge two mappings key by key; other values are replaced."""
    if not isinstance(base, dict) or not isinstance(override, dict):
        return override
    return base | {key: _merged(base.get(key), value) for key, value in override.items()}
