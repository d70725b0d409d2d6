"""`mohaq corpus`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def build(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make.")],
    preset: Annotated[str, typer.Option("--preset", help="Sizes of the splits.")] = "default",
    seed: Annotated[int, typer.Option("--seed", "-s", help="Of everything drawn.")] = 1,
    workers: Annotated[int, typer.Option("--workers", "-j", help="Processes.", min=1)] = 2,
) -> None:
    """Synthesise the phone corpus: voices of espeak-ng, noise, reverb, FBANK features.

    Needs the extra 'speech'. The splits' voices are disjoint; docs/tasks.md has the recipe.

    Example:  mohaq corpus build -o corpus --workers 2
    """
    from mohaq.tools.console import console, say
    from mohaq.tools.speech.corpus import build_corpus
    from mohaq.tools.speech.progress import corpus_progress

    with corpus_progress(console()) as show:
        made = build_corpus(out, preset, seed, workers, show)
    for split, count in made.utterances.items():
        say(f"{split:12} {count:6} utterances {made.frames[split]:9,} frames")
    say(f"wrote {out}")


def fsdd(
    source: Annotated[
        Path, typer.Option("--from", help="Folder with the recordings (d_speaker_i.wav).")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    held_out: Annotated[
        str | None,
        typer.Option("--held-out", help="Speaker of the test split (default: the last)."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", "-s", help="Of everything drawn.")] = 1,
) -> None:
    """Make digit strings of the Free Spoken Digit Dataset (real recordings), one speaker held out.

    The data set is CC BY-SA 4.0 and is not part of mohaq; name the folder where you have it.

    Example:  mohaq corpus fsdd --from free-spoken-digit-dataset/recordings -o digits
    """
    from mohaq.tools.console import say
    from mohaq.tools.speech.fsdd import FsddOptions, build_fsdd

    sets = build_fsdd(source, out, FsddOptions(held_out=held_out, seed=seed))
    for split, data in sets.items():
        say(f"{split:12} {len(data):6} strings {data.frames:9,} frames")
    say(f"wrote {out}")
