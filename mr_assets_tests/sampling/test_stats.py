"""What an engine says of its work."""

from types import SimpleNamespace

from mr_assets.sampling.stats import EngineCounter, EngineStats


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
