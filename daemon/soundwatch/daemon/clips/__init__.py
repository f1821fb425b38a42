"""Clips: the sound of events as files, where somebody asked for that.

    tape -> recorder -> writer -> (guard) -> shelf

Conventions: without a folder none of this is imported, and no sound outlives its window.
"""
