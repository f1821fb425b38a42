"""The export room: a checkpoint in, model files out that are proven to compute the same."""
