"""Recipe, network, front end and checkpoint of a model.

Never: read recordings.
"""
