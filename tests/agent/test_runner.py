"""One failing collector: the others go on, the metrics show it, the log says it once."""

import pytest
from prometheus_client import CollectorRegistry

from metricagent.collector import Reading, Runner


class Flaky:
    def __init__(self) -> None:
        self.error: Exception | None = None

    def collect(self, _: float) -> list[Reading]:
        if self.error:
            raise self.error
        return [Reading("uptime", 1.0)]


def test_a_failure_is_isolated_counted_and_said_once(registry: CollectorRegistry, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    good, flaky = Flaky(), Flaky()
    runner = Runner({"flaky": flaky, "good": good}, registry)

    def success(name: str) -> float | None:
        return registry.get_sample_value("metricagent_collector_success", {"collector": name})

    assert len(runner.run(0)) == 2
    flaky.error = ValueError("cannot parse x")
    assert [len(runner.run(0)) for _ in range(3)] == [1, 1, 1]
    assert (success("flaky"), success("good")) == (0, 1)
    flaky.error = None
    assert len(runner.run(0)) == 2
    assert success("flaky") == 1
    assert caplog.messages == ["collector flaky fails: ValueError: cannot parse x", "collector flaky works again"]
    duration = registry.get_sample_value("metricagent_collector_duration_seconds", {"collector": "good"})
    assert duration is not None
    assert 0 <= duration < 1
