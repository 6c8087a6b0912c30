"""Server-side apply takes YAML: JSON, but for some characters of strings."""

import json
import re
from typing import Any

_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")  # control characters, line breaks, what is no character


def yaml_text(value: Any) -> str:
    """The value as JSON that YAML reads alike.

    Nothing else is escaped: YAML has no pairs of escapes for what is beyond U+FFFF, which JSON in ASCII has (kubernetes' client
    writes that, and a single emoji in an annotation would be refused).
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
