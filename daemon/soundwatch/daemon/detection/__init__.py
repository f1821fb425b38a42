"""The room `detection`."""
