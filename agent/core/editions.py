"""The editions this program speaks, by name and by the start bytes of a packet."""

from agent.core.edition2016 import EDITION as EDITION_2016

EDITIONS = {EDITION_2016.name: EDITION_2016}
START_OF = {"2016": b"##", "2025": b"$$"}  # 6.2; also of an edition whose tables are not here
BY_START = {edition.start: edition for edition in EDITIONS.values()}
