"""Write what is made from code (`make generate`): the chart's CRD and rights, the reference of the resource."""

from pathlib import Path

import yaml

from metricsoperator.crd import definition
from metricsoperator.kinds import Rule, cluster_rules, granted, rules
from metricsoperator.reference import page
from metricwire.catalog import page as catalog

_NOTE = "# Made from operator/metricsoperator/spec.py by `make generate`; do not edit.\n"
_RIGHTS_NOTE = "# Made from operator/metricsoperator/kinds.py by `make generate`; do not edit.\n"


def files() -> dict[str, str]:
    """Path from the root of the repository -> text."""
    crd = yaml.safe_dump(definition(), sort_keys=False, width=128, allow_unicode=True)
    return {
        "charts/metricscluster/files/crd.yaml": _NOTE + crd,
        "charts/metricscluster/files/rules.yaml": _rights(rules()),
        "charts/metricscluster/files/cluster-rules.yaml": _rights(cluster_rules()),
        **{f"charts/metricscluster/files/{right}-rules.yaml": _rights(rules) for right, rules in granted().items()},
        "docs/reference-metricscluster.md": page(),
        "docs/metrics.md": catalog.page(),
    }


def _rights(rules: list[Rule]) -> str:
    return _RIGHTS_NOTE + yaml.safe_dump(rules, sort_keys=False)


def main() -> None:
    """Write them."""
    for path, text in files().items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
