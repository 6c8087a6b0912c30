"""What is looked up rather than run: the sizes of the images, and the operator of a cluster that KUBECONFIG points to."""

import json
import os
import shutil
import subprocess

from bench.rows import Row

BASES = ("docker.io/library/python:3.13-slim", "localhost/python:3.13-slim")
TARGETS = {"store": 180.0, "agent": 60.0, "operator": 180.0}  # MB over the base
UNITS = {"B": 1e-6, "KB": 1e-3, "MB": 1.0, "GB": 1e3}
PATIENCE = 30  # seconds for a command
_RESIDENT = "print(*[line.split()[1] for line in open('/proc/1/status') if line.startswith('VmRSS')])"


def _output(*command: str) -> str:
    """What a command prints. CalledProcessError when it fails."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout


def package(name: str) -> str:
    """Version of a Debian package; "of unknown version" where it is none."""
    try:
        return _output("dpkg-query", "-W", "-f", "${Version}", name)
    except (OSError, subprocess.SubprocessError):
        return "of unknown version"


def images() -> list[Row]:
    """Megabytes of each image over its base, as `make images` left them."""
    sizes, missing = _sizes()
    registry, tag = os.environ.get("REGISTRY", "localhost"), os.environ.get("TAG", "e2e")
    base = next((sizes[name] for name in (os.environ.get("BASE_IMAGE", ""), *BASES) if name in sizes), None)
    rows = []
    for part, target in TARGETS.items():
        size = sizes.get(f"{registry}/metricscluster-{part}:{tag}")
        over = size - base if size is not None and base is not None else None
        note = (
            f"whole {size:.0f} MB" if size is not None else missing or "not measured: the images are not built (`make images`)"
        )
        rows.append(Row(f"image of the {part} over its base", "MB", over, target, notes=(note,)))
    return rows


def _sizes() -> tuple[dict[str, float], str]:
    """Megabytes by image name, and why there are none."""
    if not shutil.which("buildah"):
        return {}, "not measured: buildah is not installed"
    found: dict[str, float] = {}
    for image in json.loads(_output("buildah", "images", "--json")):
        number, unit = image["size"].split()
        found |= {name: float(number) * UNITS[unit.upper()] for name in image["names"] or ()}
    return found, ""


def operator() -> list[Row]:
    """Resident memory of the operator where one runs."""
    resident, note = None, "not measured: no KUBECONFIG"
    if os.environ.get("KUBECONFIG"):
        try:
            pod = json.loads(
                _output("kubectl", "get", "pods", "-A", "-l", "app.kubernetes.io/component=operator", "-o", "json")
            )
            name, space = pod["items"][0]["metadata"]["name"], pod["items"][0]["metadata"]["namespace"]
            resident = int(_output("kubectl", "exec", "-n", space, name, "--", "python3", "-c", _RESIDENT)) / 1e3
            note = f"pod {space}/{name}"
        except (OSError, subprocess.SubprocessError, LookupError) as error:
            note = f"not measured: {error}"
    return [
        Row("operator, resident", "MB", resident, 120.0, notes=(note,)),
        Row("operator: children applied after a change", "s", None, 2.0, notes=("not measured here: tests/e2e does",)),
    ]
