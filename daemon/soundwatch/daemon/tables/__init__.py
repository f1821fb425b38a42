"""Events as tables: CSV, Parquet, SQLite, Audacity labels.

Never: read the journal.
"""
