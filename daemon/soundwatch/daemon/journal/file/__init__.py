"""The SQLite file of a journal: its schema and views, its one writer, changes between releases, the rescue of damage.

Never: know what a line means to a sink or to a page.
"""
