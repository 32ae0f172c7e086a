"""Vehicle-side telematics terminal: CAN in, GB/T 32960 packets out, nothing lost in between."""

__version__ = "0.1.0"
