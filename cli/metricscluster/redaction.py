"""Secrets out of texts and objects, before these leave the machine. Pure.

What is blacked out: values that are known to be secret; what looks like a token, a private key, an NKEY seed or a password in
a URL; and the values of fields, settings, options and environment variables whose names say that they hold a password, a
token, a key. Names of Secrets and of files stay: they help, and open nothing.

Texts may be written by whoever wants to keep us busy. So each pattern takes a time that grows with the text and no faster:
what repeats is possessive or bounded, and a match takes all that was looked at for it.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from metricscluster.needles import Needles

GONE = "[redacted]"
LONGEST_JSON = 1024 * 1024  # characters of a string that is looked into as JSON
KEY_LINES = 400  # of a private key whose beginning is missing
_WORDS = (  # a class of first letters in front, by which the search skips what does not begin with one
    r"[PpSsTtCcAaDdEeMmLlRr](?i:(?<=p)(?:assw(?:or)?d|asswd|assphrase|asscode|wd|rivate[-_.]?key|assword[-_.]?(?:hash|value))"
    r"|(?<=s)(?:ecret|eed|ignature|igning[-_.]?key|hared[-_.]?key|ession[-_.]?id|ecret[-_.]?(?:id|value|data))"
    r"|(?<=t)oken(?:[-_.]?(?:hash|value|data))?|(?<=c)(?:redential|ookie|onnection[-_.]?string)|(?<=d)sn"
    r"|(?<=a)(?:uthorization|pi[-_.]?key|ccess[-_.]?key|ccount[-_.]?key)|(?<=e)ncryption[-_.]?key|(?<=m)aster[-_.]?key"
    r"|(?<=l)icense[-_.]?key|(?<=r)ole[-_.]?id)"
)
_NAME = re.compile(rf"{_WORDS}[Ss]?$")
_REFERENCES = frozenset({"credentialsSecret", "caSecret"})  # fields of ours with the name of a Secret
_PRIVATE = r"[A-Z0-9 ]{0,40}(?:PRIVATE KEY(?: BLOCK)?|NKEY SEED|USER JWT)-----"
_KEY = re.compile(rf"-----BEGIN {_PRIVATE}(?:(?!-{{5,8}}END)[\s\S]){{0,16384}}+(?:-{{5,8}}END [A-Z0-9 ]{{0,60}}-----)?")
_KEY_END = re.compile(rf"-{{5,8}}END {_PRIVATE}")
_KEY_LINE = re.compile(r"(?:\S{20,40}Z )?[A-Za-z0-9+/=]{1,80}\r?")
_PREFIXES = (
    r"gh[pousr]_|github_pat_|gl(?:pat|dt|rt|cbt|ptt|soat|ft|imt|agent)-|xox[a-z]-|xapp-|sk-|[sr]k_(?:live|test)_|whsec_|npm_|pypi-"
    r"|do[opr]_v1_|hf_|hv[sbr]\.|SG\.|dckr_[a-z]{2,5}_|AIza|ya29\.|AGE-SECRET-KEY-1|shp[a-z]{2}_|NRAK-|glsa_|ATATT"
)
_QUOTED = r"(?P<escape>\\*)(?P<quote>[\"'])(?:(?!(?<!\\)(?P=escape)(?P=quote)).)*+(?:(?P=escape)(?P=quote))?"
_BLOCK = r"[|>][-+0-9]{0,2}(?=[\s\\])[^\n]*+(?:\n[ \t]++[^\n]*+)*+"
_BARE = r"(?![{}\[\]()])(?:[^\s\"'\\]|\\++(?![\"']))++"
_PATTERNS = (
    (_KEY, GONE),
    (re.compile(r"(?<![A-Za-z])eyJ[A-Za-z0-9_+/=.-]{10,}+"), GONE),
    (re.compile(r"(?<![A-Z2-7])S[UAOCNX][A-Z2-7]{54,60}(?![A-Z2-7])"), GONE),
    (re.compile(rf"(?<![A-Za-z0-9])(?:{_PREFIXES})[A-Za-z0-9_.=-]{{10,}}+"), GONE),
    (re.compile(r"(?<![A-Z0-9])A(?:3T|KI|SI|GP|RO|ID|NP|NV|BI|CC)[A-Z0-9]{13,40}+"), GONE),
    (re.compile(r"(?<![a-z0-9.-])[a-z0-9]{6}\.[a-z0-9]{16}(?![a-z0-9.-])"), GONE),  # kubeadm's
    (re.compile(r"((?:hooks\.slack\.com|discord(?:app)?\.com/api/webhooks)/)[^\s\"'\\]++"), rf"\1{GONE}"),
    (re.compile(r"(://)(?:[^\s\"'/?#@\\<>]{1,256}|[^\s\"'/?#:\\<>]{0,100}:[^\s\"'\\<>]{0,256})@"), rf"\1{GONE}@"),
    (
        re.compile(r"([AaCc](?i:(?<=a)uthorization|(?<=c)ookie)\\*[\"']?\s{0,8}[=:]\s{0,8}(?:\\*[\"'])?)[^\"'\r\n\\]++"),
        rf"\1{GONE}",
    ),
    (re.compile(r"([Bb](?i:earer|asic)\s{1,8}+)[A-Za-z0-9._~+/=-]{8,}+"), rf"\1{GONE}"),
    (
        re.compile(
            rf"({_WORDS}[Ss]?\\*[\"']?\s*+(?:,\s{{0,8}}\\*[\"']?[Vv]alue\\*[\"']?\s{{0,8}})?(?:=>|:=|[=:])\s*+)"
            rf"(?:{_QUOTED}|{_BLOCK}|{_BARE})"
        ),
        rf"\1\g<escape>\g<quote>{GONE}\g<escape>\g<quote>",
    ),
    (
        re.compile(rf"((?<!-)--(?!-)[\w-]{{0,40}}?{_WORDS}[Ss]?[\"',\s]{{1,8}}+)(?![-=])[^\s\"',\\]++"),
        rf"\1{GONE}",
    ),
)
_RUN = re.compile(r"[A-Za-z0-9+/=_~.-]{20,}+")
_RANDOM = re.compile(r"[A-Za-z0-9]{20,}+")
_KINDS = (re.compile("[a-z]"), re.compile("[A-Z]"), re.compile("[0-9]"))


class Redactor:
    """Blacks out; `known` are values of Secrets."""

    def __init__(self, known: Iterable[bytes] = ()) -> None:
        self._known = Needles(known)

    def text(self, text: str) -> str:
        """The text without them."""
        text = self._known.replaced(text, GONE)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return _RUN.sub(_unless_random, _without_tails(text))

    def plain(self, found: Any, name: str = "") -> Any:
        """The JSON value without them; strings that are JSON themselves are looked into."""
        if isinstance(found, dict):
            return self._object(found)
        if isinstance(found, list):
            return [self.plain(one, name) for one in found]
        if not isinstance(found, str):
            return found
        if found and name not in _REFERENCES and _NAME.search(name):
            return GONE
        return self.json(found) if found[:1] in {"{", "["} else self.text(found)

    def json(self, text: str) -> str:
        """The same of JSON as a text; as of any text where it is none."""
        if len(text) > LONGEST_JSON:
            return self.text(text)
        try:
            return json.dumps(self.plain(json.loads(text)))
        except (ValueError, RecursionError):
            return self.text(text)

    def _object(self, found: dict[str, Any]) -> dict[str, Any]:
        if isinstance(found.get("name"), str) and isinstance(found.get("value"), str):  # an environment variable
            return {key: self.plain(value, found["name"] if key == "value" else key) for key, value in found.items()}
        return {self.text(key): self.plain(value, key) for key, value in found.items()}


def _unless_random(found: re.Match[str]) -> str:
    """What has twenty letters of both sizes and digits in a row is no word, but may be a key."""
    for run in _RANDOM.findall(found[0]):
        if all(kind.search(run) for kind in _KINDS):
            return GONE
    return found[0]


def _without_tails(text: str) -> str:
    """Without the last lines of private keys whose first ones are not there: a log may begin anywhere."""
    parts, at = [], 0
    for end in _KEY_END.finditer(text):
        begin = text.rfind("\n", at, end.start()) + 1 or at
        for _ in range(KEY_LINES):
            before = text.rfind("\n", at, max(at, begin - 1)) + 1 or at
            if begin <= at or not _KEY_LINE.fullmatch(text, before, begin - 1):
                break
            begin = before
        parts += [text[at:begin], GONE]
        at = end.end()
    return "".join([*parts, text[at:]])
