"""The room `events`."""
