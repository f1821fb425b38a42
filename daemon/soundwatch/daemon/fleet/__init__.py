"""Many daemons: collect their lines from a broker into one store, and show them (`soundwatch fleet`).

Never: control the machines it watches.
"""
