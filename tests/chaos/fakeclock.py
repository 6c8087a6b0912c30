"""The store as a program whose clock can be set from outside: `fakeclock.py FILE ...`; FILE says how far it is off ("+10y").

libfaketime (Debian package faketime) stands between the program and the system's clock; the time that passes is left alone.
"""

import os
import sys
from pathlib import Path

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)

if __name__ == "__main__":
    assert LIBRARY is not None
    fake = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": sys.argv[1],
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    os.execve(sys.executable, [sys.executable, "-m", "metricstore", *sys.argv[2:]], os.environ | fake)
