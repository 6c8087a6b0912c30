import json

import pytest
import yaml

from metricsoperator.yamltext import yaml_text


@pytest.mark.parametrize(
    "text", ["plain", 'a "quoted" \\ one', "\x00\x1f\x7f\x85\x9f", "\u2028\u2029\ufeff\uffff", "é\U0001f600", "\n\t: - #"]
)
def test_yaml_and_json_read_the_same(text: str) -> None:
    made = yaml_text({"note": text})
    assert json.loads(made) == {"note": text}
    assert yaml.safe_load(made) == {"note": text}
    assert "\\ud83d" not in made
