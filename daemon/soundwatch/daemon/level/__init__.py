"""Sound level meter: frequency weightings, time weightings, 1/3-octave bands and levels of periods.

Never: open a source, change the sound, or need another package than numpy.
"""
