"""Lines that say what is going on, with the seconds since the beginning; printed at once."""

import time

_BEGUN = time.monotonic()


def say(text: str) -> None:
    """One line."""
    print(f"{time.monotonic() - _BEGUN:6.0f} s  {text}", flush=True)
