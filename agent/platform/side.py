"""Everything between the outbox and the platforms, joined: parameters, keys, session, uplink, commands, the second link."""

import hashlib
import ssl
from random import Random
from typing import TYPE_CHECKING

from agent.clock import Clock
from agent.config import Config, login_values
from agent.core.delivery import Delivery
from agent.core.edition import Edition
from agent.core.session import Session
from agent.errors import ConfigError
from agent.links import Link
from agent.links.tcp import open_tcp, tls_context
from agent.outbox import NewRow
from agent.platform.commanded import Commanded
from agent.platform.effects import ACTIVATED, Effects, restore_key
from agent.platform.monitoring import LiveOnly, Monitoring
from agent.platform.parameters import Endpoint, Parameters
from agent.platform.uplink import Store, Uplink, UplinkSettings
from agent.seal import Seal, open_seal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.collect import Collector
    from agent.outbox_thread import OutboxThread
    from agent.platform.answering import Commands

WINDOW_NONE = 20_000  # rows in flight at most; what one lost link may repeat
WINDOW_EACH = 64


class PlatformSide:
    """Make it, `open` it, run `uplink` and `monitoring`, `close` it. ConfigError for keys and certificates that are wrong."""

    parameters: Parameters
    uplink: Uplink

    def __init__(
        self, config: Config, file: str, edition: Edition, clock: Clock, outbox: "OutboxThread", random: Random
    ) -> None:
        self.collector: Collector | None = None
        self.monitoring = Monitoring(self._second)
        self._config = config
        self._file = file
        self._edition = edition
        self._clock = clock
        self._outbox = outbox
        self._random = random
        self._login = login_values(config.vehicle)  # of every session
        self._tls = self._tls_context()
        self._seal: Seal = open_seal(config.security, config.path("."), self._wall_s, file)
        self._commanded: Commanded | None = None

    async def open(self) -> None:
        """Read what an earlier process left in the outbox and make the uplink."""
        self.parameters = await Parameters.load(self._config, self._edition, self._outbox)
        vehicle, security = self._config.vehicle, self._config.security
        # Another chip, VIN or platform has to be activated anew.
        named = f"{vehicle.vin} {security.chip_id} {self._config.platform.host}"
        identity = hashlib.sha256(named.encode()).hexdigest()
        activate = security.activation and await self._outbox.meta_get(ACTIVATED) != identity
        await restore_key(self._seal, self._outbox, self._wall_s())
        self._commanded = Commanded(self._edition, self._config, self.parameters, self._clock, self._file)
        effects = Effects(self._commanded, self.parameters, self._seal, self._outbox, identity, self._apply)
        self.uplink = self._make_uplink(self._outbox, self._make_session(activate), self._open_link, effects)
        self.monitoring.want(self.parameters.monitored())

    def appended(self, ids: list[int], rows: list[NewRow], held: int) -> None:
        """Rows of one sample stand in the outbox."""
        self.uplink.appended(ids, rows, held)
        self.monitoring.appended(ids, rows)

    def phase(self, active: bool) -> None:
        """Whether the vehicle has something to report."""
        self.uplink.phase(active)
        self.monitoring.phase(active)

    def endpoint(self) -> str:
        """Where the first link goes, or would go: host:port."""
        place = self.parameters.endpoint()
        return f"{place.host}:{place.port}"

    def sim_card(self, iccid: str) -> None:
        """The modem has told whose SIM card it is: from the next login on that is sent, not what is configured."""
        self._login["iccid"] = iccid.encode()

    async def close(self) -> None:
        """End what the platform ordered and is still under way."""
        if self._commanded is not None:
            await self._commanded.close()

    def _apply(self) -> None:
        """Parameters have other values: from the next sample and the next deadline on they count."""
        parameters, reports = self.parameters, self.parameters.report_settings()
        for uplink in (self.uplink, self.monitoring.uplink):
            if uplink is not None:
                uplink.follow(parameters.session_settings(), reports.period_ms)
        if self.collector is not None:
            self.collector.settings = reports
        self.monitoring.want(parameters.monitored())

    def _make_session(self, activate: bool) -> Session:
        vin = self._config.vehicle.vin.encode()
        return Session(
            self._edition,
            vin,
            self._login,
            self.parameters.session_settings(),
            self._seal.seal,
            self._seal.unseal,
            (lambda wall_s: self._seal.activation(wall_s, vin)) if activate else None,
        )

    def _second_session(self) -> Session:
        """The keys of encryption are shared with the first platform only."""
        vehicle = self._config.vehicle
        settings = self.parameters.session_settings()
        return Session(self._edition, vehicle.vin.encode(), self._login, settings, self._seal.sign)

    def _make_uplink(
        self, store: Store, session: Session, open_link: "Callable[[], Awaitable[Link]]", commands: "Commands | None"
    ) -> Uplink:
        platform, parameters = self._config.platform, self.parameters
        each = platform.policy == "each"
        timeout_ms = session.settings.answer_timeout_ms
        return Uplink(
            outbox=store,
            session=session,
            delivery=Delivery(each, int(platform.settle_s * 1000), timeout_ms, WINDOW_EACH if each else WINDOW_NONE),
            open_link=open_link,
            clock=self._clock,
            settings=UplinkSettings(
                parameters.report_settings().period_ms, platform.drain_per_s, live_only=commands is None
            ),
            random=self._random,
            time_sync=platform.time_sync,
            commands=commands,
        )

    def _second(self, endpoint: Endpoint) -> Uplink:
        """The uplink of sampling monitoring; nobody commands there."""
        return self._make_uplink(LiveOnly(self._outbox), self._second_session(), lambda: self._open(endpoint), None)

    async def _open_link(self) -> Link:
        return await self._open(self.parameters.endpoint())

    async def _open(self, endpoint: Endpoint) -> Link:
        timeout_s = self._clock.real_s(self._config.platform.connect_timeout_s * 1000)
        return await open_tcp(endpoint.host, endpoint.port, timeout_s, self._tls)

    def _tls_context(self) -> ssl.SSLContext | None:
        platform = self._config.platform
        if not platform.tls:
            return None
        authorities = str(self._config.path(platform.tls_ca)) if platform.tls_ca else None
        try:
            return tls_context(authorities)
        except OSError as error:
            raise ConfigError(self._file, [f"platform.tls_ca = {platform.tls_ca!r}: {error}"]) from error

    def _wall_s(self) -> int:
        return self._clock.wall_ms() // 1000
