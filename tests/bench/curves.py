"""From measured points to what is compared: medians, the best of a curve, and a cost at a given recall."""

import math, statistics


def medians(rounds):
    """The points of several rounds over the same index, each with the medians of its figures."""
    points = {}
    for point in (point for points_of_round in rounds for point in points_of_round):
        points.setdefault((point["k"], point["strategy"], str(point["effort"])), []).append(point)

    def middle(same):
        return same[0] | {name: statistics.median(each[name] for each in same) for name in ("recall", "cpu_us", "qps")}

    return [middle(same) for same in points.values()]


def frontier(points, cost):
    """(recall, cost) by rising recall, without points that another one matches or beats in both.

    >>> points = [(0.9, 10), (0.8, 12), (0.95, 20), (0.95, 30)]
    >>> frontier([{"recall": recall, "us": us} for recall, us in points], lambda point: point["us"])
    [(0.9, 10), (0.95, 20)]
    """
    kept = []
    for recall, value in sorted(((point["recall"], cost(point)) for point in points), key=lambda it: (-it[0], it[1])):
        if not kept or value < kept[-1][1]:
            kept.append((recall, value))
    return kept[::-1]


def at_recall(curve, recall):
    """What the recall takes, its logarithm interpolated between the neighbours; none if it isn't reached.

    Below the first point it is that point's: less recall costs as much.

    >>> curve = [(0.90, 10.0), (0.92, 1000.0)]
    >>> round(at_recall(curve, 0.91)), at_recall(curve, 0.8), at_recall(curve, 0.93)
    (100, 10.0, None)
    """
    if not curve or recall > curve[-1][0]:
        return None
    if recall <= curve[0][0]:
        return curve[0][1]
    for (low, before), (high, after) in zip(curve, curve[1:]):
        if recall <= high:
            share = (recall - low) / (high - low)
            return math.exp(math.log(before) * (1 - share) + math.log(after) * share)
