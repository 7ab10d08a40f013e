"""Full-jitter backoff: how long to wait before trying again."""


def delay(failures: int, unit: float, base_s: float, cap_s: float) -> float:
    """Seconds to wait after so many failures in a row (1 or more).

    unit is a random number in [0, 1) from the caller. Full jitter spreads devices that lost the hub together
    (Brooker, "Exponential Backoff and Jitter").
    """
    # The exponent is bounded: 2 ** 1000 seconds helps nobody and overflows a board's float.
    return unit * min(cap_s, base_s * float(2 ** min(max(failures, 1) - 1, 16)))
