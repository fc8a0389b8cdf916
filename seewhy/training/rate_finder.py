"""Which learning rate suits? Raise it from step to step on a copy, and look where the loss falls fastest.

The learning rate range test of Smith 2015, https://arxiv.org/abs/1506.01186, with rates evenly spaced on a log scale.
It learns on a copy of the network, so it leaves no trace: weights, statistics, optimiser, generators, loader and modes
are afterwards what they were.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from seewhy.training import Training, optimising
from seewhy.training.computing import generators_kept
from seewhy.types import Progress

LOWEST, HIGHEST = 1e-6, 10.0
#: The loss is followed as a mean that keeps so much of the step before, without the bias towards its start.
SMOOTHING = 0.9
#: A slope is taken between losses so many steps before and after.
REACH = 5
#: The search ends where the loss is so many times what it was at most in the first START steps, or no longer finite.
DIVERGED, START = 3.0, 10


@dataclass(frozen=True, slots=True)
class Curve:
    """The rates that were tried, the smoothed loss after each, and the rate to take: where the loss fell fastest."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggested: float


def find(training: Training, *, steps: int = 100) -> Generator[Progress, None, Curve]:
    """Costs at most `steps` training steps and one copy of the network.

    Raises FloatingPointError where not even the lowest rate gives a finite loss.
    """
    with generators_kept(training.device):
        trial = training.rehearsal()
        if training.settings.fine_tune:
            yield from trial.adapt()
        rates: list[float] = []
        losses: list[float] = []
        mean = 0.0
        for step in range(steps):
            epoch, place = divmod(step, trial.steps_per_epoch)
            batch = trial.train.batch(trial.order(epoch)[place * trial.batch :][: trial.batch])
            rate = LOWEST * (HIGHEST / LOWEST) ** (step / (steps - 1))
            optimising.set_rate(trial.optimizer, rate)
            try:
                loss, _ = trial.learn(batch, epoch)
            except FloatingPointError:
                if not rates:
                    raise
                break
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            rates.append(rate)
            losses.append(mean / (1 - SMOOTHING ** (step + 1)))
            yield Progress("learning rate", step + 1, steps, {"loss": losses[-1], "learning_rate": rate})
            if losses[-1] > DIVERGED * max(losses[:START]):
                break
    return Curve(tuple(rates), tuple(losses), steepest(rates, losses))


def steepest(rates: list[float], losses: list[float]) -> float:
    """Up to the lowest loss, the rate around which it fell fastest, REACH steps to either side."""
    middle = range(REACH, min(losses.index(min(losses)) + 1, len(losses) - REACH))
    falls = {place: losses[place + REACH] - losses[place - REACH] for place in middle}
    return rates[min(falls, key=falls.__getitem__) if falls else 0]
