"""The room `inference`."""
