"""Whether a work order or a change explains what happened: a label with its reference, never a filter."""

from streams.core.verdict.explanations import Policy
from streams.core.verdict.match import VERDICT, verdicts

__all__ = ["VERDICT", "Policy", "verdicts"]
