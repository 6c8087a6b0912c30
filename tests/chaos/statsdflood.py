"""A pod that sends all it can think of: `statsdflood.py ADDRESS PORT RATE SECONDS SEED`, once it reads a line; says how many.

Metrics begin with the sender's address, so that whoever shows them can be asked whose they are.
"""

import random
import socket
import sys
import time

PODS = {f"127.0.1.{at}": f"{at:064x}" for at in (1, 2)}  # containers by their pods' address
NAMES = 100_000
PREPARED = 20_000  # packets, sent over and over
BURST = 50  # packets between two looks at the clock
LARGEST = 65507  # bytes of a UDP packet
SIGNS = [b"|", b":", b"#", b"@", b",", b"\n", b"c", b"g", b"ms", b"1", b"-", b"e", b"a", b"\\", b"\xff", b"_e{", b"c:"]


def packet(rng: random.Random, me: bytes, others: list[bytes]) -> bytes:
    """One of those that come; three of five are as they should be."""
    drawn = rng.random()
    if drawn < 0.75:
        return _plain(rng, me, drawn)
    if drawn < 0.85:
        return b"%b.foreign:1|c|c:%b|#container_name:app,dd.internal.entity_id:uid-x" % (me, rng.choice(others))
    if drawn < 0.88:
        return b"%b.a:1|c|@0\n%b.b:1|c|@1e-300\n%b.c:inf|g\n%b.d:1|c" % (me, me, me, me)
    if drawn < 0.98:
        return rng.randbytes(rng.randrange(64)) if drawn < 0.92 else b"".join(rng.choices(SIGNS, k=rng.randrange(12)))
    if drawn < 0.99:
        return b""
    return b"x" * (LARGEST if rng.random() < 0.05 else rng.randrange(8000, 9000))


def _plain(rng: random.Random, me: bytes, drawn: float) -> bytes:
    """As clients send it, one in five of them of another name each time."""
    if drawn < 0.6:
        value, kind = rng.choice([(b"1", b"c"), (b"0.25:0.5:1e3", b"ms"), (b"-1", b"g"), (b"7", b"g"), (b"user-%d", b"s")])
        member = value % rng.randrange(10_000) if kind == b"s" else value
        return b"%b.m%d.%b:%b|%b|#k:%d,flag" % (me, rng.randrange(20), kind, member, kind, rng.randrange(5))
    return b"%b.n%d:1|c" % (me, rng.randrange(NAMES))


def flood(ip: str, port: int, rate: int, seconds: float, seed: int) -> int:
    """Send; how many."""
    rng = random.Random(f"{seed} {ip}")
    others = [container.encode() for address, container in PODS.items() if address != ip]
    packets = [packet(rng, f"from.{ip}".encode(), others) for _ in range(PREPARED)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((ip, 0))
        sender.connect(("127.0.0.1", port))
        print("ready", flush=True)
        sys.stdin.readline()
        sent, begun = 0, time.monotonic()
        while (passed := time.monotonic() - begun) < seconds:
            if sent > rate * passed:
                time.sleep(0.001)
                continue
            start = sent % PREPARED
            for one in packets[start : start + BURST]:
                sender.send(one)
            sent += BURST
    return sent


if __name__ == "__main__":
    address, *numbers = sys.argv[1:]
    print(flood(address, *map(int, numbers)))
