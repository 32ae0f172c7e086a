"""The picture of a session's states in the README, from the one table of transitions: `python -m agent.sessiondiagram`."""

import sys

from agent.core.session import TRANSITIONS

_WORDS = {
    "success": "good answer",
    "failure": "error answer, or none in time",
    "give_up": "third failure",
    "lost": "link lost",
}


def diagram() -> str:
    """A Mermaid state diagram; `lost` leads to `offline` from every state and is drawn for those that have a link."""
    lines = ["stateDiagram-v2", "    [*] --> offline"]
    for (state, event), target in TRANSITIONS.items():
        if (state, event) != ("offline", "lost"):
            lines.append(f"    {state} --> {target}: {_WORDS.get(event, event)}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(diagram())
