"""Tasks that have the url of a module and not yet the module: many of them lead to one fetch."""

from hub.core.model import Task


class Images:
    """Keeps such tasks by their url, those that wait for it apart, and what is being fetched."""

    def __init__(self) -> None:
        self.waiting: dict[str, Task] = {}
        self.fetching: set[str] = set()
        self._tasks: dict[str, dict[str, Task]] = {}
        self._urls: dict[str, str] = {}
        # Urls whose fetch is to begin.
        self.asked: list[str] = []

    def track(self, task: Task) -> None:
        """Its module or url may have changed, or it is new."""
        self.drop(task)
        url = unresolved(task)
        if url is not None:
            self._tasks.setdefault(url, {})[task.id] = task
            self._urls[task.id] = url

    def drop(self, task: Task) -> None:
        url = self._urls.pop(task.id, None)
        if url is not None:
            del self._tasks[url][task.id]
            if not self._tasks[url]:
                del self._tasks[url]

    def wait(self, task: Task) -> None:
        """It is queued and cannot go on without its module."""
        self.waiting[task.id] = task
        url = task.doc["image_url"]
        if url not in self.fetching:
            self.fetching.add(url)
            self.asked.append(url)

    def leave(self, task: Task) -> bool:
        """It waits no longer; whether it did."""
        return self.waiting.pop(task.id, None) is not None

    def of(self, url: str) -> list[Task]:
        """Every task that has this url and no module."""
        return list(self._tasks.get(url, {}).values())


def unresolved(task: Task) -> str | None:
    """The url that a task's module will come from; None when it has one, or never runs."""
    doc = task.doc
    if doc.get("module") or doc.get("archived") or (doc.get("origin") or {}).get("type") == "link":
        return None
    return doc.get("image_url")
