"""Result of a verification, as a record, a table and JSON.

Conventions: one row of the table, and one object of the JSON, is one variant on one probe.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import msgspec
from rich.table import Table

from soundwatch.daemon.core.errors import VerificationError
from soundwatch.export.parity import MEL_LIMIT_DB, ParityDifference, SkippedVariant


@dataclass(frozen=True, slots=True)
class Verification:
    """All differences of one model.

    Attributes:
        model: Name and hash of the model.
        compared_with: Variant that the others are compared with.
        differences: Differences of each other variant on each probe.
        not_run: Variants that this machine cannot run.
    """

    model: str
    compared_with: str
    differences: tuple[ParityDifference, ...]
    not_run: tuple[SkippedVariant, ...]

    @property
    def score_limit(self) -> float:
        """Return the largest permitted score difference of any variant."""
        return max(difference.score_limit for difference in self.differences)

    def raise_if_failed(self) -> None:
        """Raise unless every difference is within its limits.

        Raises:
            VerificationError: One is not.
        """
        failures = [difference for difference in self.differences if not difference.passed]
        if failures:
            worst = max(failures, key=lambda item: (item.score / item.score_limit, item.mel_db or 0))
            mel = "" if worst.mel_db is None else f"{worst.mel_db:.2g} dB and "
            limit = "" if worst.mel_db is None else f"{MEL_LIMIT_DB:g} dB and "
            raise VerificationError(
                f"{self.model} does not compute what {self.compared_with} does: {len(failures)} of "
                f"{len(self.differences)} comparisons failed, such as {worst.variant} on {worst.probe}, "
                f"{mel}{worst.score:.2g} away; at most {limit}"
                f"{self.score_limit:g} were expected. Do not use this file; export the checkpoint again, and report it "
                "if that fails too."
            )


def to_json(verification: Verification) -> bytes:
    """Return one indented JSON object."""
    passed = all(difference.passed for difference in verification.differences)
    limits = {"mel_limit_db": MEL_LIMIT_DB, "score_limit": verification.score_limit}
    return msgspec.json.format(msgspec.json.encode({"passed": passed, **limits, **_fields(verification)}), indent=2)


def _fields(verification: Verification) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(verification)
    return fields


def to_table(verification: Verification) -> Table:
    """Return a table with a section for each variant and a row for each probe; red beyond the limits."""
    table = Table(title=f"{verification.model}: largest differences from {verification.compared_with}")
    for heading in ("variant", "probe", "mel dB", "score"):
        table.add_column(heading)
    for variant, rows in groupby(verification.differences, key=lambda item: item.variant):
        table.add_section()
        for index, value in enumerate(rows):
            style = None if value.passed else "bold red"
            mel = "" if value.mel_db is None else f"{value.mel_db:.1e}"
            table.add_row("" if index else variant, value.probe, mel, f"{value.score:.1e}", style=style)
    for skipped in verification.not_run:
        table.add_section()
        table.add_row(skipped.variant, f"not run: {skipped.reason}")
    table.caption = f"limits: {MEL_LIMIT_DB:g} dB of mel, {verification.score_limit:g} of score"
    return table
