"""Prometheus' own judgement of expressions and rules: `promtool`, of the Debian package prometheus."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

needed = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (Debian package prometheus) is not on PATH")


def promtool(*arguments: str | Path) -> str:
    """What it prints; it must be content."""
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refusal(*arguments: str | Path) -> str:
    """What it prints when it is not content."""
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr


def names(expression: str) -> set[str]:
    """The metrics of an expression."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", " ", bare)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    words = re.findall(r"(?<![\w.])([a-zA-Z_:][\w:]*)\b(?!\s*\()", bare)
    return set(words) - {"and", "or", "unless", "offset", "bool", "by", "without", "on", "group_left", "group_right"}
