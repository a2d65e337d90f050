"""The page of the rights of each role, made of the table of them."""

from __future__ import annotations

from typing import NamedTuple

from clickstream.documents.templates import page
from clickstream.infra.settings import Settings
from clickstream.operate.rights import Role, kafka_rights, redis_rights


class RoleRow(NamedTuple):
    """A line of the table, each cell as Markdown."""

    role: str
    kafka: str
    redis: str


def rights_page() -> str:
    """The content of docs/reference/rights.md, with the names of the default settings and open scores."""
    settings = Settings.model_construct(**_DEFAULTS | {"open_scores": "each"})
    return page("rights.md.j2", rows=[_row(role, settings) for role in Role])


_DEFAULTS = {name: field.default for name, field in Settings.model_fields.items() if not field.is_required()}


def _row(role: Role, settings: Settings) -> RoleRow:
    kafka = (f"{one.operation} on {one.resource} `{one.written}`" for one in kafka_rights(role, settings))
    redis = redis_rights(role, settings)
    rules = () if redis is None else redis.rules(cluster=False)
    # A bar would end the cell.
    return RoleRow(
        role.value, "<br>".join(kafka), f"`{' '.join(rules)}`".replace("|", r"\|") if rules else "nothing"
    )
