"""Row `signature`: what the 2025 edition's signatures cost as they are, beside OpenSSL's own figures on this core.

Signing is `Seal.seal` on a report of 600 bytes, verifying is what a platform does with it. The peer is `openssl speed`, which
signs a digest: what it leaves out (hashing 600 bytes, Python around it) is part of ours. The last row is the share of a report
period that one signature takes, with the slowest of the three algorithms.
"""

import subprocess
import timeit
from collections.abc import Callable
from typing import Any

import msgspec

from agent.crypto.keys import new_private_key
from agent.crypto.signing import KeySigner, verify
from agent.seal import Seal
from agent.security import Security
from bench.perf import rig
from bench.security import signature_of, signed_part

UNIT = bytes(range(200)) * 3
PERIOD_MS = 10_000
TARGET_SHARE = 1.0  # percent
REPEATS = 5
ROUNDS = 10
QUICK_REPEATS = 2
# Kind of key, and the algorithm's name for `openssl speed` and in its answer.
ALGORITHMS = (("sm2", "sm2", "CurveSM2"), ("rsa", "rsa2048", "2048"), ("ecc", "ecdsap256", "256"))
PEER = "openssl speed"
PEER_TIMEOUT_S = 60


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Milliseconds of each algorithm, signing and verifying; the share of a report period."""
    repeats = QUICK_REPEATS if quick else REPEATS
    rows = []
    slowest = 0.0
    for kind, peer_name, peer_key in ALGORITHMS:
        signing, verifying = _ours(kind, repeats)
        peer = (None, None) if quick else _peer(peer_name, peer_key)
        slowest = max(slowest, signing)
        for what, value, peer_value in zip(("sign", "verify"), (signing, verifying), peer, strict=True):
            rows.append(_as_it_is(f"signature, {kind.upper()} {what}", value, peer_value))
    share = 100 * slowest / PERIOD_MS
    note = f"one signature every {PERIOD_MS // 1000} s on one core, slowest algorithm"
    rows.append(
        rig.figure(
            "signature, share of the report period",
            round(share, 4),
            "%",
            f"<= {TARGET_SHARE}",
            share <= TARGET_SHARE,
            note=note,
        )
    )
    return rows


def _as_it_is(name: str, value: float, peer_value: float | None) -> dict[str, Any]:
    return rig.figure(
        name,
        round(value, 3),
        "ms",
        "as it is",
        True,
        peer=PEER if peer_value else None,
        peer_value=round(peer_value, 3) if peer_value else None,
    )


def _ours(kind: str, repeats: int) -> tuple[float, float]:
    """Milliseconds to sign and to verify a report."""
    security = msgspec.convert({"sign": kind}, Security)
    key = new_private_key(kind)
    public = key.public_key()
    seal = Seal(security, (key, None, None), KeySigner(key, security), lambda: 0)
    _, unit = seal.seal(b"$$", 2, UNIT)
    values = signature_of(unit)
    data = signed_part(unit, values, security)
    if not verify(values, data, public, security):
        raise rig.RigError(f"a {kind} signature of our own does not verify")
    return (
        _best_ms(lambda: seal.seal(b"$$", 2, UNIT), repeats),
        _best_ms(lambda: verify(values, data, public, security), repeats),
    )


def _best_ms(work: Callable[[], object], repeats: int) -> float:
    return min(timeit.repeat(work, number=ROUNDS, repeat=repeats)) / ROUNDS * 1e3


def _peer(name: str, key: str) -> tuple[float | None, float | None]:
    """Milliseconds that OpenSSL takes to sign and to verify; nothing without it."""
    words = ["openssl", "speed", "-seconds", "1", "-mr", name]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PEER_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None, None
    for line in done.stdout.splitlines():
        cells = line.split(":")
        if line.startswith("+F") and key in cells[2:-2]:
            return 1000 / float(cells[-2]), 1000 / float(cells[-1])
    return None, None
