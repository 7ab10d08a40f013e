"""The states of a task, a job and a workflow: their numbers (Propeller's), their words, the legal transitions."""

PENDING = 0
SCHEDULED = 1
RUNNING = 2
COMPLETED = 3
FAILED = 4
SKIPPED = 5
INTERRUPTED = 6

NAMES = ("Pending", "Scheduled", "Running", "Completed", "Failed", "Skipped", "Interrupted")
# The words of the live stream.
WORDS = ("pending", "in_progress", "in_progress", "completed", "failed", "skipped", "cancelled")

# On a device, or on its way there.
ACTIVE = (SCHEDULED, RUNNING)
# Nothing happens any more until somebody starts it again.
ENDED = (COMPLETED, FAILED, SKIPPED, INTERRUPTED)
# What lets the children of a task be decided. An Interrupted parent keeps its children waiting.
SETTLED = (COMPLETED, FAILED, SKIPPED)

TRANSITIONS = {
    # to Running: a task that becomes several; to Completed: its result was known
    PENDING: (SCHEDULED, RUNNING, COMPLETED, FAILED, SKIPPED, INTERRUPTED),
    # back to Pending: the device fell silent, or another attempt follows
    SCHEDULED: (RUNNING, COMPLETED, FAILED, INTERRUPTED, PENDING),
    RUNNING: (COMPLETED, FAILED, INTERRUPTED, PENDING),
    # ended tasks may be started again
    COMPLETED: (PENDING,),
    FAILED: (PENDING,),
    SKIPPED: (PENDING,),
    INTERRUPTED: (PENDING,),
}
