"""Measured figures, each beside its peer: one module a subject with `measure() -> list[dict]`."""
