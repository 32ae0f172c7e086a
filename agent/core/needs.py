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
            paged = simple_pages(slot, selectors)
            every = paged is None
            if paged is not None:
                byte, mask, slots = paged
                pages = byte, mask, [(value, _used(sources[page])) for value, page in slots.items() if page >= 0]
        timeout = min([sources[each][1] for each in slots_of(slot, selectors)])
        needs.append((can_id, length, timeout, every, pages))
    return needs


def simple_pages(slot: int, selectors: "list[Any]") -> "tuple[int, int, dict[int, int]] | None":
    """(byte, mask, {masked value: source or -1}) of the usual paged message: one multiplexer in one byte, nothing else."""
    if slot >= 0 or len(selectors) != 1:
        return None
    byte, mask, _, cases = selectors[0]
    if byte < 0 or any([inner or len(slots) > 1 for _, _, slots, inner in cases]):
        return None
    pages = {}
    for first, last, slots, _ in cases:
        for value in range(first, last + 1, mask & -mask):
            pages[value] = slots[0] if slots else -1
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


def slots_of(slot: int, selectors: "list[Any]") -> "list[int]":
    """Every source of a message, by its row."""
    slots = [slot] if slot >= 0 else []
    for _, _, _, cases in selectors:
        for _, _, pages, inner in cases:
            slots += pages + slots_of(-1, inner)
    return slots
