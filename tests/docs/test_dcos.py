"""Every DC/OS datapoint of the catalogue is in docs/dcos.md, with its unit and our metric."""

from pathlib import Path

from metricwire.catalog import METRICS

TEXT = (Path(__file__).parents[2] / "docs" / "dcos.md").read_text()


def test_every_datapoint_is_documented() -> None:
    rows = [f"| `{metric.dcos}` | {metric.dcos_unit} | `{metric.name}` |" for metric in METRICS if metric.dcos]
    missing = [row for row in rows if row not in TEXT]
    assert not missing, "docs/dcos.md lacks:\n" + "\n".join(missing)


def test_no_datapoint_is_made_up() -> None:
    known = {metric.dcos for metric in METRICS if metric.dcos}
    told = {
        cells[1].strip("` ") for line in TEXT.splitlines() if len(cells := line.split("|")) > 5 and cells[1].startswith(" `")
    }
    assert told == known
