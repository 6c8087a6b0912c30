"""Names that are not a workload's to give."""

import pytest

from metricwire.catalog import BY_NAME
from metricwire.exposition import family
from metricwire.reserved import SPREAD_ENDINGS, is_measured


@pytest.mark.parametrize(
    "name", ["disk_used", "disk.used", "disk used", "disk-used", "load_one", "scrape_up", "container_processes"]
)
def test_a_name_of_the_catalogue_is_measured_however_it_is_spelled(name: str) -> None:
    assert is_measured(name)


@pytest.mark.parametrize("name", ["orders", "disk_used_", "disk.used.max", "Disk_used", "files", "", "1"])
def test_others_are_free(name: str) -> None:
    assert not is_measured(name)


def test_what_timers_make_is_measured_too() -> None:
    assert is_measured("files", SPREAD_ENDINGS)
    assert not is_measured("load", SPREAD_ENDINGS)


def test_names_of_the_catalogue_are_as_prometheus_has_them() -> None:
    assert all(family(name) == name for name in BY_NAME)
