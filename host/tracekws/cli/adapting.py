# SPDX-License-Identifier: Apache-2.0
"""What `bench adapt` and `lab learn-on-device` share."""

from collections.abc import Iterable, Mapping, Sequence

import typer
from rich.table import Table

from tracekws.bench import adapting
from tracekws.bench.own_streams import CAPTIONS as STREAM_CAPTIONS
from tracekws.cli.console import out, print_json, say, say_left_out
from tracekws.columns import CAPTIONS
from tracekws.core import Model


def methods_of(
    wanted: list[str] | None, known: Iterable[str], possible: Iterable[str]
) -> list[str]:
    """The methods to compare; all that are possible, if none is named.

    Raises:
        BadParameter: there is no such method.
    """
    strange = sorted(set(wanted or ()) - set(known))
    if strange:
        raise typer.BadParameter(f"'{strange[0]}' is none of {', '.join(known)}")
    return wanted or list(possible)


def difference(estimate: adapting.Estimate) -> str:
    """A paired difference with its interval."""
    return f"{estimate.mean:+.1f} ({estimate.low:+.1f} to {estimate.high:+.1f})"


def method_table(
    report: adapting.AdaptingReport,
    columns: Sequence[str],
    captions: Mapping[str, str],
    title: str,
) -> Table:
    """A row a method: its value in each column, and the paired difference to "none"."""
    table = Table("method", *(captions[name] for name in columns), title=title)
    for row in report.rows:
        cells = []
        for name in columns:
            value, gain = row.columns.get(name), row.gain.get(name)
            if value is None or gain is None:
                cells.append("-")
            elif row.method == "none":
                cells.append(f"{value.mean:.1f} ({value.low:.1f} to {value.high:.1f})")
            else:
                cells.append(f"{value.mean:.1f}, {difference(gain)}")
        table.add_row(row.method, *cells)
    return table


def show_adaptation(
    report: adapting.AdaptingReport,
    model: Model,
    settings: adapting.Experiment,
    as_json: bool,
    other: Model | None = None,
) -> None:
    """Print an adaptation experiment: a row a method, a column a question.

    Args:
        report: of the model.
        model: what adapted, as its file has it.
        settings: the experiment.
        as_json: instead of a table.
        other: the model that the report was compared with.
    """
    people = report.people
    if as_json:
        print_json(
            {
                "rows": [row.summary() for row in report.rows],
                "model": model.identity,
                "words": list(report.words),
                "against": other and other.identity,
                "settings": settings.__dict__,
                "speakers": len(people.speakers),
                "speakers_left_out": list(people.speakers_left_out),
                "words_left_out": people.words_left_out,
                "unknown_self_clips": report.unknown_self_clips,
                "others_clips": len(people.others),
                "outside_clips": len(people.outside),
                "replay_sequences": int(model.header.n_sequences),
                "repeats_dropped": people.repeats,
                "bad_files": len(people.bad),
                "bad": list(people.bad),
                "long_clips": people.long,
                "data": people.digest,
            }
        )
        return
    captions = CAPTIONS | {
        adapting.SAME_REJECTION: f"{CAPTIONS['keywords_self']}, at the same rejection"
    }
    columns = [name for name in captions if name != "unknown_outside" or len(people.outside)]
    headings = ("method", *(captions[name] for name in columns))
    out.print(method_table(report, columns, captions, "clips"))
    if "stream_self" in report.rows[0].columns:
        out.print(method_table(report, list(STREAM_CAPTIONS), STREAM_CAPTIONS, "streams"))
    out.print(
        f"{len(people.speakers)} speakers, {settings.draws} draws, {settings.shots} takes a word; "
        f"percent, then the paired difference to 'none', in brackets 95 % over speakers"
    )
    if settings.rejection is not None:
        share = f"{100 * settings.rejection:.0f} %"
        out.print(f"the new words: {' '.join(report.words)}; same rejection: {share}")
    if other:
        names = [" ".join(each.identity.values()) for each in (model, other)]
        table = Table(*headings, title=" - ".join(names))
        for row in report.rows:
            found = [row.against and row.against[name] for name in columns]
            table.add_row(row.method, *(difference(one) if one else "-" for one in found))
        out.print(table)
        out.print("the paired difference to the other model after the same takes")
    if people.speakers_left_out:
        say(out, f"too few takes: {', '.join(people.speakers_left_out)}")
    say_left_out(people.repeats, people.bad, people.long)
