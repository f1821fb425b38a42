"""What training, export and daemon know of a model: its contract, front end, operating points and tags; the classifier.

Never: read model files or compute features.
"""
