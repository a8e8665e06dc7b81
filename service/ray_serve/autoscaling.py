"""How many replicas a model shall have, by the cost of what waits at them.

Ray copies this module to its controller: it imports nothing of ours.
"""

from typing import Any

PENDING_SAMPLES = "pending_samples"
"""What each replica reports: rows that wait or run, times the samples of each."""


class QueueCost:
    """Gives every replica the same share of what waits.

    A count of requests cannot tell a row alone from a thousand rows of four hundred samples; this can.
    The bounds, factors and delays of `autoscaling_config` hold as for Ray's own policy.

    Args:
        samples_per_replica: rows times samples that may wait or run at one replica; more than that, on
            average over `look_back_period_s`, and there shall be more replicas.
    """

    def __init__(self, samples_per_replica: float) -> None:
        if not samples_per_replica > 0:
            raise ValueError(f"samples_per_replica must be above 0, and is {samples_per_replica}")
        self._samples_per_replica = samples_per_replica

    def __call__(self, context: Any) -> tuple[float, dict[str, Any]]:
        """Give how many replicas there shall be; Ray rounds it up, and keeps it within its bounds."""
        pending = (context.aggregated_metrics or {}).get(PENDING_SAMPLES, {})
        return sum(pending.values()) / self._samples_per_replica, {}
