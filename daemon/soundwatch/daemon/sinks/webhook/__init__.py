"""Lines to a web address: requests, their bodies and the options.

Never: decide which lines are events of a rule.
"""
