"""The room `fit`."""
