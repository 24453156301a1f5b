"""What an engine says of its work."""

from types import SimpleNamespace

from mr_assets.sampling.stats import EngineCounter, EngineStats, Tokens


def test_what_the_scheduler_says_adds_up() -> None:
    """Cached tokens and preemptions over all steps, the queue as it is now; a step may say nothing."""
    counter = EngineCounter()
    cache = SimpleNamespace(queries=100, hits=60, preempted_requests=1)
    step = SimpleNamespace(num_running_reqs=8, num_waiting_reqs=3, num_skipped_waiting_reqs=1, prefix_cache_stats=cache)
    for said in (step, None, step):
        counter.note(said)
    assert counter.stats == EngineStats(8, 4, 200, 120, 2)
    assert counter.stats.since(EngineStats(9, 9, 100, 60, 1)) == EngineStats(8, 4, 100, 60, 1)
    assert counter.stats.plus(EngineStats(1, 1, 100, 0, 0)).hit_rate == 120 / 300


def test_it_is_said_in_a_line() -> None:
    busy = EngineStats(448, 1031, 200, 164, 2)
    assert busy.said == "448 running, 1,031 waiting, 82% of prompt tokens cached, 2 preemptions"
    assert EngineStats(prompt_tokens=4).said == "0% of prompt tokens cached"
    assert EngineStats().said == ""


def test_tokens_that_are_still_to_come() -> None:
    """Before a completion is done, all may be as long as they can: 2 in flight with 30 tokens of 50, 3 that wait.

    With 4 done of 100 tokens and 60 in flight, a completion has (100 + 60) / 4 = 40 tokens on the average: 3 that wait
    and 2 that run are 5 x 40. Two that have 90 of their 100 tokens have 10 left, whatever the average.
    """
    assert Tokens(0, 30, 0, 2).left(3, 50) == 3 * 50 + (2 * 50 - 30)
    assert Tokens(100, 60, 4, 2).left(3, 50) == 5 * 40 - (2 * 40 - (2 * 50 - 60))
    assert Tokens(100, 60, 4, 2).left(3, 1000) == 5 * 40
    assert Tokens(100, 90, 4, 2).left(0, 50) == 10
    assert Tokens(100, 0, 4, 0).left(0, 50) == 0
    assert Tokens(1, 2, 3, 4).plus(Tokens(10, 20, 30, 40)) == Tokens(11, 22, 33, 44)
