"""Where the mappings and DBC files lie that come with the program."""

from pathlib import Path


def dbc_folder() -> Path:
    """The folder of the mappings and DBC files that come with the program: beside the package, or in the wheel."""
    inside = Path(__file__).parent / "dbc"
    return inside if inside.is_dir() else Path(__file__).parents[1] / "dbc"
