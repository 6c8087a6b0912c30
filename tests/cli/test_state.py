"""The folder of a local cluster, and its ports."""

import argparse
import os
import socket
from pathlib import Path

import pytest

from metricscluster.ports import HOST, LARGEST_OFFSET, PortInUse, Ports, offset
from metricscluster.state import LOG_SIZE, State, StateUnusable
from metricwire import tokens

NOW = 1_800_000_000.0


def open_state(directory: Path, cluster: str = "fritz") -> State:
    return State(directory, cluster, lambda: NOW)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / ".metricscluster"


def test_keys_and_tokens_are_made_once_and_for_the_owner_alone(folder: Path) -> None:
    state = open_state(folder)
    token = state.token.read_text()
    claims = tokens.verify(token.strip(), [tokens.public_key(state.public_key.read_text())], NOW)
    assert (claims.subject, claims.roles, claims.expires) == ("admin", frozenset({"admin"}), None)
    state.write_settings("store", {"a": 1})
    state.open_log("store").close()
    state.close()
    again = open_state(folder)
    assert again.token.read_text() == token
    again.close()
    modes = {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*"))}
    files = ["agent-token", "cluster", "lock", "private.key", "public.key", "store.json", "store.log", "token"]
    files += ["login-private.pem", "login-public.pem"]
    assert modes == dict.fromkeys([".metricscluster", "keys", "store", "users"], 0o700) | dict.fromkeys(files, 0o600)


def test_a_login_key_is_made_once_and_both_halves_fit(folder: Path) -> None:
    ids = set()
    for _ in range(2):
        state = open_state(folder)
        ids |= {tokens.login_key(state.login_key.read_bytes()).id}
        ids |= {tokens.login_public_key(state.login_public_key.read_bytes()).id}
        state.close()
    assert len(ids) == 1


@pytest.mark.parametrize("name", [".", "keys", "store"])
@pytest.mark.parametrize("mode", [0o777, 0o755, 0o1777, 0o710, 0o2770])
def test_a_folder_that_is_open_to_others_is_closed(folder: Path, name: str, mode: int) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name).chmod(mode)
    open_state(folder).close()
    assert (folder / name).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", [".", "keys", "store"])
def test_a_folder_of_somebody_else_that_is_open_to_others_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name).chmod(0o777)
    if name != ".":
        folder.chmod(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(StateUnusable) as raised:
        open_state(folder)
    assert str(raised.value) == (
        f"cannot use {folder / name}: it is open to others (mode 0777) and belongs to somebody else; "
        "another folder: --directory"
    )
    assert not (folder / "keys" / "private.key").exists()


def test_a_lost_token_is_made_again_of_the_same_keys(folder: Path) -> None:
    state = open_state(folder)
    key = state.public_key.read_text()
    state.token.unlink()
    state.agent_token.write_text("?")
    state.close()
    state = open_state(folder)
    assert state.public_key.read_text() == key
    for path in (state.token, state.agent_token):
        tokens.verify(path.read_text().strip(), [tokens.public_key(key)], NOW)
    state.close()


@pytest.mark.parametrize("name", ["private.key", "public.key"])
def test_broken_keys_are_named(folder: Path, name: str) -> None:
    open_state(folder).close()
    (folder / "keys" / name).write_text("?")
    (folder / "token").unlink()
    with pytest.raises(StateUnusable, match=r"keys: no Ed25519 pair in it; remove it to have a new one"):
        open_state(folder)


def test_the_folder_of_another_cluster(folder: Path) -> None:
    open_state(folder).close()
    with pytest.raises(StateUnusable) as raised:
        open_state(folder, "alex")
    assert str(raised.value) == (
        f"cannot use {folder}: it holds data of cluster fritz, not of alex; another folder: --directory"
    )
    open_state(folder).close()


def test_a_folder_in_use(folder: Path) -> None:
    state = open_state(folder)
    with pytest.raises(StateUnusable, match="another metricscluster up runs with it"):
        open_state(folder)
    state.close()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateUnusable, match=r"cannot write .*/file/x: Not a directory; another folder: --directory$"):
        open_state(tmp_path / "file" / "x")


def test_a_large_log_is_put_aside(folder: Path) -> None:
    state = open_state(folder)
    (folder / "agent.log").write_bytes(b"x" * (LOG_SIZE + 1))
    with state.open_log("agent") as log:
        log.write("new\n")
    assert (folder / "agent.log").read_text() == "new\n"
    assert (folder / "agent.log.1").stat().st_size == LOG_SIZE + 1
    state.close()


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        ports = Ports(port - 8082)
        with pytest.raises(PortInUse) as raised:
            ports.check()
    assert str(raised.value) == (
        f"cannot listen on 127.0.0.1:{port} for the store: Address already in use; "
        f"ss -ltnp 'sport = :{port}' shows who does, --port-offset {(ports.offset + 100) % LARGEST_OFFSET} uses other ports"
    )


@pytest.mark.parametrize("text", ["-1", "4445", "x", "", "1e3", "9" * 5000])
def test_an_offset_that_is_none_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected a number from 0 to 4444, got"):
        offset(text)


def test_keys_that_are_made_again_are_said(folder: Path) -> None:
    state = open_state(folder)
    assert not state.renewed_keys
    (folder / "keys" / "private.key").unlink()
    state.close()
    state = open_state(folder)
    assert state.renewed_keys
    state.close()
