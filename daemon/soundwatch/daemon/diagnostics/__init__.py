"""The room `diagnostics`."""
