"""How many replicas there shall be, by the takes that are being composed; Ray Serve adds them, and ends them.

In: what Serve has averaged of `Replica.record_autoscaling_stats`, and the takes that one replica shall compose. Out:
a number of replicas, which Serve holds between the bounds that are set. Serve's own rule counts jobs, and one may be
eight takes. Serve runs a copy of this file in a process of its own, so it imports nothing of ours.
"""

from __future__ import annotations

from typing import Any

TAKES = "takes"
"""The name of what replicas report."""


def replicas_wanted(context: Any) -> tuple[float, dict[str, Any]]:
    """Replicas, not rounded, and nothing to remember; `context` is Serve's `AutoscalingContext`."""
    takes = sum((context.aggregated_metrics or {}).get(TAKES, {}).values())
    return takes / context.config.get_target_ongoing_requests(), {}
