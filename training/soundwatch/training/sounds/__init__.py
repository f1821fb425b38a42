"""The room `sounds`."""
