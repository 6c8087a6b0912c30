"""What `helm test` does: write a sample, query it, see which nodes report, remove the sample.

Arguments: the store's URL, the files of an administrator's token and of the authority that signed the store's certificate
(may be missing: then the system's authorities count), how many seconds each step may take.
"""

import json
import pathlib
import ssl
import sys
import time
import urllib.error
import urllib.request

URL, TOKEN, AUTHORITY = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
SECONDS = float(sys.argv[4])
CLUSTER, HOST, METRIC = "helm-test", "helm-test", "helm_test"
VALUE = time.time() % 1000

context = ssl.create_default_context(cafile=str(AUTHORITY) if AUTHORITY.exists() else None)
handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
opener = urllib.request.build_opener(*handlers)


def ask(path, body=None):
    """The answer's text; an error names what was asked."""
    request = urllib.request.Request(
        URL + path, body and body.encode(), {"Authorization": f"Bearer {TOKEN.read_text().strip()}"}
    )
    try:
        with opener.open(request, timeout=15) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        raise OSError(f"{path}: {error.code} {error.read().decode()[:500]}") from error


def eventually(look, what):
    """What `look` finds, as soon as it finds something."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            if found := look():
                return found
            cause = "nothing found"
        except OSError as error:
            cause = error
        if time.monotonic() > end:
            sys.exit(f"cannot {what}: {cause}")
        time.sleep(1)


def written():
    """Whether the store has acknowledged a sample."""
    ask("/api/write", f"{METRIC},cluster={CLUSTER},hostname={HOST} value={VALUE!r} {NOW}\n")
    return True


def queried():
    """Whether a query answers it."""
    query = {"cluster": CLUSTER, "from": NOW - 60, "to": NOW + 60, "queries": [{"metric": METRIC, "host": HOST}]}
    return VALUE in json.loads(ask("/api/query", json.dumps(query)))["results"][0][0].get("data", ())


def nodes():
    """The names of the nodes whose agents deliver."""
    lines = ask("/metrics?metric=uptime").splitlines()
    return sorted({line.split('hostname="')[1].split('"')[0] for line in lines if line.startswith("uptime{")})


NOW = int(time.time())
eventually(written, f"write a sample to {URL}")
print("a sample was written and is on the store's disk")
eventually(queried, "query the sample that was written")
print("a query answered it")
found = eventually(nodes, "find a node whose agent delivers")
print(f"{len(found)} nodes report: {', '.join(found[:20])}{' ...' if len(found) > 20 else ''}")
ask(f"/api/free?to={NOW + 3600}", json.dumps([[CLUSTER, HOST]]))
print("the sample was removed; all is well")
