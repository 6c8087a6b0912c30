"""Who may log in as on DC/OS, and the keys that their tokens are signed with: files, read again when they change."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from metricstore.settings import Login
from metricwire.errors import SettingsError
from metricwire.tokens import LoginKey, login_key
from metricwire.users import COST, Cost, Password, User, nobodys, read
from metricwire.watched import Watched

logger = logging.getLogger(__name__)

FILES = 10_000  # with users, at most
LARGEST = 1024 * 1024  # bytes of a file: what a Secret may have


class Accounts:
    """Users by uid, keys by key id. SettingsError when there is no key to sign with, or one that is too small."""

    def __init__(self, settings: Login, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = Path(settings.users)
        self._watched_keys = Watched(
            lambda: settings.key_files, read=read_file, make=lambda _, text: login_key(text), clock=clock, logger=logger
        )
        self._watched_users = Watched(self._files, read=read_file, make=_users, clock=clock, logger=logger)
        self._keys: dict[str, LoginKey] = {}
        self._users: dict[str, User] = {}
        self._versions = (0, 0)
        if not self._watched_keys.demand(missing_is_fine=True):  # one may be the place of a key that comes, or went
            raise SettingsError("cannot offer logins: none of the files in metric-store.login.key-files exists")
        self.user("")  # what is wrong with the files is said now, not at the first login

    @property
    def version(self) -> int:
        """Another one when the keys have changed."""
        return self._watched_keys.version

    def keys(self) -> Mapping[str, LoginKey]:
        """The keys that tokens may be signed with."""
        found = self._watched_keys.values()
        if self._versions[0] != self._watched_keys.version:
            self._keys = {key.id: key for key in found}
            self._versions = (self._watched_keys.version, self._versions[1])
        return self._keys

    def signing_key(self) -> LoginKey | None:
        """The key that signs: the first."""
        return next(iter(self.keys().values()), None)

    def user(self, uid: str) -> User | None:
        """Who that is."""
        found = self._watched_users.values()
        if self._versions[1] != self._watched_users.version:
            self._users = _by_uid(found)
            self._versions = (self._versions[0], self._watched_users.version)
            self._nobodys = _nobodys(self._users.values())
            logger.info("%d users may log in", len(self._users))
        return self._users.get(uid)

    def nobodys_password(self, uid: str) -> Password:
        """What the password of somebody unknown is compared with: it takes as long as a user's, and always the same."""
        return self._nobodys[hash(uid) % len(self._nobodys)]  # str hashes are keyed anew in each process

    def _files(self) -> Iterable[str]:
        """The file, or those of the folder; a mounted Secret has others of its own, which begin with a dot."""
        try:
            if not self._folder.is_dir():
                return [str(self._folder)]
            return sorted(str(path) for path in self._folder.iterdir() if not path.name.startswith(".") and path.is_file())[
                :FILES
            ]
        except OSError as error:
            logger.warning("cannot read the users in %s: %s", self._folder, error.strerror)
            return []


def read_file(name: str) -> bytes:
    """The file, or so much of it that it is seen to be too large."""
    with Path(name).open("rb") as file:
        return file.read(LARGEST + 1)


def _users(name: str, text: bytes) -> list[User]:
    if len(text) > LARGEST:
        raise SettingsError(f"cannot use it: larger than {LARGEST} bytes")
    users, wrong = read(text, name)
    for reason in wrong:
        logger.warning("%s; it is left out", reason)
    return users


def _by_uid(found: Iterable[list[User]]) -> dict[str, User]:
    """The users; of two with the same uid the first counts."""
    users: dict[str, User] = {}
    for user in (user for users_of_file in found for user in users_of_file):
        if user.uid in users:
            logger.warning("user %s is there twice: only the first entry counts", user.uid)
        users.setdefault(user.uid, user)
    return users


def _nobodys(users: Iterable[User]) -> list[Password]:
    """One for each cost that passwords have, as often as they have it: an unknown uid then takes as long as some user."""
    costs: list[Cost] = [user.password.cost for user in users if user.password] or [COST]
    made = {cost: nobodys(cost) for cost in costs}
    return [made[cost] for cost in costs]
