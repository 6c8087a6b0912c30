"""What is between the agent and the store: said once, when it changes, and shown as metrics."""

import logging

from prometheus_client import CollectorRegistry, Counter, Gauge

from metricagent.answers import Decision, Later, Taken

logger = logging.getLogger(__name__)


class StoreState:
    """How deliveries went. `late` ones are of samples that have waited: a store may take the fresh ones alone."""

    def __init__(self, registry: CollectorRegistry, behind: bool) -> None:
        self._reached = Gauge("metricagent_store_reached", "Whether the store took the newest samples.", registry=registry)
        self._requests = Counter("metricagent_store_requests", "Requests to the store.", ["outcome"], registry=registry)
        self._bugs = Counter("metricagent_push_bugs", "Deliveries ended by an error nobody thought of.", registry=registry)
        self._trouble: str | None = "not tried yet"
        self._trouble_with_late: str | None = None
        self._behind = behind
        self._delivered = 0
        self._refusing = False

    def answered(self, decision: Decision, late: bool = False) -> None:
        """An attempt has come to an end, with or without an answer."""
        self._requests.labels(type(decision).__name__.lower()).inc()
        if isinstance(decision, Later):
            self._no_late(decision) if late else self._away(decision)
        elif isinstance(decision, Taken):
            self._here(decision, late)

    def broken(self, error: Exception, late: bool = False) -> Later:
        """An attempt has ended in `error`, which is a bug of ours: what to do is to try again, and to tell people."""
        self._bugs.inc()
        self._behind = True
        if late:
            self._trouble_with_late = "bug"
        else:
            self._reached.set(0)
            self._trouble = "bug"
        logger.error("BUG: cannot deliver samples: %r; keeping them in the spool", error, exc_info=error)
        return Later("bug", f"cannot deliver samples: {error!r}")

    def delivered(self, batches: int) -> None:
        """The store has these batches."""
        self._delivered += batches if self._behind else 0

    def caught_up(self) -> None:
        """Nothing waits any more."""
        if self._behind:
            logger.info("caught up: %d batches delivered", self._delivered)
        self._behind, self._delivered = False, 0

    def _away(self, later: Later) -> None:
        self._reached.set(0)
        self._behind = True
        if self._trouble != later.kind:
            logger.warning("store away: %s; keeping samples in the spool", later.reason)
        self._trouble = later.kind

    def _no_late(self, later: Later) -> None:
        self._behind = True
        if self._trouble is None and self._trouble_with_late != later.kind:
            logger.warning("store takes no late samples: %s; keeping them in the spool", later.reason)
        self._trouble_with_late = later.kind

    def _here(self, taken: Taken, late: bool) -> None:
        if late:
            self._trouble_with_late = None
        else:
            self._reached.set(1)
            if self._trouble is not None:
                logger.info("store reached")
            self._trouble = None
        if taken.rejected and not self._refusing:
            logger.warning("store refuses %d samples: %s", taken.rejected, "; ".join(taken.reasons))
        self._refusing = bool(taken.rejected)
