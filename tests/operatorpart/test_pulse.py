from metricsoperator.pulse import LONGEST, Pulse


def test_silence_is_seen_but_not_rest() -> None:
    now = [0.0]
    pulse = Pulse(lambda: now[0])
    pulse.beat("lister")
    pulse.beat("worker")
    pulse.rest("worker")
    now[0] = LONGEST
    assert pulse.silent() == {}
    now[0] = LONGEST + 1
    assert pulse.silent() == {"lister": LONGEST + 1}
    pulse.beat("lister")
    assert pulse.silent() == {}
