"""What may be asked of a score: its fields by name, and conditions on them."""

from clickstream.features.condition import Kind
from clickstream.terminal.scores.condition import Condition, ConditionError, parse_condition
from clickstream.terminal.scores.fields import Field, Score, UnknownFieldError, all_fields, find_field

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
