"""The fields that make a task other than most. One that has none of them is `plain`, and spared the look for each."""

RARE = frozenset(
    """
    run_if on_dep_failure optional when cache broadcast for_each daemon origin archived parent_id dedup_key cost
    timeout queue_timeout lost_after limits placement resources pinned_to env cli_args stdin allow
    """.split()
)
