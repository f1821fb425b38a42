"""Names and texts of a model contract, which are untrusted: they become names of files, topics and parts of pages.

Conventions: a message shows at most the beginning of a name, with escapes.
"""

from __future__ import annotations

import contextlib
import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

from soundwatch.daemon.core.errors import ContractError

LONGEST_CONTRACT_BYTES: Final = 1 << 22  # that of a shipped model has 10,000
LONGEST_MODEL_NAME_BYTES: Final = 128  # suffixes of exported files and parts fit into the 255 bytes of file systems
LONGEST_GIVEN_NAME_BYTES: Final = 100  # of a run; a name that is made of a model's is longer
LONGEST_CLASS_NAME_BYTES: Final = 255  # of a folder
LONGEST_TEXT: Final = 20_000
MOST_CLASSES: Final = 10_000
_SHOWN: Final = 40
_MODEL_NAME: Final = re.compile(r"\w[\w.-]*")
_HASH: Final = re.compile("[0-9a-f]{64}")


def is_model_name(name: str, longest_bytes: int = LONGEST_MODEL_NAME_BYTES) -> bool:
    """Return whether a name can be that of a model, and of its files."""
    return bool(_MODEL_NAME.fullmatch(name)) and len(name.encode()) <= longest_bytes


def is_class_name(name: str) -> bool:
    """Return whether a name can be that of a class, and of a folder with its recordings."""
    kinds = [unicodedata.category(letter)[0] for letter in name]  # L letter, M mark of one, N number
    valid = all(kind in "LMN" or letter in " ._-" for kind, letter in zip(kinds, name, strict=True))
    fits = len(name.encode(errors="replace")) <= LONGEST_CLASS_NAME_BYTES
    return bool(name) and valid and fits and (kinds[0] in "LN" or name[0] == "_")


def shown(value: object) -> str:
    """Return the beginning of a value as Python writes it, with escapes of what is not printable."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


def listed(names: Sequence[str]) -> str:
    """Return the first of some names in brackets, and the number of the others."""
    first = ", ".join(map(shown, names[:10]))
    return f"[{first}]" if len(names) <= 10 else f"[{first} and {len(names) - 10} more]"


def check_contract_text(contract: Any) -> None:
    """Refuse names and texts of a `ModelContract` that cannot be shown or used as names, or that contradict each other.

    Raises:
        ContractError: There is one.
    """
    _check_names(contract.name, contract.labels, contract.tags, contract.weights_sha256)
    _check_texts(contract.provenance, "provenance")
    for score in contract.scores:
        _check_texts(score, "scores")
    if contract.operation is not None:
        _check_texts(contract.operation, "operation")
        if set(contract.operation.classes) != set(contract.labels):
            found, wanted = listed(sorted(contract.operation.classes)), listed(sorted(contract.labels))
            raise ContractError(f"operation.classes name {found}; they must name each label once: {wanted}.")
    if both := sorted(set(contract.labels) & set(contract.tags)):
        raise ContractError(f"{', '.join(both[:10])} is both a label and a tag.")


def _check_names(name: str, classes: Sequence[str], tags: Sequence[str], weights_sha256: str) -> None:
    """Refuse a name of a model, a class or a tag that other programs would not take as a name.

    Raises:
        ContractError: A name is empty, too long or has a character that names cannot have, or there are too many.
    """
    if not is_model_name(name):
        raise ContractError(
            f"name is {shown(name)}; letters, digits, dots, hyphens and underscores were expected, at most "
            f"{LONGEST_MODEL_NAME_BYTES} bytes, a letter, digit or underscore first."
        )
    if not _HASH.fullmatch(weights_sha256):
        raise ContractError(f"weights_sha256 is {shown(weights_sha256)}; 64 digits from 0 to f were expected.")
    for key, names in (("labels", classes), ("tags", tags)):
        if len(names) > MOST_CLASSES:
            raise ContractError(f"{key} has {len(names)} names; at most {MOST_CLASSES} were expected.")
        for one in names:
            if not is_class_name(one):
                raise ContractError(
                    f"{key} has {shown(one)}; letters, digits, spaces, dots, dashes and underscores were expected, at "
                    f"most {LONGEST_CLASS_NAME_BYTES} bytes, a letter or digit first."
                )
        if len({unicodedata.normalize("NFC", one) for one in names}) != len(names):
            raise ContractError(f"{key} has a name twice, in different forms of Unicode.")


def _check_texts(record: Any, where: str) -> None:
    """Refuse a text, such as a version or a license, that a terminal would act on, or that is too long.

    Raises:
        ContractError: A text is too long, or has a control character or a mark of direction.
    """
    for key in record.__struct_fields__:
        value = getattr(record, key)
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and (len(text) > LONGEST_TEXT or not text.isprintable()):
                raise ContractError(
                    f"{where}.{key} is {shown(text)}; at most {LONGEST_TEXT} printable characters were expected."
                )


def check_contract_json(text: str | bytes) -> None:
    """Refuse JSON that is too long, or in which a key repeats; `msgspec` would take the last value.

    Raises:
        ContractError: It is too long, or a key repeats.
    """
    if len(text) > LONGEST_CONTRACT_BYTES:
        raise ContractError(f"it has {len(text)} bytes; at most {LONGEST_CONTRACT_BYTES} were expected.")
    with contextlib.suppress(ValueError):  # `msgspec` reports malformed JSON
        json.loads(text, object_pairs_hook=_refuse_repeated_keys)


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ContractError(f"the key {shown(next(key for key in keys if keys.count(key) > 1))} repeats")
    return tree
