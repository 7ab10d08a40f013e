"""What waits for the hub is bounded."""

from edge.link import Link


def test_the_queue_is_bounded_and_holds_a_result_once():
    link = Link("dev", None, 3, lambda: 0.0, lambda line: None)
    for _ in range(2):
        link.post("result", ("t", 1), 1)
    assert link.dropped == 0
    for i in range(5):
        link.post("beat", {"seq": i}, 0)
    assert link.dropped == 3
