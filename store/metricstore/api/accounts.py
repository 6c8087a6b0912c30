"""Who may log in as on DC/OS, and the keys that their tokens are signed with: files, read again when they change."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from metricstore.settings import Login
from metricwire.errors import SettingsError
from metricwire.tokens import RSA_BITS, LoginKey, login_key, nobodys_key
from metricwire.users import COST, Cost, Password, User, nobodys, read
from metricwire.watched import Watched

logger = logging.getLogger(__name__)

FILES = 10_000  # with users, at most
LARGEST = 1024 * 1024  # bytes of a file: what a Secret may have
FEW = 10  # entries left out that are named in the log; the others are counted


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
        self._keys_version = self._users_version = 0
        self._looking = False
        if not self._watched_keys.demand(missing_is_fine=True):  # one may be the place of a key that comes, or went
            raise SettingsError("cannot offer logins: none of the files in metric-store.login.key-files exists")
        self._look()  # what is wrong with the files is said now, not at the first login

    @property
    def version(self) -> int:
        """Another one when the keys have changed."""
        return self._watched_keys.version

    def keys(self) -> Mapping[str, LoginKey]:
        """The keys that tokens may be signed with."""
        found = self._watched_keys.values()
        if self._keys_version != self._watched_keys.version:
            self._keys = {key.id: key for key in found}
            self._keys_version = self._watched_keys.version
        return self._keys

    def signing_key(self) -> LoginKey | None:
        """The key that signs: the first."""
        return next(iter(self.keys().values()), None)

    async def look(self) -> None:
        """Read the users again if it is time, in a thread: that may take long. Others go by what was read before meanwhile."""
        if self._watched_users.due and not self._looking:
            self._looking = True
            try:
                await asyncio.to_thread(self._look)
            finally:
                self._looking = False

    def user(self, uid: str) -> User | None:
        """Who that is, as of the last look."""
        return self._users.get(uid)

    def _look(self) -> None:
        found = self._watched_users.values()
        if self._users_version != self._watched_users.version:
            users = _by_uid(found)
            self._nobodys, self._nobodys_keys = _nobodys(users.values()), _nobodys_keys(users.values())
            self._users = users
            self._users_version = self._watched_users.version
            logger.info("%d users may log in", len(users))

    def nobodys_password(self, uid: str) -> Password:
        """What the password of somebody unknown is compared with: it takes as long as a user's, and always the same."""
        return self._nobodys[hash(uid) % len(self._nobodys)]  # str hashes are keyed anew in each process

    def nobodys_key(self, uid: str) -> RSAPublicKey:
        """What the proof of somebody unknown is checked with: it takes as long as an account's, and always the same."""
        return self._nobodys_keys[hash(uid) % len(self._nobodys_keys)]

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
    for reason in wrong[:FEW]:
        logger.warning("%s; it is left out", reason)
    if len(wrong) > FEW:
        logger.warning("%s: %d more entries are left out", name, len(wrong) - FEW)
    return users


def _by_uid(found: Iterable[list[User]]) -> dict[str, User]:
    """The users; of two with the same uid the first counts."""
    users: dict[str, User] = {}
    twice = 0
    for user in (user for users_of_file in found for user in users_of_file):
        if users.setdefault(user.uid, user) is not user:
            twice += 1
            if twice <= FEW:
                logger.warning("user %s is there twice: only the first entry counts", user.uid)
    if twice > FEW:
        logger.warning("%d more users are there twice: only the first entries count", twice - FEW)
    return users


def _nobodys(users: Iterable[User]) -> list[Password]:
    """One for each cost that passwords have, as often as they have it: an unknown uid then takes as long as some user."""
    costs: list[Cost] = [user.password.cost for user in users if user.password] or [COST]
    made = {cost: nobodys(cost) for cost in costs}
    return [made[cost] for cost in costs]


def _nobodys_keys(users: Iterable[User]) -> list[RSAPublicKey]:
    """One for each size that accounts' keys have, as often as they have it."""
    sizes = [user.key.key_size for user in users if user.key] or [RSA_BITS]
    made = {size: nobodys_key(size) for size in sizes}
    return [made[size] for size in sizes]
