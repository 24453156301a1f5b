"""Intervals that rest on few resamples: quick, and as seeded as the others."""

import pytest


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mr_assets.evaluation.alpaca_eval.RESAMPLES", 20)
    monkeypatch.setattr("mr_assets.method.bootstrap.RESAMPLES", 20)
