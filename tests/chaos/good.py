"""A client that does nothing wrong: `good.py PORT PAUSE` writes and reads until its standard input ends; says how it went.

Every request counts: one that is refused, cut off or not answered within 10 s is bad. Writes share a connection that stays,
reads have one each, so that both kinds of clients are here.
"""

import http.client
import json
import select
import sys
import time

TIMEOUT = 10.0


def main() -> None:
    port, pause = int(sys.argv[1]), float(sys.argv[2])
    seconds: list[float] = []
    bad: list[str] = []
    lasting = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    asked = {"cluster": "c", "queries": [{"metric": "m", "host": "good"}]}
    while not select.select([sys.stdin], [], [], pause)[0]:
        now = int(time.time())
        query = json.dumps(asked | {"from": now - 60, "to": now + 1})
        once = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        for connection, path, body in (
            (lasting, "/api/write", f"m,cluster=c,hostname=good value={len(seconds)} {now}"),
            (once, "/api/query", query),
        ):
            begun = time.monotonic()
            try:
                connection.request("POST", path, body)
                answer = connection.getresponse()
                answer.read()
                if answer.status // 100 != 2:
                    bad.append(f"{path}: {answer.status}")
            except (OSError, http.client.HTTPException) as error:
                bad.append(f"{path}: {type(error).__name__}: {error}")
                connection.close()
            seconds.append(time.monotonic() - begun)
        once.close()
        if len(seconds) == 2:
            print("begun", flush=True)
    seconds.sort()
    p99 = seconds[int(len(seconds) * 0.99)] if seconds else 0.0
    print(json.dumps({"requests": len(seconds), "bad": bad, "p99": p99, "slowest": max(seconds, default=0.0)}))


if __name__ == "__main__":
    main()
