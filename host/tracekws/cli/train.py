# SPDX-License-Identifier: Apache-2.0
"""`tracekws train`: train a model and write its image."""

from pathlib import Path
from typing import Annotated

import typer

from tracekws import data
from tracekws.cli.console import out, print_json, say, stages, talk
from tracekws.cli.options import (
    DataOption,
    Json,
)
from tracekws.errors import TraceKwsError
from tracekws.shipped import install_command


def train(
    folder: DataOption,
    run: Annotated[Path, typer.Option(help="Folder of checkpoints; training resumes from it.")],
    output: Annotated[Path, typer.Option(help="Model image to write; its card goes beside it.")],
    config: Annotated[
        str,
        typer.Option(help="Settings: base, small, quick, or a TOML file that says what differs."),
    ] = "base",
    words: Annotated[
        str | None, typer.Option(help="Other keywords, as in a,b,c; folders of the tree.")
    ] = None,
    neurons: Annotated[
        int | None, typer.Option(help="Hidden neurons, not the configuration's.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs, not the configuration's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed, not the configuration's.")] = None,
    exclude_speakers: Annotated[
        Path | None, typer.Option(help="File with speakers not to train on, a name a line.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that augment.", min=1)] = 1,
    threads: Annotated[
        int | None, typer.Option(help="Threads of torch; all cores by default.", min=1)
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a model and write its image; needs `make setup-train`.

    With --config quick it is a model of your own --words in minutes, on the layer of base: ten
    takes each of ten speakers do. It says before how long it takes, and in the end what it is
    worth. Noise and other words that the tree lacks are made.

    Example: `tracekws train --data speech_commands --run runs/mine --output mine.tkws`
    """
    excluded = frozenset(data.read_names(exclude_speakers) if exclude_speakers else [])
    from tracekws.train.config import load_config, shipped
    from tracekws.train.defaults import DETECTOR, LEARNING

    listed = None if words is None else [word.strip() for word in words.split(",")]
    given = {"words": listed, "neurons": neurons, "epochs": epochs, "seed": seed}
    changes = {name: value for name, value in given.items() if value is not None}
    settings = load_config(config, **changes)
    try:
        from tracekws.train import pipeline
    except ImportError as error:
        raise TraceKwsError(
            f"training needs {error.name}; install it with: {install_command('train')}"
        ) from error
    said = {k: ",".join(v) if isinstance(v, list) else str(v) for k, v in changes.items()}
    job = pipeline.Job(
        folder,
        run,
        output,
        excluded,
        workers,
        threads or pipeline.free_cores(),
        config if config in shipped() else Path(config).name,
        said,
    )
    with stages() as stage:
        made = pipeline.train(
            job,
            settings,
            LEARNING,
            DETECTOR,
            stage,
            lambda epoch: talk.print(pipeline.epoch_text(epoch)),
            lambda text: say(talk, text),
        )
    if made is None:
        return  # torchrun's first process says it
    if as_json:
        held_out = {"held_out": made.worth.summary()} if made.worth else {}
        print_json({"model": str(output), **made.model.identity, **held_out})
        return
    for line in made.worth.lines() if made.worth else ():
        say(out, line)
    out.print(f"{output} and its card {output.with_suffix('.md')}")
