"""The editions this program speaks, by name and by the start bytes of a packet."""

from agent.core.edition2016 import EDITION as EDITION_2016
from agent.core.edition2025 import EDITION as EDITION_2025

DEFAULT_EDITION = "2016"  # where nobody names one
EDITIONS = {edition.name: edition for edition in (EDITION_2016, EDITION_2025)}
BY_START = {edition.start: edition for edition in EDITIONS.values()}
