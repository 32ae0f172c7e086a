"""Beijing time as a zone: the time of packets (6.4), of logs and of what people are shown."""

from datetime import timedelta, timezone

from agent.core.packet import BEIJING_S

BEIJING = timezone(timedelta(seconds=BEIJING_S))
