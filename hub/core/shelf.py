"""Which modules there are, how many tasks refer to each, and as which blobs they are kept."""

from hub.core.abi import Module


class Shelf(dict[str, Module]):
    """Every module by its id, with counts that go on with the tasks: nobody looks through all of them.

    A module is kept in two forms, each a blob named by its sha256. Modules that differ only in what preparing strips
    have one prepared form.
    """

    def __init__(self) -> None:
        super().__init__()
        # blob: the modules that it is a form of
        self._forms: dict[str, dict[str, Module]] = {}
        # Those that no task refers to.
        self.unused: dict[str, Module] = {}

    def put(self, module: Module, mono: float) -> None:
        """Takes a module in, or its new forms; idle from now on until a task refers to it."""
        self[module.id] = module
        for blob in module.blobs:
            self._forms.setdefault(blob, {})[module.id] = module
        module.idle_since = mono
        if not module.tasks:
            self.unused[module.id] = module

    def drop(self, module: Module) -> list[str]:
        """Lets a module go; the blobs that are no module's form any more."""
        del self[module.id]
        self.unused.pop(module.id, None)
        return self.forget(module, module.blobs)

    def forget(self, module: Module, blobs: tuple[str, ...]) -> list[str]:
        """These are not the module's forms any more; those of them that are no other's either."""
        orphans = []
        for blob in blobs:
            owners = self._forms[blob]
            owners.pop(module.id, None)
            if not owners:
                del self._forms[blob]
                orphans.append(blob)
        return orphans

    def with_form(self, blob: str) -> Module | None:
        """The first of the modules of which this is a form."""
        return next(iter(self._forms.get(blob, {}).values()), None)

    def refer(self, id: str | None, tasks: int = 1) -> None:
        """A task, or so many, refer to this module from now on."""
        module = self.get(id or "")
        if module is not None:
            if not module.tasks:
                self.unused.pop(module.id, None)
            module.tasks += tasks

    def release(self, id: str | None, mono: float) -> None:
        """A task refers to it no longer."""
        module = self.get(id or "")
        if module is not None:
            module.tasks -= 1
            if not module.tasks:
                module.idle_since = mono
                self.unused[module.id] = module
