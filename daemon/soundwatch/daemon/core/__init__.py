"""Vocabulary of every package: records, errors, model contract, clocks, files, texts.

Conventions: a subpackage imports those before it in this list only: `errors`; `languages`, `network`, `process` and
`records`; `files` and `text`; `model` and `time`.
Never: read audio, or import another package of soundwatch.
"""
