"""Whether a task runs when all it depends on has ended: run_if, on_dep_failure and required (semantics.md's table).

run_if   every required parent Completed            some required parent did not
success  RUN                                        on_dep_failure: skip SKIP, fail FAIL, run-anyway RUN
failure  RUN when any parent Failed, else SKIP      the same
always   RUN                                        RUN
"""

from collections.abc import Sequence

from shared import states

SUCCESS, FAILURE, ALWAYS = "success", "failure", "always"
RUN_IF = (SUCCESS, FAILURE, ALWAYS)
ON_DEP_FAILURE = ("skip", "fail", "run-anyway")

RUN, SKIP, FAIL = "run", "skip", "fail"
_VERDICT = {"skip": SKIP, "fail": FAIL, "run-anyway": RUN}


def decide(run_if: str | None, on_dep_failure: str | None, ends: Sequence[tuple[int, bool]]) -> str:
    """RUN, SKIP or FAIL. ends: of each parent (the state, whether it is required); without any the task runs."""
    if not ends or run_if == ALWAYS:
        return RUN
    if run_if == FAILURE:
        return RUN if any(state == states.FAILED for state, _ in ends) else SKIP
    if all(state == states.COMPLETED for state, required in ends if required):
        return RUN
    return _VERDICT[on_dep_failure or "skip"]
