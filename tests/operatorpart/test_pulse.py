import asyncio

from metricsoperator.apply import Answer, Cluster
from metricsoperator.pulse import LONGEST, Pulse


def test_silence_is_seen_but_not_rest() -> None:
    now = [0.0]
    pulse = Pulse(lambda: now[0])
    pulse.beat("lister")
    pulse.beat("worker")
    pulse.rest("worker")
    now[0] = LONGEST
    assert pulse.silent() == {}
    now[0] = LONGEST + 1
    assert pulse.silent() == {"lister": LONGEST + 1}
    pulse.beat("lister")
    assert pulse.silent() == {}


def test_slow_answers_are_no_silence() -> None:
    """Of many requests in one turn, each of which takes a while; who asks nothing is silent as before."""
    now = [0.0]
    pulse = Pulse(lambda: now[0])

    def slowly(*_: object) -> Answer:
        now[0] += LONGEST - 1
        return Answer(200, b'{"items": []}')

    cluster = Cluster(slowly, count=lambda *_: pulse.answered())

    async def look(loop: str) -> None:
        pulse.beat(loop)
        for _ in range(3):
            await cluster.list("Service", "", "")
            assert loop not in pulse.silent()

    async def hang() -> None:
        pulse.beat("stuck")

    async def play() -> None:
        await asyncio.gather(hang(), look("lister"), look("worker"))
        assert pulse.silent().keys() == {"stuck"}
        pulse.rest("lister")
        for _ in range(2):
            await cluster.list("Service", "", "")
        assert pulse.silent().keys() == {"stuck", "worker"}

    asyncio.run(play())
