"""Which mutants survived `mutmut run`, against those that the README beside this file argues. Run from the checkout's top.

    python tests/survivors.py

Exit 1 when one survived that is not argued, or one is argued that did not survive. A mutant is known by its function and the
line that it makes, not by its number: numbers change with every line above.
"""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ARGUED = re.compile(r"^- `(?P<place>\w+(?:\.\w+)+)`: `(?P<line>.+?)`(?: \(\d+ times\))?: ", re.MULTILINE)
HARMLESS = ("killed", "timeout")  # one that never ends is found by whoever waits


def mutmut(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments], capture_output=True, text=True, check=True
    ).stdout


def place(name: str) -> str:
    """agent.core.field.xǁItemsǁencode__mutmut_51 -> field.Items.encode, agent.core.packet.x_bcc__mutmut_3 -> packet.bcc."""
    module, function = name.rsplit("__mutmut_", 1)[0].removeprefix("agent.core.").split(".")
    return f"{module}.{function.removeprefix('x_').removeprefix('xǁ').replace('ǁ', '.')}"


def made_line(name: str) -> str:
    lines = [line[1:].strip() for line in mutmut("show", name).splitlines() if re.match(r"\+(?!\+\+ )", line)]
    return " ".join(lines)


def main() -> int:
    results = [line.strip().rsplit(": ", 1) for line in mutmut("results", "--all", "true").splitlines() if line.strip()]
    alive = [(place(name), made_line(name), verdict) for name, verdict in results if verdict not in HARMLESS]
    readme = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
    argued = {(match["place"], match["line"]) for match in ARGUED.finditer(readme)}
    counts = Counter(verdict for _, verdict in results)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()), f"of {len(results)} mutants")
    for where, line, verdict in alive:
        if (where, line) not in argued:
            print(f"{verdict}, and not argued: - `{where}`: `{line}`: ")
    for where, line in sorted(argued - {(where, line) for where, line, _ in alive}):
        print(f"argued, but it does not survive: - `{where}`: `{line}`")
    if not results:
        print("no mutants: type `mutmut run` first")
    return int(not results or argued != {(where, line) for where, line, _ in alive})


if __name__ == "__main__":
    raise SystemExit(main())
