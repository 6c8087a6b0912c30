"""The store as a program whose disk takes its time: `slowdisk.py SECONDS ...` adds so much to every sync."""

import sys
import time

from metricstore.__main__ import main
from metricstore.disk.files import Files

if __name__ == "__main__":
    seconds, sync = float(sys.argv[1]), Files.sync

    def slow(self: Files, file: int) -> None:
        time.sleep(seconds)
        sync(self, file)

    Files.sync = slow  # type: ignore[method-assign]
    sys.argv[1:] = sys.argv[2:]
    main()
