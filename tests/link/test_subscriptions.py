"""Filters by level find what trying every filter would find."""

from hypothesis import given
from hypothesis import strategies as st

from hub.link.subscriptions import Subscriptions

NAMES = st.sampled_from(["a", "b", "", "$s"])
TOPICS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
FILTERS = st.tuples(st.lists(st.one_of(NAMES, st.just("+")), min_size=1, max_size=4), st.sampled_from([[], ["#"]])).map(
    lambda parts: "/".join(parts[0] + parts[1])
)
CLIENTS = st.sampled_from(["c1", "c2", "c3"])


def matches(filter_: str, topic: str) -> bool:
    """MQTT 4.7, word by word."""
    wanted, names = filter_.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    if wanted[-1] == "#":
        wanted = wanted[:-1]
        names = names[: len(wanted)]
    return len(wanted) == len(names) and all(w in ("+", n) for w, n in zip(wanted, names, strict=True))


@given(st.dictionaries(st.tuples(CLIENTS, FILTERS), st.sampled_from([0, 1])), TOPICS, st.data())
def test_match_is_what_trying_every_filter_finds(
    subscribed: dict[tuple[str, str], int], topic: str, data: st.DataObject
) -> None:
    filters = Subscriptions()
    for (client, filter_), qos in subscribed.items():
        filters.add(client, filter_, qos)
    if subscribed:
        for client, filter_ in data.draw(st.sets(st.sampled_from(sorted(subscribed)))):
            assert filters.remove(client, filter_)
            del subscribed[client, filter_]
    expected: dict[str, int] = {}
    for (client, filter_), qos in subscribed.items():
        if matches(filter_, topic):
            expected[client] = max(qos, expected.get(client, 0))
    assert filters.match(topic) == expected
    assert len(filters) == len(subscribed)


def test_what_was_removed_leaves_nothing() -> None:
    filters = Subscriptions()
    filters.add("c1", "a/b/c", 1)
    filters.add("c1", "a/+", 0)
    filters.add("c2", "a/b", 1)
    filters.remove_client("c1")
    assert not filters.remove("c1", "a/+")
    assert filters.match("a/b") == {"c2": 1}
    assert filters.qos("c1", "a/b/c") is None
    assert list(filters._root.next["a"].next) == ["b"]
    filters.remove_client("c2")
    assert not filters._root.next


def test_a_second_subscription_to_the_same_filter_changes_the_qos() -> None:
    filters = Subscriptions()
    filters.add("c1", "a", 1)
    filters.add("c1", "a", 0)
    assert (filters.match("a"), filters.qos("c1", "a"), len(filters)) == ({"c1": 0}, 0, 1)
