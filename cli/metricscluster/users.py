"""`metricscluster user add|verify`: entries of those who may log in as on DC/OS (docs/login.md).

A password is asked for, or read from the first line of standard input; it is never an argument, which others can see.
Exit status: 0 when all is well, 1 when an entry cannot be used or the password is another one, 2 for bad input.
"""

import argparse
import getpass
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from metricscluster.files import replace
from metricscluster.terminal import printable
from metricwire import users
from metricwire.errors import BadInput
from metricwire.tokens import NODE_METRICS, PERMISSIONS, new_login_pair, rsa_public_key

HELP = "make and check entries of users who may log in"
EXAMPLES = """
  metricscluster user add ada --permission dcos:superuser --directory users
  metricscluster user verify users
"""
SHORTEST = 8  # characters of a password
ADDED = """\
{made}{kept}; make or renew the Secret that spec.auth.loginUsers names with
  kubectl create secret generic SECRET --from-file={folder}/ --dry-run=client -o yaml | kubectl apply -f -"""
_FILE_NAME = re.compile(r"(?!\.)[-._a-zA-Z0-9]{1,253}")  # a key of a Secret may be; what begins with a dot is not read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of these commands."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")
    text = "make the entry of a new user, whose password is asked for, or of a service account"
    add = commands.add_parser("add", help=text, description=f"{text}. A password has {SHORTEST} characters or more.")
    add.add_argument("uid", metavar="NAME", help="letters, digits and . _ @ + -")
    add.add_argument(
        "--permission",
        action="append",
        choices=PERMISSIONS,
        help=f"what it opens; may be given again (default: {NODE_METRICS})",
    )
    add.add_argument(
        "--directory",
        type=Path,
        metavar="DIR",
        help="write it to DIR/NAME.json, in place of one that is there, instead of printing it",
    )
    add.add_argument("--service-account", action="store_true", help="with a key instead of a password")
    add.add_argument(
        "--public-key",
        type=Path,
        metavar="FILE",
        help="its public half, PEM; without, a pair is made: NAME.key is the private half",
    )
    text = "say which entries can be used; with --uid, whether a password is that user's"
    verify = commands.add_parser("verify", help=text, description=text)
    verify.add_argument("path", metavar="PATH", type=Path, help="a file with entries, or a folder of such files")
    verify.add_argument("--uid", metavar="NAME", help="whose password to ask for and compare")


def run(arguments: argparse.Namespace) -> int:
    """Do it; the exit status."""
    try:
        return {"add": _add, "verify": _verify}[arguments.action](arguments)
    except EOFError:
        print("stopped", file=sys.stderr)
        return 1


def _add(arguments: argparse.Namespace) -> int:
    uid, permissions = arguments.uid, set(arguments.permission or [NODE_METRICS])
    users.check_uid(uid)
    path = _entry_path(arguments.directory, uid) if arguments.directory else None
    made = ""
    if arguments.service_account or arguments.public_key:
        if arguments.public_key:
            public = _text(arguments.public_key)
            rsa_public_key(public.encode())
        else:
            private, public = new_login_pair()
            made = f"{_keep(Path(f'{uid}.key'), private)} is the service account's private key: nobody else needs it.\n"
        entry = users.entry(uid, permissions, public_key=public)
    else:
        entry = users.entry(uid, permissions, password=users.new_password(_new_password()))
    if path:
        try:
            replace(path, entry)
        except OSError as error:
            raise BadInput(f"cannot write {path}: {error.strerror}") from error
        kept, folder = f"{path} is the entry", path.parent
    else:
        sys.stdout.write(entry.decode())
        kept, folder = f"Keep one file a user in a folder, here users/{uid}.json", Path("users")
    print(ADDED.format(made=made, kept=printable(kept), folder=printable(str(folder))), file=sys.stderr)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    found: dict[str, users.User] = {}
    bad = 0
    for path in _files(arguments.path):
        of_file, wrong = users.read(_text(path).encode(), str(path))
        wrong += [f"cannot use {user.uid} of {path}: that uid is there already" for user in of_file if user.uid in found]
        for user in of_file:
            found.setdefault(user.uid, user)
        for reason in wrong:
            print(printable(reason), file=sys.stderr)
        bad += len(wrong)
    if arguments.uid is None:
        for user in found.values():
            kind = "password" if user.password else "service account"
            print(printable(f"{user.uid}  {kind}  {', '.join(sorted(user.permissions))}"))
        return 1 if bad else 0
    known = found.get(arguments.uid)
    if known is None or known.password is None:
        raise BadInput(f"cannot check {arguments.uid}: no entry with a password")
    fits = known.password.matches(_asked("Password: "))
    print("the password is right" if fits else "the password is wrong")
    return 0 if fits else 1


def _new_password() -> str:
    text = _asked("Password: ")
    if len(text) < SHORTEST:
        raise BadInput(f"cannot use the password: shorter than {SHORTEST} characters")
    if sys.stdin.isatty() and getpass.getpass("Again: ") != text:
        raise BadInput("cannot use the password: the two differ")
    return text


def _asked(prompt: str) -> str:
    """What is typed, unseen; where standard input is no terminal, its first line."""
    if sys.stdin.isatty():
        return getpass.getpass(prompt)
    return sys.stdin.readline().rstrip("\r\n")


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    yield from sorted(one for one in path.iterdir() if not one.name.startswith(".") and one.is_file())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise BadInput(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def _entry_path(directory: Path, uid: str) -> Path:
    """Where the entry will be. BadInput, before anything is asked or made, when it cannot be there."""
    path = directory / f"{uid}.json"
    if not _FILE_NAME.fullmatch(path.name):
        said = "a key of a Secret has letters, digits and - . _, and no dot in front"
        raise BadInput(f"cannot write {path}: {said}; without --directory, print it into a file of another name")
    if not directory.is_dir():
        raise BadInput(f"cannot write {path}: there is no folder {directory}")
    return path


def _keep(path: Path, text: str) -> Path:
    """A new file that its owner alone can read; what is there already stays."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
    return path
