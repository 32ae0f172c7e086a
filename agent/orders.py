"""Where a platform's commands, the parameters it sets and the keys it sends take effect: beside `app.py` the place of joining."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from agent.commanded import Answer, Commanded
    from agent.parameters import Parameters
    from agent.seal import Seal

ACTIVATED = "activated"  # of the outbox's small values: the chip and VIN that the platform has activated


class Store(Protocol):
    """What is needed of the outbox."""

    async def meta_get(self, key: str) -> str | None: ...
    async def meta_set(self, key: str, value: str) -> bool: ...


class Orders:
    """Serves `agent.answering`. `changed` is called when parameters have another value."""

    def __init__(
        self,
        commanded: "Commanded",
        parameters: "Parameters",
        seal: "Seal",
        store: Store,
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

    def adopt_key(self, values: dict[str, Any], wall_s: int) -> str:
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
