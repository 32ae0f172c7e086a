"""Puts the parts of `tbox-bench platform` together from its options and runs them."""

import argparse
import asyncio
import json
import os
import random
import signal
import ssl
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.clock import Clock
from agent.core.editions import EDITIONS
from agent.errors import ConfigError
from bench.access import Access, read_vins
from bench.activation import Activations
from bench.answers import POLICIES, Policy
from bench.commander import Commander
from bench.forward import Forwarder
from bench.orders import OrderBook, Plan, read_lines, read_question
from bench.platform import Platform
from bench.platformlines import Printer
from bench.received import Received
from bench.registry import Registry, read_registry
from bench.upward import Client, Upward

if TYPE_CHECKING:
    from bench.arrival import Arrival
    from bench.orders import Order
    from bench.vault import Vault

READ_SIZE = 65536


async def serve(args: argparse.Namespace) -> int:
    """Listen until SIGINT or SIGTERM; 0, or an error that says what failed."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    clock = Clock(args.speed, args.epoch)
    registry = None if args.registry is None else read_registry(args.registry)
    vault = _vault(args, registry, clock)
    plans = _plans(args, vault)
    received = Received(args.db)
    try:
        await _run(_Parts(args, received, clock, registry, vault, plans, stop), stop)
    finally:
        received.close()
    return 0


class _Parts:
    """What a run consists of."""

    def __init__(
        self,
        args: argparse.Namespace,
        received: Received,
        clock: Clock,
        registry: Registry | None,
        vault: "Vault | None",
        plans: list[Plan],
        stop: asyncio.Event,
    ) -> None:
        self.args = args
        self.vault = vault
        self.printer = Printer(stop.set, as_json=args.json, full_vin=args.full_vin)
        book = OrderBook(plans, round(args.answer_timeout * 1000))
        self.commander = Commander(book, received, clock=clock, on_order=self._on_order)
        self.forwarder = None if args.forward is None else _forwarder(args, received, clock)
        registered = None if registry is None else registry.by_vin
        self.platform = Platform(
            policy(args),
            received,
            clock=clock,
            on_packet=None if args.quiet else self.printer.packet,
            idle_s=args.idle,
            tls=None if args.tls is None else _certificate(args.tls),
            access=Access(
                registered if args.vins is None else read_vins(args.vins),
                args.login,
                registry,
                refuse_duplicates=args.refuse_duplicates,
            ),
            seals=vault,
            activations=None if registry is None else Activations(registry, received, vault),
            commander=self.commander,
            on_kept=None if self.forwarder is None else self.forwarder.kept,
        )

    def _on_order(self, order: "Order", arrival: "Arrival | None") -> None:
        self.printer.order(order, arrival)


async def _run(parts: _Parts, stop: asyncio.Event) -> None:
    args, platform = parts.args, parts.platform
    port = await platform.start(args.host, args.port)
    print(json.dumps({"listening": [args.host, port]}) if args.json else f"listening {args.host} {port}", flush=True)
    if args.send == "-":
        _listen_to_stdin(parts)
    platform.failure.add_done_callback(lambda _: stop.set())
    forwarding = None
    if parts.forwarder is not None:
        forwarding = asyncio.create_task(parts.forwarder.run())
        forwarding.add_done_callback(lambda _: stop.set())
    await stop.wait()
    await platform.stop()
    if forwarding is not None:
        forwarding.cancel()  # says goodbye
        await asyncio.wait((forwarding,))
    _say_what_happened(parts)
    if platform.failure.done():
        raise platform.failure.result()
    if forwarding is not None and not forwarding.cancelled():
        forwarding.result()


def _say_what_happened(parts: _Parts) -> None:
    counted = asdict(parts.platform.counters)
    if parts.forwarder is not None:
        above = asdict(parts.forwarder.upward.counters)
        counted |= {f"above_{name}": count for name, count in above.items()}
        counted["above_pending"] = parts.forwarder.pending()
    said = " ".join(f"{name}={count}" for name, count in counted.items() if count)
    print(f"kept in {parts.args.db}: {said or 'nothing came'}", file=sys.stderr)


def policy(args: argparse.Namespace) -> Policy:
    """The policy with the faults that were asked for."""
    return replace(
        POLICIES[args.policy],
        late_s=args.late,
        rubbish=args.rubbish,
        close_mid_packet=args.close_mid_packet,
        refuse_login=args.refuse_login,
        error_every=args.error_every,
        error_flag=args.error_flag,
        no_read=args.no_read,
        drop_after=args.drop_after,
        unasked=args.unasked,
        wrong_vin=args.wrong_vin,
        wrong_edition=args.wrong_edition,
        huge=args.huge,
        clock_offset_s=args.clock_offset,
    )


def _vault(args: argparse.Namespace, registry: Registry | None, clock: Clock) -> "Vault | None":
    """Only where there are keys: what it imports is an extra."""
    if registry is None and not any((args.security, args.private_key, args.data_key)):
        if args.key_exchange or args.encrypt_commands:
            raise ConfigError("--key-exchange, --encrypt-commands", ["need --registry, --data-key or --security"])
        return None
    try:
        from bench.vault import open_vault
    except ModuleNotFoundError as error:
        raise ConfigError(
            "--registry, --security", [f"{error}: install the extra: pip install 'tbox-agent[crypto]'"]
        ) from error

    return open_vault(
        registry or Registry(), args.security, args.private_key, args.data_key, lambda: clock.wall_ms() // 1000
    )


def _plans(args: argparse.Namespace, vault: "Vault | None") -> list[Plan]:
    plans: list[Plan] = []
    if args.key_exchange is not None and vault is not None:
        from bench.vault import KeyExchange

        plans.append(KeyExchange(vault, args.key_exchange, args.key_fault))
    lines = [read_question(text) for text in args.ask]
    if args.send not in (None, "-"):
        try:
            texts = Path(args.send).read_text(encoding="utf-8").split("\n")
        except (OSError, ValueError) as error:
            raise ConfigError(args.send, [f"cannot be read: {error}"]) from error
        lines += read_lines(args.send, texts)
    return plans + [_sealed(line, args, vault) for line in lines]


def _sealed(plan: Plan, args: argparse.Namespace, vault: "Vault | None") -> Plan:
    if not args.encrypt_commands or vault is None:
        return plan
    from bench.vault import Sealed

    return Sealed(plan, vault)


def _forwarder(args: argparse.Namespace, received: Received, clock: Clock) -> Forwarder:
    host, port = args.forward
    if args.as_client is None:
        raise ConfigError("--forward", ["--as USER:PASSWORD is missing: the platform above asks who comes"])
    user, password = args.as_client
    client = Client(EDITIONS[args.forward_edition], args.unique_id, user, password)
    upward = Upward(client, late_ms=round(args.forward_late * 1000))
    return Forwarder(upward, received, host, port, clock=clock, dice=random.Random())


def _listen_to_stdin(parts: _Parts) -> None:
    """Commands as they are written: each line is played when it comes; a faulty one is named and left out."""
    loop = asyncio.get_running_loop()

    def play(text: str) -> None:
        try:
            for line in read_lines("--send -", [text]):
                parts.commander.add(_sealed(line, parts.args, parts.vault))
        except ConfigError as error:
            print(f"tbox-bench platform: {error}", file=sys.stderr)

    # A thread of its own, on the bare descriptor: it must not hold a lock when the process ends.
    threading.Thread(target=_read_stdin, args=(loop, play), daemon=True).start()


def _read_stdin(loop: asyncio.AbstractEventLoop, play: Callable[[str], None]) -> None:
    rest = b""
    while data := os.read(0, READ_SIZE):
        *whole, rest = (rest + data).split(b"\n")
        for text in whole:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(play, text.decode("utf-8", "replace"))
    if rest:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(play, rest.decode("utf-8", "replace"))


def _certificate(files: str) -> ssl.SSLContext:
    """What `--tls CERTIFICATE:KEY` names."""
    certificate, _, key = files.partition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key or None)
    except OSError as error:
        raise ConfigError("--tls", [f"{files}: {error}; two PEM files are needed, CERTIFICATE:KEY"]) from error
    return context
