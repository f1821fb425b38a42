"""Windows of time: by the clock, the day of the week and the sun at a place.

Conventions: moments are integers, nanoseconds since 1970 in UTC; a window holds its begin and not its end.
Never: read a clock.
"""
