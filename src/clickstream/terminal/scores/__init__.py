"""What may be asked of a score: its fields by name, and conditions on them."""

from clickstream.features.condition import ValueKind
from clickstream.terminal.scores.condition import ScoreCondition, ScoreConditionError, parse_condition
from clickstream.terminal.scores.fields import (
    ScoreField,
    ScoreObject,
    UnknownFieldError,
    all_fields,
    find_field,
)

__all__ = [
    "ScoreCondition",
    "ScoreConditionError",
    "ScoreField",
    "ScoreObject",
    "UnknownFieldError",
    "ValueKind",
    "all_fields",
    "find_field",
    "parse_condition",
]
