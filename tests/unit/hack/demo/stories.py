"""Stories as acts record them, made up: what a second of a load and a look are."""

from hack.demo.story import Change, Look, Second, Story

TARGET_MS = 300
ALLOWED_S = 10.0
CHANGED_S = 12.0


def second(at_s, *, ok=100, p99_ms=100.0, failed=0, accuracy=0.97, asked=100, waiting=0):
    """Return one second of a load."""
    return Second(at_s, asked, ok, failed, waiting, p99_ms, p99_ms, accuracy)


def rescued():
    """Return act 1: latency grows until second 12, falls, and is in time from second 16 on."""
    late = {at: 100.0 + 250 * at for at in range(1, 13)} | {13: 2000.0, 14: 1200.0, 15: 600.0}
    seconds = tuple(
        second(
            float(at),
            p99_ms=late.get(at, 120.0),
            ok=75 if at <= 12 else 180 if at <= 15 else 100,
            waiting=25 * at if at <= 12 else 0,
        )
        for at in range(1, 31)
    )
    looks = tuple(
        Look(float(at), {"maxBatchSize": 2 if at <= 12 else 16}, 0.9 * at) for at in range(31)
    )
    return Story(seconds, looks, (Change(CHANGED_S, "LiveCap", "Overloaded"),), ALLOWED_S)


def spared():
    """Return act 2: half of the device's time until second 12, a fifth of it from then on."""
    seconds = tuple(second(float(at), p99_ms=40.0 if at <= 12 else 240.0) for at in range(1, 31))
    used_s = [0.5 * min(at, 12) + 0.2 * max(0, at - 12) for at in range(31)]
    looks = tuple(
        Look(float(at), {"maxQueueDelayMicroseconds": 0 if at <= 12 else 200_000}, used_s[at])
        for at in range(31)
    )
    return Story(seconds, looks, (Change(CHANGED_S, "Reload", "SparesDevice"),), ALLOWED_S)


def staffed():
    """Return act 3: the slow one of three steps has two workers from second 12 on."""
    seconds = tuple(
        second(float(at), ok=6 if at <= 12 else 9, asked=8, waiting=20 if at <= 20 else 1)
        for at in range(1, 31)
    )
    looks = tuple(
        Look(float(at), {"detect": 1, "recognise": 1 if at <= 12 else 2, "join": 1}, None)
        for at in range(31)
    )
    return Story(seconds, looks, (Change(CHANGED_S, "", "LimitingStep"),), ALLOWED_S)
