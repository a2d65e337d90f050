"""What a training of any shop found, for a person at a terminal: one screen."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from clickstream.models.evaluation import Estimate
from clickstream.models.shop.evaluation import ShopEvaluation
from clickstream.terminal.printable import plain

# Title, name of the figure, places.
_FIGURES = (
    ("AUC", "auc", 3),
    ("AUC, visits alike", "auc_alike", 3),
    ("PR-AUC", "average_precision", 3),
    ("log-loss", "log_loss", 3),
    ("ECE", "ece", 3),
    ("lift, best tenth", "lift", 1),
    ("R²", "r2", 3),
    ("MAE", "mae", 2),
)

# Of few sessions the AUC of a coin scatters further; the warning would cry wolf.
_CHANCE = 0.03


def show_shop_training(evaluation: ShopEvaluation, folder: Path, console: Console) -> None:
    """Print figures, quality by clicks seen, clusters, and what must be known to read them."""
    console.print()
    console.print(_figures(evaluation))
    console.print()
    console.print(by_seen_table(evaluation))
    console.print()
    remarks = Table.grid(padding=(0, 2))
    remarks.add_column(style="bold", no_wrap=True)
    for topic, words in _remarks(evaluation):
        remarks.add_row(topic, words)
    console.print(remarks)
    console.print(f"\nbundle  [bold]{folder.name}[/]", soft_wrap=True)
    console.print(f"report  {plain(str(folder / 'report.html'))}", soft_wrap=True)


def _figures(evaluation: ShopEvaluation) -> Table:
    held = evaluation.held_out
    rows = evaluation.beside()
    table = _table(f"At the decision points of the last {held.sessions:,} sessions, with 95 % intervals")
    table.add_column("", no_wrap=True)
    for title in rows:
        table.add_column(plain(title), justify="right", no_wrap=title in evaluation.figures)
    for title, figure, places in _FIGURES:
        if any(figure in of for of in rows.values()):
            # What the models are compared with is shown without its interval: a narrow terminal has no room.
            cells = [
                _told(of.get(figure), places, with_interval=name in evaluation.figures)
                for name, of in rows.items()
            ]
            table.add_row(title, *cells)
    return table


def by_seen_table(evaluation: ShopEvaluation) -> Table:
    """ROC-AUC of each scorer after so many clicks, and at the last decision point."""
    table = _table("AUC by clicks seen")
    for title in ("clicks seen", "sessions", *evaluation.figures):
        table.add_column(title, justify="right" if title != "clicks seen" else "left", no_wrap=True)
    for seen in dict.fromkeys(one.seen for one in evaluation.by_seen):
        found = [one for one in evaluation.by_seen if one.seen == seen]
        table.add_row(
            "at the last point" if seen is None else f"{seen}",
            f"{found[0].sessions:,}",
            *(_told(one.auc, 3) for one in found),
        )
    return table


def _remarks(evaluation: ShopEvaluation) -> list[tuple[str, str]]:
    train, held = evaluation.train, evaluation.held_out
    control = f"AUC {evaluation.shuffled:.3f} with the futures of other sessions; 0.5 is chance"
    if abs(evaluation.shuffled - 0.5) > _CHANCE:
        control += ". [bold red]Something leaks[/], or the sessions are too few"
    groups = ", ".join(
        f"{plain(one.name)} {one.share:.0%} (converts {one.converted:.2f})" for one in evaluation.clusters
    )
    return [
        ("goal", plain(evaluation.goal)),
        (
            "sessions",
            f"{train.sessions:,} to train, {train.converted:,} of which convert;"
            f" {held.sessions:,} held out, {held.converted:,} of which convert",
        ),
        ("control", control),
        ("clusters", groups),
        *(("note", plain(note)) for note in evaluation.notes),
    ]


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        header_style="dim",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )


def _told(estimate: Estimate | None, places: int, with_interval: bool = True) -> str:
    if estimate is None:
        return "[dim]–[/]"
    interval = f" [dim]{estimate.low:.{places}f}–{estimate.high:.{places}f}[/]" if with_interval else ""
    return f"{estimate.value:.{places}f}{interval}"
