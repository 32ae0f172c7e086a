"""Devices that the makers' own libraries know of, asked by python-can.

In a process of its own: these libraries print, take seconds to load, and one that is broken may end the process.
"""

import json
import sys

from agent.interfaces.found import Found, Machine, Rates, can_table

# Those that look for local hardware. The others look into the network, or offer what is always there.
ASKED = ["canalystii", "cantact", "etas", "ixxat", "kvaser", "neousys", "neovi", "nixnet", "pcan", "vector"]
_ASK = (
    "import json, logging, sys; logging.disable(); import can; "
    "json.dump(can.detect_available_configs(sys.argv[1:], timeout=5.0), sys.stdout, default=str)"
)


def library_devices(machine: Machine, rates: Rates) -> list[Found]:
    """Devices of the libraries that are installed."""
    try:
        configs = json.loads((machine.run([sys.executable, "-c", _ASK, *ASKED]) or "[]").splitlines()[-1])
    except (ValueError, IndexError):
        return []
    found: list[Found] = []
    for config in configs if isinstance(configs, list) else []:
        if not isinstance(config, dict) or not {"interface", "channel"} <= config.keys():
            continue
        interface, channel = str(config["interface"]), str(config["channel"])
        named = config.get("device_name") or config.get("name") or ""
        what = f"{named or 'a device'} (python-can's {interface})"
        serial = [f"serial number {config['serial']}"] if config.get("serial") else []
        table = can_table(f"{interface}{len(found)}", interface, channel, rates)
        found.append(Found("library", channel, what, toml=table, remarks=serial))
    return found
