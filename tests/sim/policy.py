"""What the simulated hub is told about scheduling: the product's defaults, but for a shorter time-out of tasks,
and little that has ended stays in the store."""

from hub.core.model import Policy

POLICY = Policy(beat_s=10.0, lease_s=30.0, task_timeout_s=60.0, keep_tasks=3)
