"""Numbers of series: given again after a start, where nothing on disk speaks of them; never where anything does."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from chaos.library import RETENTION, Library
from metricwire.samples import Place, SeriesKey

PODS = 300  # that come at once: more than two chunks of a block


def pods(generation: int) -> list[SeriesKey]:
    return [SeriesKey(Place("c", "h", "container", f"{generation}-{n}"), "m") for n in range(PODS)]


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    one = Library(tmp_path / "data").open()
    yield one
    one.kill()


def test_pods_that_come_and_go_take_no_more_numbers_than_there_are(library: Library, loop: asyncio.AbstractEventLoop) -> None:
    """A series that stays has its number all the time, whatever the others have."""
    stays, sent = SeriesKey(Place("c", "h"), "m"), {}
    rng = random.Random(1)

    async def generation(number: int) -> None:
        samples = [(key, library.clock + 10 * n, rng.random()) for key in (stays, *pods(number)) for n in range(3)]
        await library.write(samples)
        sent.update({(key, at): value for key, at, value in samples})
        library.clock += RETENTION // 2
        await library.it.keep()
        if rng.random() < 0.8:
            await library.it.seal()
        if rng.random() < 0.3:
            names = [(n, library.it.key(n)) for n in library.it.registry.numbers().tolist()]
            await library.it.commits.rewrite(names)  # as it does by itself when there are more

    for number in range(40):
        loop.run_until_complete(generation(number))
        found = library.found()
        kept = {slot: value for slot, value in sent.items() if slot[1] >= library.clock - RETENTION + 1300}
        assert {slot: found.get(slot) for slot in kept} == kept
        assert found.items() <= sent.items(), "a value of another series"
        if rng.random() < 0.7:
            library.kill() if rng.random() < 0.5 else loop.run_until_complete(library.close())
            library.open()
    assert library.it.registry.given < 40 * PODS / 2
    assert np.isin(library.it.registry.numbers(), np.arange(library.it.registry.given)).all()
