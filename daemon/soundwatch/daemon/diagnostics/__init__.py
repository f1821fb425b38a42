"""Checks of an installation and of a running daemon."""
