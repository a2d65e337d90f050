"""What a training found, for a person at a terminal: one screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clickstream.bundles.manifest import Manifest
from clickstream.models.evaluation import Estimate, Evaluation
from clickstream.models.scorers import REGISTRY

_PROXY = (
    "The labels are a proxy: the data holds no purchase, conversion and revenue are a rule over a session's"
    " last click. reference sees that click and recovers the rule; batch and online predict it unseen."
)

# Title, name of the figure, places, whether a narrow terminal has room for it.
_COLUMNS = (
    ("AUC", "auc", 3, True),
    ("Brier", "brier", 3, False),
    ("ECE", "ece", 3, True),
    ("R²", "r2", 3, True),
    ("MAE $", "mae", 2, False),
)

_WIDE = 96

# Of few sessions the AUC of a coin scatters further; the warning would cry wolf.
_CHANCE = 0.03

# Model and figure, title, places.
_COMPARED = (
    ("random forest", "auc", "random forest: AUC", 3),
    ("random forest", "f1", "F1", 3),
    ("gradient boosting", "r2", "gradient boosting: R²", 3),
    ("gradient boosting", "mae", "MAE $", 2),
    ("k-means", "k", "k-means: best k", 0),
    ("k-means", "silhouette", "silhouette", 3),
    ("k-means", "davies_bouldin", "Davies–Bouldin", 3),
)


def show(manifest: Manifest, evaluation: Evaluation, folder: Path, console: Console) -> None:
    """Print figures, comparisons and clusters, and where the report lies."""
    wide = console.width >= _WIDE
    console.print()
    console.print(_figures(manifest, evaluation, wide))
    console.print()
    tables = _published(evaluation), _choice_of_k(evaluation)
    if wide:
        beside = Table.grid(padding=(0, 6))
        beside.add_row(*tables)
        console.print(beside)
    else:
        console.print(tables[0])
        console.print()
        console.print(tables[1])
    console.print()
    remarks = Table.grid(padding=(0, 2))
    remarks.add_column(style="bold", no_wrap=True)
    for topic, words in _remarks(evaluation):
        remarks.add_row(topic, words)
    remarks.add_row("labels", _PROXY)
    console.print(remarks)
    console.print(f"\nbundle  [bold]{manifest.id}[/]", soft_wrap=True)
    name = "report.html" if (folder / "report.html").is_file() else ""
    console.print(f"report  {escape(str(folder / name))}", soft_wrap=True)


def _figures(manifest: Manifest, evaluation: Evaluation, wide: bool) -> Table:
    division = manifest.split
    seen = f"from {division.held_out_from}" if division.held_out_from else "random 20 %"
    fifth = "random 20 %"
    held_out = {
        name: fifth if scorer.evaluated_on == "a random fifth" else seen for name, scorer in REGISTRY.items()
    }
    table = _table("Held-out sessions, with 95 % intervals")
    table.add_column("", no_wrap=True)
    columns = [column for column in _COLUMNS if wide or column[3]]
    for title, *_ in columns:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("sessions", justify="right", no_wrap=True)
    for scorer, where in held_out.items():
        figures = evaluation.figures[scorer]
        values = (_estimate(figures[name], places) for _, name, places, _ in columns)
        sessions = f"{manifest.figures[scorer]['conversion_n']:,}"
        table.add_row(f"[bold]{scorer}[/]\n[dim]{where}[/]", *values, sessions)
    return table


def _published(evaluation: Evaluation) -> Table:
    table = _table("The published work, by its protocol")
    for title in ("", "all inputs", "categories blank", "published"):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    rows = {(row.model, row.figure, row.inputs): row for row in evaluation.published}
    for model, figure, title, places in _COMPARED:
        variants = [rows.get((model, figure, inputs)) for inputs in ("all", "category columns blank")]
        measured = ["" if one is None else f"{one.measured:.{places}f}" for one in variants]
        published = "".join(one.published for one in variants if one is not None)
        table.add_row(title, *measured, f"[bold]{published}[/]")
    return table


def _choice_of_k(evaluation: Evaluation) -> Table:
    table = _table("k-means, training sessions")
    for title in ("k", "silhouette", "Davies–Bouldin"):
        table.add_column(title, justify="right", no_wrap=True)
    widest = max(choice.silhouette for choice in evaluation.choice_of_k)
    tightest = min(choice.davies_bouldin for choice in evaluation.choice_of_k)
    for choice in evaluation.choice_of_k:
        table.add_row(
            str(choice.k),
            _marked(choice.silhouette, choice.silhouette == widest),
            _marked(choice.davies_bouldin, choice.davies_bouldin == tightest),
        )
    return table


def _remarks(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    profiles = (f"{one.name} {one.share:.0%} (converts {one.converted:.2f})" for one in evaluation.clusters)
    yield "clusters", ", ".join(profiles)
    used = len(evaluation.clusters)
    best = max(evaluation.choice_of_k, key=lambda choice: choice.silhouette).k
    tightest = min(evaluation.choice_of_k, key=lambda choice: choice.davies_bouldin).k
    if {best, tightest} != {used}:
        yield (
            "",
            f"[yellow]k = {used} is used, which has the names; by silhouette {best} is best,"
            f" by Davies–Bouldin {tightest}[/]",
        )
    if (matching := evaluation.matching) is not None:
        moved = [f"{here} is {there}" for here, there in matching.optimal.items() if here != there]
        words = (
            f"against {matching.bundle}: adjusted Rand index {matching.agreement:.3f},"
            f" same name in {matching.same_name:.1%} of sessions"
        )
        if moved:
            what = ", ".join(moved)
            yield "", f"[yellow]{words}; by optimal matching {what}: names do not compare[/]"
        else:
            yield "", f"{words}; optimal matching agrees"
    calibrated = "batch, uncalibrated" in evaluation.reliability
    yield (
        "calibration",
        "of batch, fitted by cross-validation on the training sessions"
        if calibrated
        else "none needed: no map of batch's probabilities helps for certain on the training sessions",
    )
    shuffled = evaluation.shuffled
    yield (
        "leakage",
        f"none: with deciding clicks shuffled between sessions AUC {shuffled['auc']:.3f},"
        f" R² {shuffled['r2']:.3f}"
        if abs(shuffled["auc"] - 0.5) <= _CHANCE
        else f"[bold red]AUC {shuffled['auc']:.3f} with deciding clicks shuffled between sessions[/]",
    )
    chosen = [trial for trial in evaluation.trials if trial.chosen]
    for place, trial in enumerate(chosen):
        figure = f"{trial.figure} {trial.mean:.4f} ± {trial.sd:.4f}"
        yield "" if place else "grid", f"{trial.model}: {trial.setting} ({figure})"


def _table(title: str) -> Table:
    return Table(
        title=f"[bold]{title}[/]",
        title_justify="left",
        title_style="",
        header_style="dim",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )


def _estimate(estimate: Estimate, places: int) -> str:
    interval = f"{estimate.low:.{places}f}–{estimate.high:.{places}f}"
    return f"[bold]{estimate.value:.{places}f}[/]\n[dim]{interval}[/]"


def _marked(value: float, best: bool) -> str:
    return f"[bold green]{value:.3f}[/]" if best else f"{value:.3f}"
