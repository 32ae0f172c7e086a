"""Which pages of a multiplexed message lead to mapped signals, and which values its multiplexers are known to take.

Values come as ranges: a DBC file may name all 65,536 of a multiplexer in a dozen characters, and again below each of them.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cantools.database.can import Message, Signal

__all__ = ["Chain", "bits_of", "chain_of", "known_values", "masked", "selectors"]

Row = list[Any]
Chain = tuple[tuple[str, tuple[int, ...]], ...]
Runs = list[tuple[int, int]]  # first and last value of each, in their order


def chain_of(signal: "Signal", find: "Callable[[str], Signal]") -> Chain:
    """The multiplexers above a signal, outermost first, each with the values that make way for it; LookupError for a circle."""
    chain: list[tuple[str, tuple[int, ...]]] = []
    while signal.multiplexer_signal is not None:
        if signal.multiplexer_signal in [name for name, _ in chain]:
            raise LookupError(f"the DBC puts multiplexer {signal.multiplexer_signal} below itself")
        chain.insert(0, (signal.multiplexer_signal, tuple(signal.multiplexer_ids or ())))
        signal = find(signal.multiplexer_signal)
    return tuple(chain)


def known_values(message: "Message", multiplexer: "Signal") -> set[int]:
    """Every value of a multiplexer that the DBC describes; files also name values that its bits cannot hold."""
    values: set[int] = set()
    for signal in message.signals:
        if signal.multiplexer_signal == multiplexer.name:
            values.update(signal.multiplexer_ids or ())
    return {value for value in values if value < 1 << multiplexer.length}


def bits_of(signal: "Signal") -> list[int]:
    """Bit numbers of the little-endian word, most significant bit of the signal first."""
    if signal.byte_order == "little_endian":
        return [signal.start + signal.length - 1 - index for index in range(signal.length)]
    bits = []
    position = signal.start
    for _ in range(signal.length):
        bits.append(position)
        # Down within a byte, then to the top bit of the next byte.
        position = position - 1 if position % 8 else position + 15
    return bits


def masked(bits: list[int]) -> list[int]:
    """[byte, mask, needed bytes] that pick the bits; byte -1: they lie in several, the mask is of the whole word."""
    mask = sum(1 << bit for bit in bits)
    first, last = min(bits) // 8, max(bits) // 8
    return [first, mask >> 8 * first, last + 1] if first == last else [-1, mask, last + 1]


def selectors(message: "Message", slots: dict[Chain, int]) -> list[Row]:
    """One row per multiplexer that stands first in a chain; inner multiplexers hang below their page."""
    return [_selector(message, name, slots) for name in sorted({chain[0][0] for chain in slots if chain})]


def _selector(message: "Message", name: str, slots: dict[Chain, int]) -> Row:
    multiplexer = next(signal for signal in message.signals if signal.name == name)
    byte, mask, needed, shift = _picked(multiplexer)
    chains: dict[tuple[int, ...], dict[Chain, int]] = {}  # by the values that make way for them
    for chain, slot in slots.items():
        if chain and chain[0][0] == name:
            chains.setdefault(chain[0][1], {})[chain] = slot
    known = _runs(known_values(message, multiplexer))
    taken = {values: set(values) for values in chains}
    cuts = sorted({cut for runs in (known, *map(_runs, chains)) for first, last in runs for cut in (first, last + 1)})
    inside = dict(known)
    pages: dict[
        tuple[tuple[int, ...], ...], tuple[list[int], list[Row]]
    ] = {}  # made once for all values that are alike
    cases: list[Row] = []
    end = -1  # of the run of known values that is being passed
    before = None
    for first, after in zip(cuts, [*cuts[1:], 0], strict=True):
        end = inside.get(first, end)
        if first > end:
            before = None
            continue
        here = tuple(values for values in chains if first in taken[values])
        if here == before:
            cases[-1][1] = after - 1 << shift
            continue
        before = here
        if here not in pages:
            pages[here] = _page(message, {chain: slot for values in here for chain, slot in chains[values].items()})
        cases.append([first << shift, after - 1 << shift, *pages[here]])
    return [byte, mask, needed, cases]


def _page(message: "Message", inside: dict[Chain, int]) -> tuple[list[int], list[Row]]:
    here = [slot for chain, slot in inside.items() if len(chain) == 1]
    return here, selectors(message, {chain[1:]: slot for chain, slot in inside.items() if len(chain) > 1})


def _picked(multiplexer: "Signal") -> tuple[int, int, int, int]:
    """(byte, mask, needed bytes, how far the value is shifted to the left in what is picked), as `core/frames.py` has it."""
    bits = bits_of(multiplexer)
    byte, mask, needed = masked(bits)
    lowest = bits[-1]
    if byte >= 0:
        return byte, mask, needed, lowest - 8 * byte
    if multiplexer.byte_order == "little_endian":
        return byte, mask, needed, lowest
    return -2, (1 << len(bits)) - 1 << lowest % 8, needed, lowest % 8


def _runs(values: Iterable[int]) -> Runs:
    runs: Runs = []
    for value in sorted(values):
        if runs and value <= runs[-1][1] + 1:
            runs[-1] = runs[-1][0], value
        else:
            runs.append((value, value))
    return runs
