# SPDX-License-Identifier: Apache-2.0
"""`tracekws profile`: takes of a user, kept to be learned again by another model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from tracekws.cli.console import (
    check_json,
    count,
    out,
    print_json,
    printing,
    say,
    stages,
    talk,
)
from tracekws.cli.devices import (
    confirm,
    device_model,
    open_device,
    say_saved,
    warn_before_learning,
)
from tracekws.cli.options import DeviceModel, Force, Json, Port, Save, Virtual
from tracekws.device.relearn import Relearning
from tracekws.errors import DataError
from tracekws.names import normalised
from tracekws.profile import Profile, changing, folder, path_in_folder
from tracekws.shipped import MODEL

app = typer.Typer(
    help="Takes of a user, kept as features to be learned again by another model.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(help="Name of the profile.")]


def facts(name: str, profile: Profile) -> dict[str, Any]:
    """What a profile is, for programs."""
    return {
        "name": normalised(name),
        "words": profile.words,
        "takes": len(profile.takes),
        "bytes": len(profile.content),
        "front_end": f"{profile.front_end:08x}",
        "models": profile.models(),
    }


def takes_of(words: Mapping[str, int]) -> str:
    """Words with the numbers of their takes."""
    return ", ".join(f"{word} {n}" for word, n in words.items())


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """List the profiles of this machine: words with their takes, size, and who can learn them.

    Models of another front end cannot learn a profile; those that come with this package and can
    are named.

    Example: `tracekws profile list`
    """
    found, wrong = [], []
    for name in Profile.names():
        try:
            found.append(facts(name, Profile.load(name)))
        except DataError as error:
            wrong.append({"name": name, "text": str(error)})
    if as_json:
        print_json({"folder": str(folder()), "profiles": found, "unreadable": wrong})
        return
    table = Table("profile", "words", "takes", "size", "front end", "of models")
    for one in found:
        size = f"{one['bytes'] / 1024:.0f} KB"
        models = ", ".join(one["models"]) or "of your own"
        words = takes_of(one["words"])
        table.add_row(one["name"], words, str(one["takes"]), size, one["front_end"], models)
    if found:
        out.print(table)
    elif not wrong:
        say(out, "there is no profile: `tracekws adapt` and `teach` make one by --profile NAME")
    for each in wrong:
        say(talk, f"warning: {each['text']}")


@app.command()
def load(
    profile: Name,
    words: Annotated[
        list[str] | None,
        typer.Option(
            "--word",
            help="Learn this word alone; may be given several times.",
            show_default=False,
        ),
    ] = None,
    forget_first: Annotated[
        bool,
        typer.Option("--forget-first", help="First forget all that the device has learned."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    force: Force = False,
    keep: Save = True,
    model: DeviceModel = MODEL,
    port: Port = None,
    virtual: Virtual = False,
    as_json: Json = False,
) -> None:
    """Teach the device from a profile, without its user.

    The takes are learned as they were before: what `adapt` learned as adapting does it, what
    `teach` did as words of your own. A word that the model lacks becomes one of your own. Takes
    that sound like another word to the model are refused and named.

    What the device has learned stays, and the takes are added to it; for another user give
    --forget-first, which cannot be taken back.

    Example: `tracekws profile load anna --forget-first`
    """
    if forget_first and not keep:
        raise typer.BadParameter("--forget-first saves that all is forgotten: leave out --no-save")
    kept = Profile.load(profile)

    def as_plain(result: Relearning) -> dict[str, object]:
        return {"profile": normalised(profile), **asdict(result)}

    def show(result: Relearning) -> None:
        """Give all that can fail, so that nothing is saved when it does."""
        if as_json:
            longest = as_plain(replace(result, generation=2**32 - 1))
            check_json(longest)
            return
        for warning in result.warnings:
            say(talk, f"warning: {warning}")
        with printing():
            learned = count(sum(result.learned.values()))
            say(out, f"{learned} learned from {profile}: {takes_of(result.learned)}")

    with open_device(port, virtual) as device:
        about = device.info()
        if not forget_first:
            warn_before_learning(about, keep)
        others = {"other-model", "newer-format"}
        learned = about.generation or about.changed or others & {*about.slots}
        if forget_first and learned and not yes:
            confirm("Erase everything that was learned?")
        with stages() as stage:
            result = device.learn_profile(
                kept,
                words=words,
                forget_first=forget_first,
                model=device_model(model),
                save=keep,
                force=force,
                about=about,
                progress=stage.report,
                before_save=stage.aside(show),
            )
    say_saved(result.generation, virtual)
    if as_json:
        print_json(as_plain(result))


@app.command()
def export(
    profile: Name,
    file: Annotated[Path, typer.Argument(help="Where it goes; a file there is replaced.")],
    as_json: Json = False,
) -> None:
    """Write a profile to a file, for another machine.

    What was said can be told from it: hand it on as you would a recording.

    Example: `tracekws profile export anna anna.profile`
    """
    kept = Profile.load(profile)
    kept.write(file)
    if as_json:
        print_json(facts(profile, kept) | {"file": str(file)})
    else:
        say(out, f"{file}: {count(len(kept.takes))}, {len(kept.content) / 1024:.0f} KB")


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="That `profile export` wrote.")],
    profile: Annotated[
        str | None,
        typer.Option("--as", help="Name of the profile; the file's by default."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Take a profile in from a file; one that is there stays. One without takes is refused.

    Example: `tracekws profile import anna.profile --as anna`
    """
    name = normalised(file.stem if profile is None else profile)
    kept = Profile.read(file)
    if not kept.takes:
        raise DataError(f"{file}: the profile holds no take: there is nothing to take in")
    with changing():
        if path_in_folder(name).exists():
            raise DataError(f"there is a profile {name!r} already: give another name by --as")
        kept.save(name)
    if as_json:
        print_json(facts(name, kept))
    else:
        say(out, f"profile {name}: {takes_of(kept.words)}")


@app.command()
def forget(
    profile: Name,
    word: Annotated[
        str | None, typer.Argument(help="Forget the takes of this word alone.", show_default=False)
    ] = None,
    take: Annotated[
        int | None,
        typer.Option(help="Forget only this take of the word; 1 is the first.", min=1),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Erase a profile, or a word, or a take of it. No device forgets anything by it.

    Example: `tracekws profile forget anna`, or `tracekws profile forget anna yes --take 2`
    """
    if take is not None and word is None:
        raise typer.BadParameter("--take is for a word: name it, too")
    if word is None:
        if normalised(profile) in Profile.names() and not yes:
            confirm(f"Erase the profile {profile!r}?")
        Profile.remove(profile)
        left = Profile(0)
    else:
        before = Profile.load(profile)
        left = before.without(word, take)
        what = f"{word!r}" if take is None else f"take {take} of {word!r}"
        if not yes:
            confirm(f"Erase {what} from the profile {profile!r}?")
        with changing():
            if Profile.load(profile) != before:
                raise DataError(
                    f"the profile {profile!r} has changed meanwhile: nothing was erased"
                )
            left.save(profile)
    if as_json:
        print_json({"name": normalised(profile), "words": left.words})
    elif word is None:
        say(out, f"erased profile {profile}")
    else:
        say(out, f"profile {profile}: {takes_of(left.words) or 'empty'}")
