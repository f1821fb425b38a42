"""The room `mqtt`."""
