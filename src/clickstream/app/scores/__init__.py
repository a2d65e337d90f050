"""What may be asked of a score: its fields by name, and conditions on them."""

from clickstream.app.scores.condition import Condition, ConditionError, parse_condition
from clickstream.app.scores.fields import Field, Kind, Score, UnknownFieldError, all_fields, find_field

__all__ = [
    "Condition",
    "ConditionError",
    "Field",
    "Kind",
    "Score",
    "UnknownFieldError",
    "all_fields",
    "find_field",
    "parse_condition",
]
