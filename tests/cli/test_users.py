"""`metricscluster user`: entries that a store takes, passwords that are nowhere but in people's heads."""

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from metricscluster.__main__ import main
from metricwire import users
from metricwire.tokens import NODE_METRICS, SUPERUSER, login_key, login_public_key, new_login_pair

SECRET = "correct horse"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(users, "new_password", partial(users.new_password, cost=users.Cost(14, 1)))

    def run(*arguments: str, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["metricscluster", "user", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        status = main()
        return status, *capsys.readouterr()

    return run


def test_an_entry_is_made_and_its_password_verified(run: Run, tmp_path: Path) -> None:
    status, entry, hint = run("add", "alice", typed=SECRET + "\n")
    assert status == 0
    assert SECRET not in entry + hint
    assert "kubectl create secret generic" in hint
    [alice], wrong = users.read(entry.encode(), "x")
    assert (alice.uid, alice.permissions, wrong) == ("alice", {NODE_METRICS}, [])
    folder = tmp_path / "users"
    folder.mkdir()
    (folder / "alice.json").write_text(entry)
    (folder / "..data").mkdir()
    assert run("verify", "users") == (0, f"alice  password  {NODE_METRICS}\n", "")
    assert run("verify", "users", "--uid", "alice", typed=SECRET + "\r\n") == (0, "the password is right\n", "")
    assert run("verify", "users", "--uid", "alice", typed=SECRET + "s\n") == (1, "the password is wrong\n", "")
    assert run("verify", "users", "--uid", "bob")[0] == 2


def test_a_service_account_has_a_key_of_its_own(run: Run, tmp_path: Path) -> None:
    status, entry, hint = run("add", "poller", "--service-account", "--permission", SUPERUSER)
    assert status == 0
    key = tmp_path / "poller.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert "poller.key is the service account's private key" in hint
    public = json.loads(entry)["public-key"]
    assert login_key(key.read_bytes()).id == login_public_key(public.encode()).id
    assert run("add", "poller", "--service-account") == (2, "", "cannot write poller.key: File exists\n")
    (tmp_path / "public.pem").write_text(public)
    status, again, _ = run("add", "poller", "--public-key", "public.pem", "--permission", SUPERUSER)
    assert (status, again) == (0, entry)


def test_an_entry_is_written_whole_or_not_at_all(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "users"
    folder.mkdir()
    status, out, hint = run("add", "alice", "--directory", "users", typed=SECRET)
    assert (status, out) == (0, "")
    first, second = hint.splitlines()
    assert first.startswith("users/alice.json is the entry; ")
    assert "--from-file=users/ " in second
    entry = folder / "alice.json"
    assert entry.stat().st_mode & 0o777 == 0o600
    before = entry.read_bytes()
    assert run("add", "alice", "--directory", "users", typed="short")[0] == 2
    assert entry.read_bytes() == before
    assert run("add", "alice", "--directory", "users", "--permission", SUPERUSER, typed=SECRET)[0] == 0
    assert run("verify", "users") == (0, f"alice  password  {SUPERUSER}\n", "")
    (folder / "bob.json").mkdir()
    assert run("add", "bob", "--directory", "users", typed=SECRET) == (2, "", "cannot write users/bob.json: Is a directory\n")
    assert sorted(path.name for path in folder.iterdir()) == ["alice.json", "bob.json"]


@pytest.mark.parametrize("uid", ["a@example.org", "a+b", ".alice", ".", ".."])
def test_a_file_that_no_secret_can_have_is_refused(run: Run, tmp_path: Path, uid: str) -> None:
    """Before a password is asked for, or a key made."""
    status, out, text = run("add", uid, "--service-account", "--directory", ".")
    assert (status, out) == (2, "")
    assert "a key of a Secret has letters, digits and" in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "typed", "error"),
    [
        (("add", "alice", "--service-account", "--directory", "gone"), "", "cannot write gone/alice.json: there is no folder"),
        (("add", "a b"), "", "cannot use the uid 'a b'"),
        (("add", "alice\n"), "", "cannot use the uid 'alice\\n'"),
        (("add", "alice"), "short\n", "cannot use the password: shorter than 8 characters"),
        (("add", "alice"), "", "cannot use the password: shorter"),
        (("add", "alice", "--public-key", "missing"), "", "cannot read missing: No such file"),
        (("verify", "missing"), "", "cannot read missing: No such file"),
    ],
)
def test_what_cannot_be_used_is_said(arguments: tuple[str, ...], typed: str, error: str, run: Run) -> None:
    status, out, text = run(*arguments, typed=typed)
    assert (status, out) == (2, "")
    assert text.startswith(error)


def test_entries_that_cannot_be_used_are_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(run("add", "alice", typed=SECRET)[1])
    (tmp_path / "b").write_text(run("add", "alice", typed=SECRET)[1])
    (tmp_path / "c").write_text('{"uid": "carol", "permissions": [], "password": "canary"}')
    (tmp_path / "d").write_text(new_login_pair()[0])
    status, out, text = run("verify", ".")
    assert (status, out) == (1, f"alice  password  {NODE_METRICS}\n")
    assert [line.split(":")[0] for line in text.splitlines()] == [
        "cannot use alice of b",
        "cannot use c (carol)",
        "cannot use d",
    ]
    assert "canary" not in text


def typed_at_a_terminal(*answers: str) -> tuple[int, str]:
    """The command at a terminal, where it asks; its status, and all that the terminal showed and standard output got."""
    controller, terminal = pty.openpty()
    text = "import os; os.setsid(); os.open(os.ttyname(0), os.O_RDWR); from metricscluster.__main__ import main; exit(main())"
    program = [sys.executable, "-c", text, "user", "add", "alice"]
    process: Any = subprocess.Popen(program, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    seen = b""
    for prompt, answer in zip((b"Password: ", b"Again: "), answers, strict=False):
        while not seen.endswith(prompt):
            seen += os.read(controller, 1)
        os.write(controller, answer.encode() + b"\n")
    while True:
        try:
            seen += os.read(controller, 1000)
        except OSError:  # its end
            break
    os.close(controller)
    return process.wait(), seen.decode()


@pytest.mark.parametrize(("again", "status"), [(SECRET, 0), ("another one", 2)])
def test_a_password_is_typed_twice_and_not_shown(again: str, status: int) -> None:
    found, seen = typed_at_a_terminal(SECRET, again)
    assert found == status, seen
    assert SECRET not in seen
    assert ("the two differ" in seen) == bool(status)
