"""Sends the commands of an order book to the vehicles when they are due, and keeps what became of them."""

import asyncio
import logging
from collections.abc import Callable

from bench.arrival import Arrival, vin_text
from bench.orders import Order, OrderBook, Plan
from bench.received import Received, ReceivedError
from bench.wallclock import WallClock

log = logging.getLogger(__name__)

# an order that is over, and the answer; None when it was given up
OnOrder = Callable[[Order, Arrival | None], None]

_NEW = "INSERT INTO orders (id, vin, command, packet, sends, sent_ms) VALUES (?, ?, ?, ?, ?, ?)"
_SENT = "UPDATE orders SET sends = ? WHERE id = ?"
_ANSWERED = "UPDATE orders SET answer_ms = ?, flag = ?, answer = ? WHERE id = ?"


class Commander:
    """Plays an order book; `on_order` is told each order that is over."""

    def __init__(
        self, book: OrderBook, received: Received, *, clock: WallClock, on_order: OnOrder | None = None
    ) -> None:
        self._book = book
        self._received = received
        self._clock = clock
        self._on_order = on_order
        self._send: Callable[[bytes, bytes], None] | None = None
        self._failed: Callable[[ReceivedError], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last = int(received.read("SELECT coalesce(max(id), 0) FROM orders")[0][0])

    def start(self, send: Callable[[bytes, bytes], None], failed: Callable[[ReceivedError], None]) -> None:
        """`send(vin, packet)` reaches a vehicle that is logged in; `failed` is told when the file fails."""
        self._send, self._failed = send, failed

    def stop(self) -> None:
        """Nothing more is sent."""
        self._send = None
        if self._timer is not None:
            self._timer.cancel()

    def add(self, plan: Plan) -> None:
        """One more command."""
        self._book.add(plan, self._clock.now())
        self._play()

    def logged_in(self, vin: bytes, start: bytes, later_ms: int = 0) -> None:
        """A vehicle logged in; its commands count from `later_ms` on."""
        self._book.logged_in(vin, start, self._clock.now() + later_ms)
        self._play()

    def reported(self, vin: bytes) -> None:
        """A good report came."""
        self._book.reported(vin, self._clock.now())
        self._play()

    def left(self, vin: bytes) -> None:
        """A vehicle's link is gone."""
        self._book.left(vin)

    def answered(self, arrival: Arrival) -> None:
        """An answer came, perhaps to one of our commands."""
        order = self._book.answered(arrival.packet, self._clock.now())
        if order is None:
            log.info("answer that nobody waits for command=%s vin=…%s", arrival.command, arrival.vin[-6:])
            return
        self._keep(_ANSWERED, (order.answer_ms, order.flag, arrival.packet.raw, order.row))
        if self._on_order is not None:
            self._on_order(order, arrival)
        self._play()

    def _play(self) -> None:
        """Send what is due and come back when more will be."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._send is None:
            return
        wall_ms = self._clock.wall_ms()
        for order in self._book.take(self._clock.now(), wall_ms // 1000):
            if order.sends == 1:
                self._last += 1
                order.row = self._last
                self._keep(_NEW, (order.row, vin_text(order.vin), order.command, order.packet, 1, wall_ms))
            else:
                self._keep(_SENT, (order.sends, order.row))
            self._send(order.vin, order.packet)
        for order in self._book.lapsed:
            log.warning(
                "command given up command=%02X vin=…%s sends=%d",
                order.command,
                order.vin[-6:].decode("latin-1"),
                order.sends,
            )
            if self._on_order is not None:
                self._on_order(order, None)
        for vin, plan, problem in self._book.refused:
            log.warning("command cannot be made for vin=…%s: %s: %s", vin_text(vin)[-6:], plan, problem)
        self._book.lapsed.clear()
        self._book.refused.clear()
        due = self._book.deadline()
        if due is not None:
            wait_s = self._clock.real_s(max(0, due - self._clock.now()))
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._play)

    def _keep(self, statement: str, row: tuple[object, ...]) -> None:
        try:
            self._received.write(statement, [row])
        except ReceivedError as error:
            if self._failed is not None:
                self._failed(error)
