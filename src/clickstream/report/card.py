"""The model card of a bundle, in the sections of Mitchell et al. (2019), as Markdown."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from clickstream.bundles.manifest import Manifest
from clickstream.models.evaluation import Evaluation
from clickstream.report import wording
from clickstream.report.report import report_values

_ACTIVE = re.compile(r"[\\`*\[\]<>#|~$&!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""What Markdown could take for markup; an underscore within a word is none."""


def render_card(manifest: Manifest, evaluation: Evaluation) -> str:
    """`model_card.md` of a bundle. Equal arguments give equal text; strings of the data are escaped."""
    return card(
        "model_card.md.j2",
        **report_values(manifest, evaluation),
        estimate=wording.estimate,
        interval=wording.interval,
    )


def card(template: str, **values: Any) -> str:
    """A Markdown page of this package; what is shown is escaped."""
    page = Environment(
        loader=PackageLoader("clickstream.report", "."),
        # Not HTML: `finalize` escapes each value for Markdown instead.
        autoescape=False,
        undefined=StrictUndefined,
        finalize=_shown,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(template)
    return page.render(**values)


def escape_markdown(text: str) -> str:
    """`text` as one line that Markdown shows as it is, with nothing in it that would be markup or HTML."""
    line = " ".join(text.split())
    return _ACTIVE.sub(lambda found: {"<": "&lt;", "&": "&amp;"}.get(found[0], f"\\{found[0]}"), line)


def _shown(value: object) -> object:
    return escape_markdown(value) if isinstance(value, str) else value
