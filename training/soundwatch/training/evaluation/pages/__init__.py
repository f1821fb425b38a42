"""Pages and pictures of reports.

Never: score a sound.
"""
