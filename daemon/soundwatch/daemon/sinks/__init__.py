"""The room `sinks`."""
