"""Calibration recovers what was known, scores say how good answers are, and a threshold keeps its promise on new objects."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from kernels.heads import scores as of_scores
from kernels.heads.answers import Calibration, interval
from kernels.heads.calibrate import ONE_SIGMA, calibrate, truths
from kernels.heads.head import Head
from kernels.heads.scores import (
    Scores,
    calibration_error,
    decided_at,
    error_by_chance,
    most_accurate,
    reliability,
    score,
)

CLASSES = Head("type", "classes", ("E", "S", "I"))
VOTES = Head("smooth", "votes", ("yes", "disk", "artifact"))
VALUE = Head("z", "value", shift=2.0, scale=0.5)
LEVELS = Head("arms", "ordinal", ("0", "1", "2"), (0.0, 1.0, 2.0))


def classed(n: int, temperature: float, seed: int = 0):
    """Logits that are too sure by a temperature, and one-hot truths."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 3))
    drawn = (rng.random((n, 1)) < softmax(logits, axis=1).cumsum(axis=1)).argmax(axis=1)
    return logits * temperature, np.eye(3)[drawn]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_not_found(temperature):
    outputs, targets = classed(4000, temperature)
    assert calibrate(CLASSES, outputs, targets).temperature == pytest.approx(temperature, rel=0.1)
    scored = score(CLASSES, outputs, targets)
    assert scored.numbers["calibration_error"] < 0.03
    assert scored.objects == 4000


def test_few_objects_change_answers_much():
    outputs, targets = classed(4, 1.0)
    assert 0.5 < calibrate(CLASSES, outputs, targets).temperature < 2
    nothing = np.full((4, 3), np.nan)
    assert calibrate(CLASSES, outputs, nothing) == Calibration()
    assert calibrate(CLASSES, nothing, targets) == Calibration()
    assert score(CLASSES, nothing, targets) == Scores(0)


@pytest.mark.parametrize("too_sure", [0.5, 2.0])
def test_intervals_hold_more_or_fewer_truths_than_they_say(too_sure):
    rng = np.random.default_rng(1)
    mean, spread = rng.normal(0, 1, 4000), np.exp(rng.normal(-1, 0.5, 4000))
    truth = mean + spread * rng.normal(0, 1, 4000)
    outputs = np.column_stack([mean, np.log(spread / too_sure)])
    targets = np.column_stack([truth, np.zeros(4000)])
    found = calibrate(VALUE, outputs, targets)
    assert found.spread == pytest.approx(too_sure, rel=0.05)
    _, low, high = interval(VALUE, outputs, found)
    known = truths(VALUE, targets)
    assert ((low <= known) & (known <= high)).mean() == pytest.approx(ONE_SIGMA, abs=0.001)
    assert score(VALUE, outputs, targets).numbers["coverage"] == pytest.approx(ONE_SIGMA, abs=0.03)


def test_levels_are_covered_as_they_say():
    rng = np.random.default_rng(4)
    logits, drawn = rng.normal(0, 1, (3000, 3)), rng.random((3000, 1))
    targets = np.eye(3)[(drawn < softmax(logits, axis=1).cumsum(axis=1)).argmax(axis=1)]
    numbers = score(LEVELS, logits, targets).numbers
    assert numbers["coverage"] == pytest.approx(
        ONE_SIGMA, abs=0.1
    )  # truths are few levels: coverage goes in steps
    assert 0 < numbers["rank_correlation"] < 1


def test_votes_are_worth_more_than_they_are():
    rng = np.random.default_rng(2)
    alpha = np.exp(rng.normal(0.5, 0.8, (3000, 3)))
    share = np.array([rng.dirichlet(each) for each in alpha])
    counts = np.array([rng.multinomial(30, each) for each in share]).astype(float)
    counts[::7] = np.nan
    counts[1::7] = 0
    assert calibrate(VOTES, np.log(4 * alpha), counts).spread == pytest.approx(0.25, rel=0.15)
    scored = score(VOTES, np.log(4 * alpha), counts)
    assert scored.objects == 3000 - 429 - 429
    assert scored.numbers["rmse"] < 0.35


def test_a_calibration_error_is_not_that_of_its_bins():
    confidence = np.repeat([0.6, 0.9], 75)
    right = np.concatenate([np.arange(75) < 45, np.arange(75) < 60])
    bins = reliability(confidence, right)
    assert sum(n for n, _, _ in bins) == 150
    assert len(bins) == 15
    expected = sum(n * abs(mean - share) for n, mean, share in bins) / 150
    assert calibration_error(confidence, right) == pytest.approx(expected)
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 1500)
    by_chance = np.mean([calibration_error(sure, rng.random(1500) < sure) for _ in range(50)])
    assert error_by_chance(reliability(sure, rng.random(1500) < sure)) == pytest.approx(by_chance, rel=0.1)


def test_a_threshold_promises_what_few_objects_cannot_show():
    scores = Scores(100, decided=((0.5, 1.0, 0.90), (0.8, 0.5, 0.98), (0.99, 0.05, 1.0)))
    assert decided_at(scores, 0.85) == scores.decided[0]
    assert decided_at(scores, 0.95) is None, "five objects, all of them right, vouch for nothing"
    assert decided_at(scores, 0.94) == scores.decided[1]
    assert most_accurate(scores) == pytest.approx(0.948, abs=0.005)
    many = Scores(100_000, decided=scores.decided)
    assert decided_at(many, 0.97) == many.decided[1]
    assert decided_at(many, 0.9995) == many.decided[2]
    assert decided_at(Scores(0), 0.5) is None


def test_accuracy_on_new_objects_falls_short_of_what_was_wanted(monkeypatch):
    def reached(sigmas: float) -> tuple[int, int]:
        monkeypatch.setattr(of_scores, "SIGMAS", sigmas)
        short = tried = 0
        for seed in range(30):
            outputs, targets = classed(600, 1.0, seed)
            found = decided_at(score(CLASSES, outputs, targets), 0.95)
            new, truth = classed(3000, 1.0, seed + 1000)
            if found is None:
                continue
            sure = softmax(new, axis=1).max(axis=1) >= found[0]
            tried += 1
            short += (new.argmax(axis=1) == truth.argmax(axis=1))[sure].mean() < 0.95
        return short, tried

    naive, _ = reached(0.0)
    safe, tried = reached(1.0)
    assert tried > 25
    assert safe < 0.3 * tried
    assert safe < naive
