"""The room `distillation`."""
