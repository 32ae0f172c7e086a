"""The packets of the printed reference, by edition: name, bytes in hexadecimal, and what they say as JSON."""

import json
from pathlib import Path
from typing import Any

PRINTED: dict[str, list[dict[str, Any]]] = {
    edition: json.loads((Path(__file__).parent / f"vectors/packets_{edition}.json").read_text(encoding="utf-8"))
    for edition in ("2016", "2025")
}
VECTORS = [vector for vectors in PRINTED.values() for vector in vectors]


def vector_of(begin: str) -> dict[str, Any]:
    """The one whose name begins so: "W3 "."""
    (found,) = [vector for vector in VECTORS if vector["name"].startswith(begin)]
    return found
