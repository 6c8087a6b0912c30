"""Memory that is freed goes back. In a process of its own: there is no way back for this one."""

import subprocess
import sys

import pytest

from metricagent import allocator

PROGRAM = """
import os
from metricagent.allocator import be_frugal

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

assert be_frugal()
for _ in range(3):
    large = [bytearray(b"x" * 500_000) for _ in range(100)]
    most = resident()
    del large
print(most - resident())
"""


def test_large_blocks_go_back_to_the_system() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert int(done.stdout) > 49_000_000


def test_a_c_library_without_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not allocator.be_frugal()
