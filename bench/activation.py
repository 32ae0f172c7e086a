"""Activations (09, 2025): judged, kept, answered with 0A."""

import logging
from typing import Protocol

from bench.arrival import Arrival
from bench.received import Received
from bench.registry import FAILED, NOTHING, Entry, Registry

log = logging.getLogger(__name__)

_KEEP = "INSERT OR REPLACE INTO activations (chip_id, vin, public_key, activated_ms) VALUES (?, ?, ?, ?)"


class ActivationChecker(Protocol):
    """Checks the signature of an activation."""

    def verify_activation(self, entry: Entry, arrival: Arrival) -> str:
        """What is wrong with it; "" when it is good."""


class Activations:
    """Judges activations by a registry and keeps those that succeed in the file of received packets, over restarts.

    Without a `checker` the signature is not looked at.
    """

    def __init__(self, registry: Registry, received: Received, checker: ActivationChecker | None = None) -> None:
        self._registry = registry
        self._received = received
        self._checker = checker
        for chip_id, vin in received.read("SELECT chip_id, vin FROM activations"):
            registry.activated[chip_id.encode("latin-1")] = vin.encode("latin-1")

    def judge(self, arrival: Arrival) -> tuple[int, int]:
        """Status and information of the answer to a well-formed activation; ReceivedError when it cannot be kept."""
        decision = self._registry.decide(arrival.values, arrival.packet.vin)
        status, information, reason = decision.status, decision.information, decision.reason
        if decision.entry is not None and self._checker is not None:
            reason = self._checker.verify_activation(decision.entry, arrival)
            status, information = (FAILED, NOTHING) if reason else (status, information)
        if decision.entry is not None and not reason:
            entry = decision.entry
            row = (entry.chip_id.decode("latin-1"), entry.vin.decode("latin-1"), entry.public_key, arrival.received_ms)
            self._received.write(_KEEP, [row])
            self._registry.activate(entry)
            log.info("activated vin=…%s chip=%s", arrival.vin[-6:], row[0])
        else:
            log.warning("activation refused vin=…%s reason=%s", arrival.vin[-6:], reason)
        return status, information
