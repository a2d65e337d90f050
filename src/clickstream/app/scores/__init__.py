"""What may be asked of a score: its fields by name, and conditions on them."""

from clickstream.app.scores.condition import Condition, ConditionError, parse_condition
from clickstream.app.scores.fields import Field, Score, UnknownFieldError, all_fields, find_field
from clickstream.features.condition import Kind

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
