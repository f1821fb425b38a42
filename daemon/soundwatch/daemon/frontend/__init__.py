"""Signal front end: resample, cut windows, compute mel features in decibels.

Never: keep state outside its arguments, or know where samples come from.
"""
