"""Repeated measurements of one quantity as a results file has them."""

import statistics


def summary(samples):
    """{"median", "min", "max", "q1", "q3", "iqr", "samples"} of a list of seconds, quartiles by linear interpolation.
    """
    q1, median, q3 = statistics.quantiles(samples, method="inclusive") if len(samples) > 1 else samples * 3
    return {"median": median, "min": min(samples), "max": max(samples), "q1": q1, "q3": q3, "iqr": q3 - q1,
            "samples": samples}
