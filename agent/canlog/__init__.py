"""Recorded CAN traffic as a stream of frames. `reader` is the door, `parser` what every format has in common, one module a maker's
format, the small text formats together in `formats`."""
