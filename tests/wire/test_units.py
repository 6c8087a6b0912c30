from decimal import Decimal

import pytest

from metricwire.errors import BadInput
from metricwire.units import amount, quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        ("16Mi", "16777216"),
        ("1.5Gi", "1610612736"),
        ("1Ei", "1152921504606846976"),
        ("2E", "2000000000000000000"),
        ("1Pi", "1125899906842624"),
        ("10e9", "10000000000"),
        ("1E3", "1000"),
        ("12e-3", "0.012"),
        ("100m", "0.1"),
        ("250u", "0.00025"),
        ("1n", "0.000000001"),
        (".5", "0.5"),
        ("1.", "1"),
        ("9223372036854775807", "9223372036854775807"),
    ],
)
def test_every_form_of_the_api_server_is_read(text: str, value: str) -> None:
    assert amount(text) == Decimal(value)
    assert quantity(text) == int(Decimal(value))


@pytest.mark.parametrize(
    "text", ["", "Mi", "1GiB", "1e", "1ee", "1e400", "-1", "1 Gi", "1Gi\n", ".", "1.2.3", "1e3Gi", "nan", "1K"]
)
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(BadInput, match="cannot read quantity"):
        amount(text)
