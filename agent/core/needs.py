"""What has to be heard of each message, read from the rows of a plan: for filters that stand before `LatestFrames`.

A need is (can_id, length, timeout_ms, every, pages) of a message that comes under one identifier:

    timeout_ms  the shortest of its sources
    every       each frame has to be looked at: a counter, a checksum, or multiplexing of more than one kind
    pages       (byte, mask, [(masked value, used), ...]) of a message that is nothing but pages chosen by data[byte] & mask,
                those of them that are mapped; `used` are the bits that are read, as the little-endian word. None: not paged
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Pages = tuple[int, int, list[tuple[int, int]]]
    Need = tuple[int, int, int, bool, Pages | None]


def needs_of(plan: "dict[str, Any]", bus: int) -> "list[Need]":
    """The needs of the messages of one bus, but for those with a masked identifier."""
    sources = plan["sources"]
    needs = []
    for number, can_id, id_mask, length, slot, selectors, alive, checksum in plan["messages"]:
        if number != bus or id_mask != -1:
            continue
        pages = None
        every = bool(alive or checksum)
        if selectors and not every:
            pages = _pages(slot, selectors, sources)
            every = pages is None
        slots = [slot] if slot >= 0 else []
        timeout = min([sources[each][1] for each in slots + _slots(selectors)])
        needs.append((can_id, length, timeout, every, pages))
    return needs


def _pages(slot: int, selectors: "list[Any]", sources: "list[Any]") -> "Pages | None":
    if slot >= 0 or len(selectors) != 1:
        return None
    byte, mask, _, cases = selectors[0]
    if byte < 0 or any([inner or len(slots) > 1 for _, _, slots, inner in cases]):
        return None
    pages = []
    for first, last, slots, _ in cases:
        if slots:
            used = _used(sources[slots[0]])
            pages += [(value, used) for value in range(first, last + 1, mask & -mask)]
    return byte, mask, pages


def _used(source: "list[Any]") -> int:
    """The bits that the rows of a source read."""
    length, _, little, big, careful_little, careful_big = source
    used = 0
    for row in little + careful_little:
        used |= row[1] << row[0]
    for row in big + careful_big:
        used |= int.from_bytes((row[1] << row[0]).to_bytes(length, "big"), "little")
    return used


def _slots(selectors: "list[Any]") -> "list[int]":
    found = []
    for _, _, _, cases in selectors:
        for _, _, slots, inner in cases:
            found += slots + _slots(inner)
    return found
