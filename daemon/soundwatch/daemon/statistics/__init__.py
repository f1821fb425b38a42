"""Statistics of a day or a week: events by class, source and hour, and coverage, as records, text and HTML.

Never: write to the journal.
"""
