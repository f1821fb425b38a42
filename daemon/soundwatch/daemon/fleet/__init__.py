"""Collects the lines of many nodes from a broker into one store, and displays them (`soundwatch fleet`).

Conventions: a node is one machine that runs soundwatch. Every node has bounded shares of memory and time.
Never: control the nodes.
"""
