"""One turn of a MetricsCluster: steps that do not hold up each other, what they found out, and how it ended."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from metricsoperator.manifests.metadata import Manifest
from metricsoperator.needs import Need
from metricsoperator.objects import Away, NameTaken, Refused, Retry
from metricsoperator.reasons import Reason
from metricsoperator.state import KeysState
from metricsoperator.trouble import Trouble

RETRIES = 4  # in one turn, then it ends: more than there are objects of one kind, which one webhook may hold up
_TRUSTED = ("ServiceAccount", "Secret", "ConfigMap")  # what pods run with: somebody else's could make them do anything
_TERMINATING = "because it is being terminated"  # what the API server says of whatever is made in a namespace that goes


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a turn ended (`ready`, `unready`, `invalid`, `gone`), and after how many seconds the next is due anyway."""

    result: str
    again: float | None = None


@dataclass(slots=True)
class Turn:
    """What one turn found out on its way."""

    faults: list[Trouble] = field(default_factory=list)  # what was refused
    limits: list[Trouble] = field(default_factory=list)  # what cannot be had
    retry: Retry | None = None
    retries: int = 0
    claim: Manifest | None = None
    template: str = ""  # size of claims that the StatefulSet shall have; "": what the resource says
    keys: KeysState = field(default_factory=KeysState)
    waiting: bool = False  # agents for the store
    missing: list[tuple[Need, Trouble]] = field(default_factory=list)  # Secrets
    held: bool = False  # what runs, as new pods could not begin without them
    again: float | None = None
    foreign: bool = False  # what pods would run with is somebody else's
    hopeless: bool = False  # the namespace goes, and with it all that is ours, or the API server does not answer

    async def take(self, step: Callable[[], Awaitable[None]]) -> None:
        """One step, if there is hope; what is refused in it holds up no other."""
        if self.hopeless:
            return
        try:
            await step()
        except Refused as error:
            self.hopeless = self.hopeless or _TERMINATING in str(error)
            self.foreign = self.foreign or (isinstance(error, NameTaken) and error.kind in _TRUSTED)
            self.faults.append(Trouble(reason_of(error), str(error)))
        except Retry as error:
            self.retry = error
            self.retries += 1
            self.hopeless = self.hopeless or isinstance(error, Away) or self.retries >= RETRIES

    def due(self, seconds: float) -> None:
        """The next turn is due after so long, if none is sooner."""
        self.again = seconds if self.again is None else min(self.again, seconds)


def reason_of(error: Refused) -> Reason:
    """The reason of a refusal."""
    if isinstance(error, NameTaken):
        return Reason.NAME_TAKEN
    if "exceeded quota" in str(error):
        return Reason.QUOTA_EXCEEDED
    return Reason.FORBIDDEN if error.status == 403 else Reason.REFUSED
