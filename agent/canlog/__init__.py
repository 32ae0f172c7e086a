"""Recorded CAN traffic as a stream of frames.

`reader` is the door, `parser` what the formats have in common; one module a format, the small text formats in `formats`.
"""
