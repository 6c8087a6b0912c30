"""A program `kubectl` in a folder of its own, for what a real cluster does not do when it is told to: fail.

`objects`: kind -> items, which `get` gives, narrowed by namespace, name and labels. `failures`: what the arguments begin
with -> what is said on standard error. `logs`: pod -> text. `ports`: a pod's port -> one of this machine. `conflicts`: how many
patches fail since somebody else was quicker.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

PROGRAM = r"""#!{python} -SE
import json, os, signal, sys
here = os.path.dirname(os.path.abspath(__file__))
said = json.load(open(os.path.join(here, "said.json")))
words = [word for word in sys.argv[1:]]
with open(os.path.join(here, "calls"), "a") as calls:
    calls.write(json.dumps(words) + "\n")
plain, namespace, everywhere, labels, skip = [], "default", False, [], False
for at, word in enumerate(words):
    if skip:
        skip = False
    elif word == "-n":
        namespace, skip = words[at + 1], True
    elif word == "-l":
        labels, skip = [tuple(one.split("=")) for one in words[at + 1].split(",")], True
    elif word == "-p":
        patch, skip = json.loads(words[at + 1]), True
    elif word in ("-o", "-c"):
        skip = True
    elif word == "-A":
        everywhere = True
    elif not word.startswith("-"):
        plain.append(word)
line = " ".join(plain)
for start, text in said["failures"].items():
    if line.startswith(start):
        sys.exit(text)
if plain[0] == "get":
    kinds = [kind.partition(".")[0] for kind in plain[1].split(",")]
    if any("get " + kind in said["failures"] for kind in kinds):
        sys.exit("Error from server (Forbidden): one of them is forbidden")
    items = [one for kind in kinds for one in said["objects"].get("secrets" if kind == "secret" else kind, [])]
    def fits(one):
        found = one["metadata"]
        inside = everywhere or found.get("namespace", namespace) == namespace
        return inside and all(found.get("labels", {}).get(key) == value for key, value in labels)
    items = [one for one in items if fits(one)]
    if "json" not in words:
        print("\n".join(one["metadata"]["name"] for one in items))
    elif len(plain) > 2:
        items = [one for one in items if one["metadata"]["name"] == plain[2]]
        if not items:
            sys.exit('Error from server (NotFound): %s "%s" not found' % (plain[1], plain[2]))
        print(json.dumps(items[0]))
    else:
        print(json.dumps({"kind": "List", "items": items}))
elif plain[0] == "patch":
    def merge(found, patch):
        for key, value in patch.items():
            if isinstance(value, dict):
                merge(found[key], value)
            elif isinstance(value, list):
                there = found.setdefault(key, [])
                for item in value:
                    same = next((other for other in there if other["name"] == item["name"]), None)
                    merge(same, item) if same else there.append(item)
            else:
                found[key] = value
    assert "--type=strategic" in words
    [found] = [
        one for one in said["objects"][plain[1].partition(".")[0]]
        if (one["metadata"]["namespace"], one["metadata"]["name"]) == (namespace, plain[2])
    ]
    said["conflicts"] -= 1
    conflict = said["conflicts"] >= 0 or patch["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]
    if not conflict:
        merge(found, patch)
        found["metadata"]["resourceVersion"] += "1"
    with open(os.path.join(here, "said.json"), "w") as file:
        json.dump(said, file)
    if conflict:
        sys.exit('Error from server (Conflict): Operation cannot be fulfilled on %s "%s": modified' % (plain[1], plain[2]))
    print("%s/%s" % (plain[1], plain[2]))
elif plain[0] == "logs":
    text = said["logs"].get(plain[1] + (" previous" if "--previous" in words else ""))
    if text is None:
        sys.exit("Error from server (BadRequest): container is waiting to start")
    print(text, end="")
elif plain[0] == "version":
    print("Client Version: v1.34.4")
elif plain[0] == "create":
    print(said["token"])
elif plain[0] == "port-forward":
    for port in plain[2:]:
        print("Forwarding from 127.0.0.1:%s -> %s" % (said["ports"][port[1:]], port[1:]), flush=True)
    signal.sigwait([signal.SIGTERM])
"""


class FakeKubectl:
    """The program; `answer` says what it does from now on."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        program = directory / "kubectl"
        program.write_text(PROGRAM.replace("{python}", sys.executable))
        program.chmod(0o755)
        self.answer()

    def answer(
        self,
        objects: dict[str, list[dict[str, Any]]] | None = None,
        *,
        failures: dict[str, str] | None = None,
        logs: dict[str, str] | None = None,
        ports: dict[str, int] | None = None,
        token: str = "",
        conflicts: int = 0,
    ) -> None:
        said: dict[str, Any] = {"objects": objects or {}, "failures": failures or {}, "logs": logs or {}, "ports": ports or {}}
        said |= {"token": token, "conflicts": conflicts}
        (self.directory / "said.json").write_text(json.dumps(said))
        (self.directory / "calls").write_text("")

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """What it has now."""
        found: list[dict[str, Any]] = json.loads((self.directory / "said.json").read_text())["objects"].get(kind, [])
        return found

    @property
    def path(self) -> str:
        """A PATH on which it is the first."""
        return f"{self.directory}{os.pathsep}{os.environ['PATH']}"

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.directory / "calls").read_text().splitlines()]


def manifest(kind: str, name: str, *, namespace: str = "monitoring", component: str = "", **more: Any) -> dict[str, Any]:
    """An object of MetricsCluster `fritz`."""
    labels = {"app.kubernetes.io/name": "metricscluster", "app.kubernetes.io/instance": "fritz"}
    labels |= {"app.kubernetes.io/component": component} if component else {}
    about = {
        "name": name,
        "namespace": namespace,
        "labels": labels,
        "creationTimestamp": "2026-11-21T12:00:00Z",
        "generation": 1,
    }
    return {"kind": kind, "metadata": about, "spec": {}, "status": {}} | more
