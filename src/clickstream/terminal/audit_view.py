"""The report of an audit for a person."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console

from clickstream.audit.follow import RoundReport
from clickstream.audit.report import AuditReport, Finding
from clickstream.audit.verdict import KINDS, OpenCounts, RecordCounts, unchecked_parts
from clickstream.infra.words import counted
from clickstream.terminal.printable import plain

_WORDS = {
    "missing": "the log closes it, no score was published",
    "duplicate": "published more than once",
    "unexpected": "published, and the log closes no such window",
    "wrong": "published, and not as the log makes it",
}


def show(report: AuditReport, console: Console) -> None:
    """Print an audit's report for a person."""
    console.print(
        f"{counted(report.clicks, 'click')} and {counted(report.heartbeats, 'heartbeat')} on"
        f" {plain(report.clicks_topic)},"
        f" read to their end; settings {report.settings}"
    )
    for line in (*_scores(report), *_open_scores(report.opened), *_dead_letters(report)):
        console.print(line)
    _predictions(report, console)
    for name, digest in report.digests.items():
        console.print(f"digest of all scores, {name}: {digest}")
    _faults(report, console)
    for note in report.notes:
        console.print(f"[yellow]note:[/] {plain(note)}")
    for finding in report.findings:
        show_finding(finding, console)
    verdict = "[bold red]NOT CLEAN[/]"
    if report.verdict == "exactly once":
        verdict = f"[bold green]exactly once{' so far' if report.pending else ''}[/]"
    elif report.verdict == "unchecked":
        verdict = f"[bold yellow]UNCHECKED[/]: {plain(unchecked_words(report))}"
    console.print(
        f"\n[bold]{counted(report.clicks, 'click')}, {counted(report.scored, 'session')} scored,"
        f" {report.missing:,} missing,"
        f" {report.duplicate:,} duplicate, {report.wrong:,} wrong{open_scores_words(report)}[/]  {verdict}"
    )


def unchecked_words(report: AuditReport | RoundReport) -> str:
    """What could not be checked, in a line."""
    return ", ".join(f"{name} {count:,}" for name, count in unchecked_parts(report).items())


def open_scores_words(report: AuditReport) -> str:
    """How many open scores there are, and how many are not as they must be; empty without any."""
    opened = report.opened
    if not (opened.expected or opened.found):
        return ""
    return (
        f"; {counted(opened.found, 'open score')}, {opened.missing:,} missing,"
        f" {opened.duplicate:,} duplicate, {opened.wrong + opened.unexpected:,} wrong"
    )


def _scores(report: AuditReport) -> Iterator[str]:
    group, scores = plain(report.group), plain(report.scores_topic)
    yield f"{report.windows:>9,}  sessions that the log closes"
    yield f"{report.scored:>9,}  of them with a score on {scores}"
    for kind in KINDS:
        count = getattr(report, kind)
        style = "bold red" if count else "green"
        yield f"[{style}]{count:>9,}  {kind}[/]: {_WORDS[kind]}"
    if report.torn:
        yield f"[bold red]{report.torn:>9,}  torn[/]: windows of a visit whose clicks lie on two partitions"
    others = (
        (report.pending, f"pending: group {group} has not committed the record that closes it"),
        (report.open, "sessions still open at the end of the log"),
        (report.rebuilt_partly, "rebuilt partly after a loss of all of Redis, and marked so"),
        (report.online_restarts, "times online models began again, as after a loss of all of Redis"),
        (report.other_settings, "scores made under other settings: NOT CHECKED, not even their clicks"),
        (report.other_topics, "records about another clicks topic, left out"),
        (report.unchecked, "unchecked: they reach back to where the log does not tell what must be"),
        *((count, f"scores without predictions: {plain(error)}") for error, count in report.errors.items()),
    )
    for count, words in others:
        if count:
            yield f"{count:>9,}  {words}"


def _open_scores(opened: OpenCounts) -> Iterator[str]:
    if not (opened.expected or opened.found):
        return
    counted = _counted(opened, ("rebuilt partly", opened.rebuilt_partly))
    yield f"{opened.expected:>9,}  open scores expected: {counted}"
    yield f"{opened.predictions_checked:>9,}  of them with predictions computed again"


def _dead_letters(report: AuditReport) -> Iterator[str]:
    for reason, letters in report.dead_letters.items():
        yield f"{letters.expected:>9,}  dead letters expected, {reason}: {_counted(letters)}"


def _counted(counts: RecordCounts, *more: tuple[str, int]) -> str:
    """What was found, what is wrong with it, and what is not known of it."""
    words = [f"{counts.found:,} found"]
    for kind in KINDS:
        count = getattr(counts, kind)
        words.append(f"[bold red]{count:,} {kind}[/]" if count else f"0 {kind}")
    open_ends = (("pending", counts.pending), *more, ("unchecked", counts.unchecked))
    return ", ".join((*words, *(f"{count:,} {name}" for name, count in open_ends if count)))


def _predictions(report: AuditReport, console: Console) -> None:
    console.print(
        f"batch and reference predictions computed again: {report.predictions_checked:,},"
        f" online ones: {report.online_checked:,}"
    )
    console.print(
        f"sessions read a second time by the audit's own interpreter: {report.read_twice:,}"
        f" of {report.windows:,}"
    )
    if len(report.bundles) > 1:
        by_bundle = ", ".join(f"{plain(name)} {count:,}" for name, count in report.bundles.items())
        console.print(f"scores by bundle, each checked with its own: {by_bundle}")
    for reason, count in report.predictions_unchecked.items():
        console.print(f"[yellow]predictions not checked:[/] {count:,}, {plain(reason)}")


def _faults(report: AuditReport, console: Console) -> None:
    if (ledger := report.ledger) is not None:
        found, lost = sum(ledger.shown.values()), sum(ledger.absent.values())
        style = "bold red" if lost else "green"
        by_fault = ", ".join(f"{name} {count:,}" for name, count in sorted(ledger.shown.items()))
        console.print(
            f"ledger: {counted(ledger.lines, 'line')}, {found:,} found ({by_fault or 'none'}),"
            f" [{style}]{lost:,} not found[/], {ledger.silent:,} that show in nothing"
        )
        for example in ledger.examples:
            console.print(f"  [red]not found:[/] {plain(example)}")
    if (baseline := report.baseline) is not None:
        style = "bold red" if baseline.differ else "green"
        console.print(
            f"baseline {plain(baseline.topic)}, compared across logs:"
            f" {counted(baseline.equal, 'session')} equal,"
            f" [{style}]{baseline.differ:,} differ[/], {baseline.excused:,} changed by faults of the ledger"
        )
        for example in baseline.examples:
            console.print(f"  [red]differs:[/] {plain(example)}")


def show_finding(finding: Finding, console: Console) -> None:
    """Print what differs, where, and by which rule."""
    console.print(f"\n[bold red]{finding.kind}[/] {finding.what} {plain(finding.id)}")
    if finding.cause is not None:
        console.print(f"  caused by {plain(str(finding.cause))}")
    if finding.found is not None:
        console.print(f"  found in {plain(str(finding.found))}")
    if finding.detail:
        console.print(f"  {plain(finding.detail)}")
    for difference in finding.differences:
        console.print(
            f"  {plain(difference.field)}: expected {plain(repr(difference.expected))},"
            f" found {plain(repr(difference.found))}  [dim]{plain(difference.rule)}[/]"
        )
