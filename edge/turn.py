"""Let the event loop take a turn in the middle of a call: what keeps a board alive while a module runs."""

try:
    from asyncio import core  # type: ignore[attr-defined]

    async def _nap(ms: int) -> None:
        await core.sleep_ms(ms)

    def others_run(ms: int) -> None:
        """Every other task that is ready runs; so much time passes at least."""
        current = core.cur_task
        try:
            core.run_until_complete(core.create_task(_nap(ms)))
        finally:
            core.cur_task = current

except ImportError:  # CPython: a loop does not run within itself
    from time import sleep

    def others_run(ms: int) -> None:
        """So much time passes."""
        sleep(ms / 1000)
