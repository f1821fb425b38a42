"""The room `status`."""
