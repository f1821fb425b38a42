"""Errors of JSON that another program wrote, or that a disk has damaged.

Conventions: `msgspec` reports malformed JSON and wrong fields by its own errors, but text that is not UTF-8 and values
in thousands of brackets by those of Python. Whoever reads JSON from elsewhere catches all of them.
"""

from __future__ import annotations

from typing import Final

import msgspec

JSON_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
