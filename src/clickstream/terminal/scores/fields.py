"""The fields of a score: their names, short names and kinds, as its model and its shop have them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple

from clickstream.features.condition import ValueKind
from clickstream.features.shop import UCI553, Shop
from clickstream.infra.errors import UsageError
from clickstream.models.scorers import scorers_of
from clickstream.records.score import OpenScore
from clickstream.records.score import Score as ScoreModel
from clickstream.records.scorers import SCORERS

ScoreObject = Mapping[str, Any]
"""A score as it was read from JSON."""

# Those of one scorer. The number of a cluster means nothing outside its bundle, so `cluster` is its name.
_OF_A_SCORER = {
    "conversion": "conversion",
    "revenue": "revenue",
    "cluster": "cluster_name",
    "cluster_name": "cluster_name",
}


class ScoreField(NamedTuple):
    """A field: `name` as it was asked for, `path` from the score down to it."""

    name: str
    path: tuple[str, ...]
    kind: ValueKind

    def of(self, score: ScoreObject) -> Any:
        """Its value; None where it is null or not there."""
        return value_at(score, self.path)


def value_at(score: ScoreObject, path: tuple[str, ...]) -> Any:
    """What a score holds at a path; None where it is null or not there."""
    value: Any = score
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def of_shop(score: ScoreObject, shop: Shop) -> ScoreObject:
    """What a reader who knows `shop` can say of a score.

    The features of another shop are left out: under the same name they may mean something else. A score that
    names none was made before shops were known, when all were those of uci553.
    """
    ours = UCI553.definition.hash if score.get("shop") is None else value_at(score, ("shop", "hash"))
    return score if ours == shop.definition.hash else {**score, "features": {}}


class UnknownFieldError(UsageError):
    """No field, or more than one, has this name."""


@cache
def all_fields(shop: Shop = UCI553, opened: bool = False) -> Mapping[str, ValueKind]:
    """The full name of each field, as `predictions.batch.conversion`, and its kind; `opened`: of open scores.

    What no score of the shop holds is not there: scorers that it does not have, revenue where its goal has no
    value.
    """
    schema = (OpenScore if opened else ScoreModel).model_json_schema(mode="serialization")
    found: dict[str, ValueKind] = {}
    _collect(schema, schema["$defs"], "", found)
    definition = shop.definition
    for feature in definition.features:
        if feature.in_scores and not opened:
            found[f"features.{feature.name}"] = definition.kind(feature)
    absent = {f"predictions.{scorer}" for scorer in SCORERS if scorer not in scorers_of(shop)}
    if definition.goal.last_click:
        absent.add("drawn")
    if definition.goal.value is None:
        said = [f"{at}predictions.{scorer}" for at in ("", "drawn.") for scorer in SCORERS]
        absent |= {"outcome.revenue", *(f"{of}.revenue" for of in said)}
    return {
        name: kind
        for name, kind in found.items()
        if not any(name == one or name.startswith(f"{one}.") for one in absent)
    }


def find_field(name: str, scorer: str = "batch", shop: Shop = UCI553, opened: bool = False) -> ScoreField:
    """The field of a full name, of a short name, or of the last parts of a full name that no other has.

    Short names are `conversion`, `revenue` and `cluster`, of `scorer`, and `batch.cluster` and the like: the
    name of the cluster. `predictions.batch.cluster` is its number.

    Raises:
        UnknownFieldError: there is none, or there are several; names those that are near.
    """
    known = all_fields(shop, opened)
    full = _short_names(scorer, known).get(name, name)
    if full not in known:
        # What is said of the moment that is drawn goes by its full name.
        ends = [one for one in known if one.endswith(f".{full}") and not one.startswith("drawn.")]
        if len(ends) > 1:
            raise UnknownFieldError(f"`{name}` may be {_either(ends)}", "Write one of them.")
        if not ends:
            what = "an open score" if opened else "a score"
            raise UnknownFieldError(
                f"{what} of shop {shop.definition.name} has no field `{name}`", _near(name, scorer, known)
            )
        full = ends[0]
    return ScoreField(name, tuple(full.split(".")), known[full])


def _short_names(scorer: str, known: Mapping[str, ValueKind]) -> dict[str, str]:
    short = {name: f"predictions.{scorer}.{of}" for name, of in _OF_A_SCORER.items()}
    short |= {f"{one}.cluster": f"predictions.{one}.cluster_name" for one in SCORERS}
    return {name: full for name, full in short.items() if full in known}


def _near(name: str, scorer: str, known: Mapping[str, ValueKind]) -> str:
    names = [*_short_names(scorer, known), *known]
    last_parts = {one.rpartition(".")[2]: one for one in names}
    near = get_close_matches(name, names, 3) or [
        last_parts[p] for p in get_close_matches(name, last_parts, 3)
    ]
    words = f"Did you mean {_either(near)}?\n" if near else ""
    return f"{words}A score has: {', '.join(_shortest(scorer, known))}"


def _shortest(scorer: str, known: Mapping[str, ValueKind]) -> list[str]:
    """One name, as short as can be, for each field with one value."""
    short = list(_short_names(scorer, known))
    taken = Counter(one.rpartition(".")[2] for one in known)
    for full, kind in known.items():
        last = full.rpartition(".")[2]
        if kind is not ValueKind.mapping and last not in _OF_A_SCORER:
            short.append(last if taken[last] == 1 or last == full else full)
    ends = [f"{one}.{name}" for one in (*SCORERS, "outcome") for name in ("conversion", "revenue")]
    return [*short, *(end for end in ends if end in known or f"predictions.{end}" in known)]


def _either(names: list[str]) -> str:
    return " or ".join(f"`{name}`" for name in names)


def _collect(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], at: str, found: dict[str, ValueKind]
) -> None:
    for name, field in schema["properties"].items():
        path = f"{at}{name}"
        shape = _without_null(field, definitions)
        if "properties" in shape:
            # An object that may be null, as a prediction is, can itself be asked for.
            found[path] = ValueKind.mapping
            _collect(shape, definitions, f"{path}.", found)
        else:
            found[path] = _kind(shape)


def _without_null(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """The shape of a field where it is not null, with its reference followed."""
    for choice in field.get("anyOf", [field]):
        if choice.get("type") != "null":
            name: str = choice.get("$ref", "").rpartition("/")[2]
            shape: Mapping[str, Any] = definitions[name] if name else choice
            return shape
    raise ValueError(f"a field that is always null: {field}")


def _kind(shape: Mapping[str, Any]) -> ValueKind:
    kinds = {
        "integer": ValueKind.number,
        "number": ValueKind.number,
        "string": ValueKind.text,
        "boolean": ValueKind.truth,
        "object": ValueKind.mapping,
        "array": ValueKind.mapping,
    }
    return kinds[shape["type"]]
