"""python-can as this program loads it: `from agent.canlibrary import can`, also before cantools, which loads it as well.

Where asammdf is installed, python-can imports it for an MF4 reader that is not used here, and with it numpy and pandas: 0.6 s
and 80 MB in every process that listens to a bus. For as long as python-can is being imported there is no asammdf.
"""

import sys

if "can" in sys.modules:
    import can as can
else:
    _loaded = sys.modules.get("asammdf")
    sys.modules["asammdf"] = None  # type: ignore[assignment] # an import of it fails as if it were not installed
    try:
        import can as can
    finally:
        del sys.modules["asammdf"]
        if _loaded is not None:
            sys.modules["asammdf"] = _loaded
