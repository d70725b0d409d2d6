"""The model and the data of a reproduction: TIMIT if the user has it, else the default corpus."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from mohaq.compiler.data import Dataset, load_dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import read_json, write_text
from mohaq.compiler.frontends import load
from mohaq.compiler.program import Program
from mohaq.tools.sources import calibrate_on, held_out, load_data, load_model

Tell = Callable[[str], None]

MODEL_FOLDER, CORPUS_FOLDER, TRAINED_FOLDER = "start", "timit", "trained"
SOURCE_FILE = "source.json"


@dataclass(frozen=True)
class Task:
    """What an experiment works on.

    Attributes:
        program: calibrated.
        validation: that the search measures errors on.
        test: that points are measured on in the end.
        learned, judged: that beacons are trained on, and their epochs chosen on.
        metric: of the search.
        metrics: of the end.
        text: one line about all that.
    """

    program: Program
    validation: Dataset
    test: Dataset
    learned: Dataset
    judged: Dataset
    metric: str
    metrics: tuple[str, ...]
    text: str


def default_task(corpus: Path | None, tell: Tell) -> Task:
    """The shipped speech model and its frozen data; beacons learn from a built corpus, if any."""
    tell("load the speech model, calibrate")
    program = load_model("speech")
    calibration = load_data("speech:calibration")
    calibrate_on(program, calibration)
    learned, judged = held_out(
        calibration if corpus is None else load_dataset(corpus / "train.safetensors")
    )
    return Task(
        program,
        load_data("speech:validation"),
        load_data("speech:test"),
        learned,
        judged,
        "fer",
        ("fer", "per"),
        "default corpus (synthetic phones), Bi-SRU 4 x 128; not TIMIT, not the paper's size",
    )


def timit_task(
    timit: Path, out: Path, network: str, epochs: int | None, seed: int, tell: Tell
) -> Task:
    """TIMIT, and a network trained on it; both are kept in `out` for the next time.

    Args:
        timit: the user's copy.
        out: folder of all reproductions.
        network: `default` (4 x 128) or `paper` (4 x 550).
        epochs: of its training; None: the recipe's.
        seed: of the training.
        tell: told what is going on.

    Raises:
        MohaqError: see `mohaq.tools.speech.timit` and `mohaq.tools.speech.train`; `out` holds a
            network of another copy or recipe.
    """
    from mohaq.tools.speech.timit import STANDARD, build_timit

    corpus = out / CORPUS_FOLDER
    said = {"timit": str(timit.resolve()), "network": network, "epochs": epochs, "seed": seed}
    _same(out / SOURCE_FILE, said)
    if not (corpus / "corpus.json").exists():
        tell("read TIMIT")
        build_timit(timit, corpus)
    sets = {s: load_dataset(corpus / f"{s}.safetensors") for s in (*STANDARD, "calibration")}
    for split, count in STANDARD.items():
        if len(sets[split]) != count:
            tell(f"the {split} split has {len(sets[split])} utterances, TIMIT's has {count}")
    program = _trained(corpus, out, network, epochs, seed, sets["calibration"], tell)
    learned, judged = held_out(sets["train"])
    return Task(
        program,
        sets["validation"],
        sets["test"],
        learned,
        judged,
        "timit-per",
        ("timit-per", "timit-fer"),
        f"TIMIT, Bi-SRU of the size '{network}', {len(sets['train'])} training utterances",
    )


def _trained(
    corpus: Path,
    out: Path,
    network: str,
    epochs: int | None,
    seed: int,
    calibration: Dataset,
    tell: Tell,
) -> Program:
    """The trained, calibrated network; a training that was interrupted goes on."""
    from dataclasses import replace

    from mohaq.tools.speech.train import TrainOptions, train

    if (out / MODEL_FOLDER).exists():
        return Program.load(out / MODEL_FOLDER)
    options = TrainOptions(model=network, seed=seed)
    if epochs is not None:
        options = replace(options, epochs=epochs)
    tell(f"train the network, {options.epochs} epochs")
    done = train(
        corpus,
        out / TRAINED_FOLDER,
        options,
        lambda epoch, all_, record: tell(
            f"epoch {epoch} of {all_}: validation FER {100 * record['validation']:.1f} % of 48"
        ),
    )
    program = load(done.model.eval(), (torch.zeros(8, 2, calibration.features),))
    calibrate_on(program, calibration)
    program.save(out / MODEL_FOLDER)
    return program


def _same(path: Path, said: Mapping[str, object]) -> None:
    """Refuse a folder that was made with other choices.

    Raises:
        MohaqError: naming what differs.
    """
    if not path.exists():
        write_text(path, json.dumps(said) + "\n")
        return
    held = read_json(path, "reproduction")
    if held != said:
        differing = [k for k, v in said.items() if held.get(k) != v]
        raise MohaqError(
            "this folder holds a network trained otherwise",
            where=str(path.parent),
            why="; ".join(f"{k} was {held.get(k)}, now {said[k]}" for k in differing),
            hint="choose another output folder",
        )
