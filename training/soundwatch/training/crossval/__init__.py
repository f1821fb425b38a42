"""The room `crossval`."""
