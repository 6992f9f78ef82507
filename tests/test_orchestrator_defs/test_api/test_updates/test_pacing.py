"""When which message is sent: on a clock of the test's own."""

import asyncio

import uvloop

from orchestrator_defs.api.updates.broadcaster import LIMIT, Broadcaster, Client
from orchestrator_defs.api.updates.messages import EVERYTHING, LIST, Kind, Message, is_sendable, message_of
from orchestrator_defs.api.updates.pacing import MANY, Pacer

SUBSCRIPTIONS = Message(Kind.SUBSCRIPTIONS)
PROCESS = Message(Kind.PROCESSES, "1")


def sent(pacer: Pacer, notes: dict[float, list[Message]], until: float = 20.0) -> list[tuple[float, Message]]:
    """What is sent when, if this is noted then; the clock goes in steps of 10 ms."""
    out, moments = [], sorted(notes.items())
    for tick in range(round(until * 100)):
        now = tick / 100
        while moments and moments[0][0] <= now:
            for message in moments.pop(0)[1]:
                pacer.notify(message, now)
        due = pacer.next_due()
        if due is not None and due <= now:
            out += [(now, message) for message in pacer.take_due(now)]
    return out


def test_a_message_is_sent_soon_and_once_more() -> None:
    assert sent(Pacer(), {1.0: [PROCESS]}) == [(1.05, PROCESS), (1.8, PROCESS)]


def test_equal_messages_are_one() -> None:
    assert len(sent(Pacer(), {1.0: [PROCESS] * 5, 1.04: [PROCESS]})) == 2


def test_news_takes_the_place_of_the_repetition() -> None:
    assert [now for now, _ in sent(Pacer(), {1.0: [PROCESS], 1.5: [PROCESS]})] == [1.05, 1.55, 2.3]


def test_one_process_is_told_of_every_quarter_of_a_second_and_lists_more_seldom() -> None:
    busy = {1 + n / 50: [PROCESS, SUBSCRIPTIONS] for n in range(200)}
    out = sent(Pacer(), busy)
    assert 15 <= sum(message == PROCESS for _, message in out) <= 18
    assert 6 <= sum(message == SUBSCRIPTIONS for _, message in out) <= 8


def test_nothing_is_kept_once_it_is_quiet() -> None:
    pacer = Pacer()
    sent(pacer, {n / 10: [Message(Kind.PROCESSES, str(n)), *EVERYTHING] for n in range(100)}, until=13)
    assert len(pacer) == 0
    assert pacer.next_due() is None


def test_a_crowd_is_told_of_as_all_until_it_is_quiet() -> None:
    crowd = [Message(Kind.PROCESSES, str(n)) for n in range(MANY + 1)]
    lists = Message(Kind.PROCESSES, LIST)
    out = sent(Pacer(), {1.0: [lists, *crowd], 1.2: [lists, PROCESS], 5.0: [PROCESS]})
    everyone = Message(Kind.PROCESSES)
    assert [message for _, message in out] == [everyone] * 3 + [PROCESS] * 2


def test_a_crowd_does_not_touch_other_kinds() -> None:
    crowd = [Message(Kind.PROCESSES, str(n)) for n in range(MANY + 1)]
    one = Message(Kind.SUBSCRIPTIONS, "1")
    assert one in [message for _, message in sent(Pacer(), {1.0: [*crowd, one]})]


def test_what_waits_for_a_slow_client_is_bounded_and_covers_all() -> None:
    client = Client()
    for number in range(10 * LIMIT):
        client.put(Message(Kind.PROCESSES, str(number)))
        client.put(SUBSCRIPTIONS)
        assert len(client._waiting) <= LIMIT
    assert Message(Kind.PROCESSES) in client._waiting
    assert SUBSCRIPTIONS in client._waiting
    assert not client.is_lost


def test_a_client_that_cannot_be_told_all_that_others_say_is_lost() -> None:
    client = Client()
    for number in range(LIMIT + 1):
        client.put(f"strange {number}")
    assert client.is_lost


def test_messages_are_as_the_client_reads_them() -> None:
    assert SUBSCRIPTIONS.text == '{"name":"invalidateCache","value":{"type":"subscriptions"}}'
    assert PROCESS.text == '{"name":"invalidateCache","value":{"type":"processes","id":"1"}}'
    for message in (SUBSCRIPTIONS, PROCESS, *EVERYTHING):
        assert message_of(message.text) == message


def test_what_is_no_message_is_not_taken_for_one() -> None:
    strange = (
        "",
        "5",
        "[]",
        '{"name": "invalidateCache"}',
        '{"name": "invalidateCache", "value": {"type": "weather"}}',
    )
    assert not any(
        message_of(text) for text in (*strange, '{"name":"invalidateCache","value":{"type":"processes","id":5}}')
    )
    assert not any(map(is_sendable, ("", "5", "[" * 100_000, '{"name": 1, "value": 2}', '{"name": "x"}')))
    assert is_sendable('{"name": "x", "value": null}')


def test_a_message_after_one_that_is_overdue_is_sent() -> None:
    """uvloop gives no timer for a moment that is past, as after a server was frozen."""

    async def story() -> None:
        broadcaster = Broadcaster()
        with broadcaster.client() as client:
            broadcaster._wake_at(asyncio.get_running_loop().time() - 1)
            broadcaster.notify(PROCESS)
            assert PROCESS in await asyncio.wait_for(client.take(), 5)
            broadcaster.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())
