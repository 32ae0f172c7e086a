"""The other side of the table: a simulated vehicle, a platform that checks, faults, load."""
