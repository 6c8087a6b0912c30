"""Write what is made from code (`make generate`): the chart's CRD and rights, the reference of the resource."""

from pathlib import Path

import yaml

from metricsoperator.crd import definition
from metricsoperator.kinds import rules
from metricsoperator.reference import page

_NOTE = "# Made from operator/metricsoperator/spec.py by `make generate`; do not edit.\n"
_RIGHTS_NOTE = "# The operator's rights, made from operator/metricsoperator/kinds.py by `make generate`; do not edit.\n"


def files() -> dict[str, str]:
    """Path from the root of the repository -> text."""
    crd = yaml.safe_dump(definition(), sort_keys=False, width=128, allow_unicode=True)
    return {
        "charts/metricscluster/files/crd.yaml": _NOTE + crd,
        "charts/metricscluster/files/rules.yaml": _RIGHTS_NOTE + yaml.safe_dump(rules(), sort_keys=False),
        "docs/reference-metricscluster.md": page(),
    }


def main() -> None:
    """Write them."""
    for path, text in files().items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
