"""Entries of users: what is taken, what is named and left out, and that no secret is shown."""

import itertools
import json
from typing import Any

import pytest

from metricwire.errors import BadInput
from metricwire.tokens import NODE_METRICS, SUPERUSER
from metricwire.users import Cost, check_uid, entry, new_password, nobodys, read, read_password
from rsapairs import OURS

CHEAP = Cost(14, 1)
KEPT = new_password("correct horse", CHEAP)
PUBLIC = OURS[1]
# The second vector of RFC 7914, section 12, in this form: too weak to be taken, so that its parts are put in by hand.
RFC_7914 = bytes.fromhex(
    "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
    "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640"
)


def test_the_hash_is_scrypt() -> None:
    assert Cost(10, 16).hash("password", b"NaCl", 64) == RFC_7914


def test_a_password_is_kept_and_recognised() -> None:
    found = read_password(str(KEPT))
    assert found == KEPT
    assert [found.matches(text) for text in ("correct horse", "correct hors", "", "Correct horse")] == [
        True,
        False,
        False,
        False,
    ]
    assert not nobodys(CHEAP).matches("correct horse")
    assert new_password("correct horse", CHEAP) != KEPT, "salted"
    assert str(KEPT).partition("p=1$")[2] not in repr(KEPT)


def test_what_is_typed_counts_in_one_form_of_unicode() -> None:
    assert new_password("caf\u00e9 caf\u00e9", CHEAP).matches("cafe\u0301 cafe\u0301")


def test_entries_are_read_as_they_are_written() -> None:
    texts = [entry("alice@x.org", [NODE_METRICS], password=KEPT), entry("poller", [SUPERUSER], public_key=PUBLIC)]
    users, wrong = read(b"[" + b",".join(texts) + b"]", "f")
    assert wrong == []
    assert [(user.uid, user.permissions, user.password, user.key is not None) for user in users] == [
        ("alice@x.org", {NODE_METRICS}, KEPT, False),
        ("poller", {SUPERUSER}, None, True),
    ]


def changed(**more: Any) -> bytes:
    fields = {"uid": "alice", "permissions": [NODE_METRICS], "password": str(KEPT)} | more
    return json.dumps({name.replace("_", "-"): value for name, value in fields.items() if value is not None}).encode()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"canary",
        b'"canary"',
        b"\xff",
        b"[" * 100_000,
        changed(uid=None),
        changed(uid="can ary"),
        changed(uid="x\n"),
        changed(uid="x" * 129),
        changed(uid=["canary"]),
        changed(permissions=None),
        changed(permissions=["canary"]),
        changed(permissions=["canary\n - at `$`"]),
        changed(permissions="canary"),
        changed(canary=1),
        changed(password=None),
        changed(password=["canary"]),
        changed(public_key=PUBLIC),
        changed(password="", public_key="canary"),
        *(
            changed(password=text)
            for text in (
                "canary",
                str(KEPT) + "\n",
                str(KEPT)[:-1] + "!",
                str(KEPT).replace("ln=14", "ln=13"),
                str(KEPT).replace("ln=14", "ln=18"),
                str(KEPT).replace("p=1", "p=0"),
                str(KEPT).replace("p=1", "p=17"),
                str(KEPT).replace("r=8", "r=1"),
                str(KEPT).replace("ln=14,r=8,p=1$", "ln=14,r=8,p=1$A"),
            )
        ),
    ],
    ids=itertools.count(),
)
def test_what_cannot_be_used_is_named_without_showing_it(text: bytes) -> None:
    users, wrong = read(text, "the file")
    if users:  # a salt of one more sign may be a salt
        assert users[0].password != KEPT
        return
    assert len(wrong) == 1
    assert wrong[0].startswith("cannot use the file")
    assert "canary" not in wrong[0]
    assert len(wrong[0]) < 300
    assert wrong[0].isprintable()


def test_a_bad_entry_of_several_is_left_out() -> None:
    users, wrong = read(b"[" + changed() + b", 1, " + changed(uid="bob") + b"]", "f")
    assert [user.uid for user in users] == ["alice", "bob"]
    assert [text.partition(":")[0] for text in wrong] == ["cannot use entry 2 of f"]


@pytest.mark.parametrize("uid", ["", "a b", "a\n", "a/b", "\u00e9", "x" * 129])
def test_a_uid_that_nobody_can_have_is_refused(uid: str) -> None:
    with pytest.raises(BadInput, match="cannot use the uid"):
        check_uid(uid)
    with pytest.raises(BadInput):
        entry(uid, [], password=KEPT)
