"""Where a platform's commands, the parameters it sets and the keys it sends take effect: beside `app.py` the place of joining."""

import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.platform.commanded import Answer, Commanded
    from agent.platform.parameters import Parameters, SmallValues
    from agent.seal import Seal

log = logging.getLogger(__name__)

KEY = "platform key"  # of the outbox's small values
ACTIVATED = "activated"  # of the outbox's small values: a digest of the VIN, chip and platform of the last activation


def plain(value: int | bytes) -> int | str:
    """A value of a key exchange for JSON; its key is still encrypted for this terminal."""
    return value if isinstance(value, int) else value.hex()


async def restore_key(seal: "Seal", store: "SmallValues", wall_s: int) -> None:
    """Take the platform's key of an earlier process, if it is still valid."""
    text = await store.meta_get(KEY)
    if text is None:
        return
    try:
        values = {
            name: bytes.fromhex(value) if isinstance(value, str) else value for name, value in json.loads(text).items()
        }
        refusal = seal.adopt_key(values, wall_s)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        refusal = f"it is damaged: {type(error).__name__}"
    if refusal:
        log.warning("key of the platform from before the start is not used: %s", refusal)


class Effects:
    """Serves `agent.platform.answering`. `changed` is called when parameters have another value."""

    def __init__(
        self,
        commanded: "Commanded",
        parameters: "Parameters",
        seal: "Seal",
        store: "SmallValues",
        identity: str,
        changed: Callable[[], None],
    ) -> None:
        self._commanded = commanded
        self._parameters = parameters
        self._seal = seal
        self._store = store
        self._identity = identity
        self._changed = changed

    async def respond(self, command: int, unit: bytes, authenticated: bool, wall_s: int) -> "Answer":
        answer = await self._commanded.respond(command, unit, authenticated, wall_s)
        if answer.changed:
            self._changed()
        return answer

    async def carry_out(self, answer: "Answer") -> None:
        await self._commanded.carry_out(answer)

    async def adopt_key(self, values: dict[str, Any], wall_s: int) -> str:
        refusal = self._seal.key_refusal(values, wall_s)
        if refusal:
            return refusal
        if self._seal.security.wrapped_keys:  # as it came, for this terminal's private key alone: it may lie on a disk
            await self._store.meta_set(KEY, json.dumps({name: plain(value) for name, value in values.items()}))
        # After the disk: a report that leaves while it writes would be under the new key in front of the answer.
        return self._seal.adopt_key(values, wall_s)

    def on_trial(self) -> bool:
        return self._parameters.endpoint().trial

    async def trial_over(self, good: bool) -> None:
        if good:
            await self._parameters.confirm()
        else:
            await self._parameters.restore()
        self._changed()

    async def activated(self) -> None:
        await self._store.meta_set(ACTIVATED, self._identity)
