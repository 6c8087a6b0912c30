"""Write the dashboards, the table of values and the schema of the MetricsCluster into the chart (`make generate`)."""

from pathlib import Path

import yaml

from dashboards import resource, values
from dashboards.clusters import NODES, OVERVIEW
from dashboards.operators import OPERATORS
from dashboards.programs import AGENTS, STORES
from dashboards.workloads import CONTAINERS

CHART = Path(__file__).parents[1] / "metricscluster"
ALL = (OVERVIEW, NODES, CONTAINERS, STORES, AGENTS, OPERATORS)


def files() -> dict[Path, str]:
    """Path in the chart -> text."""
    made = {Path(f"files/dashboards/{dashboard.name}.json"): dashboard.json() for dashboard in ALL}
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    rows = values.table(values.values(text, yaml.safe_load(text)))
    made[Path("README.md")] = values.replaced((CHART / "README.md").read_text(encoding="utf-8"), rows)
    schema = Path("values.schema.json")
    return made | {schema: resource.replaced((CHART / schema).read_text(encoding="utf-8"))}


def main() -> None:
    """Write them."""
    for path, text in files().items():
        (CHART / path).parent.mkdir(exist_ok=True)
        (CHART / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
