"""Which answers may stand without people: the least probability that gives a wanted accuracy, by a predictor's held-out scores."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalogs import views
from catalogs.canned import BadQuery, identifier, literal
from kernels.heads.columns import column_name, share_columns
from kernels.heads.scores import decided_at, most_accurate
from pipeline.plan.run_predictors import predictors_of
from pipeline.rundir.run_directory import RunDirectory

if TYPE_CHECKING:
    from kernels.heads.predictor import TaughtHead
    from pipeline.plan.run_predictors import RunPredictor

__all__ = ["Decision", "decision_of"]


@dataclass(frozen=True, eq=False)
class Decision:
    """A question, and how sure its answer must be to stand without people."""

    of: RunPredictor
    question: TaughtHead
    least: float
    """Probability of the likeliest answer."""
    share: float
    """Of the held-out objects that had it."""
    right: float
    """Share of those whose answer was right."""

    @property
    def sql(self) -> dict[str, str]:
        """What the query `confident` is filled with."""
        head = self.question.head
        return {
            "answers": ", ".join(map(literal, head.answers)),
            "columns": ", ".join(map(identifier, share_columns(head))),
            "outside": identifier(self.of.outside),
            "least": repr(self.least),
        }


def decision_of(url: str, question: str, accuracy: str) -> Decision:
    """How sure a question's answer must be.

    Parameters
    ----------
    url : str
        Run directory.
    question : str
        Of one of its predictors.
    accuracy : str
        Wanted share of right answers.

    Raises
    ------
    BadQuery
        If there is no such question, it has no probabilities, or no threshold reaches the accuracy.
    """
    wanted = _share(accuracy)
    of, taught = _question(url, question)
    if not taught.scores.decided:
        probable = taught.head.kind in ("classes", "votes")
        why = "has no held-out scores" if probable else "has an interval and no probabilities"
        raise BadQuery(
            f"question {taught.head.name!r} {why}. Name one of classes or votes that was scored, or write SQL over its columns"
        )
    found = decided_at(taught.scores, wanted)
    if found is None:
        best = most_accurate(taught.scores)
        raise BadQuery(
            f"no probability of {taught.head.name!r} gives an accuracy of {wanted:g}, by {taught.scores.objects:,} held-out objects: "
            f"{best:.3f} is the most that they vouch for. Ask for less, or label more objects and train anew"
        )
    return Decision(of, taught, *found)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < 1:
        raise BadQuery(f"accuracy={text!r} must be a number between 0 and 1")
    return value


def _question(url: str, name: str) -> tuple[RunPredictor, TaughtHead]:
    record = RunDirectory(url).record()
    if record is None:
        raise BadQuery(f"{url}: there is no run here")
    with views.connect(url) as connection:
        columns = [str(column) for (column, *_) in connection.execute("DESCRIBE objects").fetchall()]
    predictors, gone = predictors_of(url, record, columns)
    there = {column_name(each.head.name): (one, each) for one in predictors for each in one.predictor.heads}
    if column_name(name) in there:
        return there[column_name(name)]
    if not there:
        raise BadQuery(
            "; ".join(gone)
            or f"{url}: no predictor has answered here. Add one: tuningfork predict {url} FILE"
        )
    names = [each.head.name for _, each in there.values()]
    near = difflib.get_close_matches(column_name(name), there, 1)
    meant = f" Did you mean {there[near[0]][1].head.name!r}?" if near else ""
    raise BadQuery(f"there is no question {name!r}.{meant} There are: {', '.join(names)}")
