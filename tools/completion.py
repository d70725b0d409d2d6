"""What a shell may offer: passes and options inside pipelines, targets, models, programs.

Everything here is asked for at every press of the key, so nothing heavy is imported for it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mohaq.backends
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.plugins import installed
from mohaq.passes.description import Description
from mohaq.tools.catalogue import Catalogue, all_passes

MODEL_FILES = (".mlir", ".onnx", ".pt2")
MODELS = ("speech", "speech-gru", "speech-lstm", "vowels")
MODULE_FILE, MANIFEST_FILE = "program.mlir", "manifest.json"
"""As `mohaq.tools.sources`, `compiler.program` and `compiler.driver` say, which are slow to import."""


def complete_opt(parser: argparse.ArgumentParser) -> None:
    """Answer the shell and end the process, if it is the shell that asks (argcomplete's protocol)."""
    import argcomplete

    for action in parser._actions:
        if action.dest == "pipeline":
            action.completer = _of_pipeline  # type: ignore[attr-defined]
        elif action.dest == "print_ir_after":
            action.completer = _of_print_ir_after  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser, always_complete_options=False)


def opt_script(shell: str) -> str:
    """A script for bash, zsh or fish that asks `mohaq-opt` what may follow."""
    from argcomplete.shell_integration import shellcode

    text: str = shellcode(["mohaq-opt"], shell=shell)
    return text.strip() + "\n"


def _of_pipeline(prefix: str, **_: Any) -> list[str]:
    return pipeline_words(prefix, all_passes())


def _of_print_ir_after(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    names = [name for name, _options in _split(parsed_args.pipeline or "")]
    return ["all", *(names if any(names) else all_passes())]


def pipeline_words(text: str, passes: Catalogue) -> list[str]:
    """All that an unfinished pipeline may become: the next pass, option, or value."""
    name, options = _split(text)[-1]
    if options is None:
        head = text[: len(text) - len(name)]
        return [head + one for one in passes if one.startswith(name)]
    if options.endswith("}") or name not in passes:
        return []
    try:
        about = passes.describe(name)
    except MohaqError:  # a plug-in that cannot be loaded; a listing says so
        return []
    word = options.split(" ")[-1]
    head = text[: len(text) - len(word)]
    return [head + one for one in _option_words(word, options, about) if one.startswith(word)]


def _option_words(word: str, options: str, about: Description) -> Iterator[str]:
    key, sign, _value = word.partition("=")
    if not sign:
        used = {part.partition("=")[0].replace("-", "_") for part in options.split()}
        yield from (f"{o.name}=" for o in about.options if o.name not in used)
        return
    kinds = {option.name: option.kind for option in about.options}
    if key == "target":
        yield from (f"{key}={target}" for target in target_names())
    elif kinds.get(key) == "bool":
        yield from (f"{key}=true", f"{key}=false")


def _split(text: str) -> list[tuple[str, str | None]]:
    """[(pass, what follows its brace or None)] of a pipeline, finished or not."""
    found: list[tuple[str, str | None]] = []
    start, inside, quote = 0, False, False
    for at, sign in enumerate(f"{text},"):
        if sign == '"':
            quote = not quote
        elif quote:
            continue
        elif sign in "{}":
            inside = sign == "{"
        elif sign == "," and not inside:
            found.append(_piece(text[start:at]))
            start = at + 1
    if inside or quote:
        found.append(_piece(text[start:]))
    return found


def _piece(text: str) -> tuple[str, str | None]:
    name, brace, options = text.partition("{")
    return name, options if brace else None


def target_names() -> list[str]:
    """Targets that the installed backends bring; backends of others are imported for it."""
    found = set()
    for folder in mohaq.backends.__path__:
        found |= {file.stem for file in Path(folder).glob("*/targets/*.toml")}
    for plugin in installed("backend").usable.values():
        if not plugin.ours:
            from mohaq.backends.registry import get_backend

            try:
                found |= set(get_backend(plugin.name).targets())
            except MohaqError:  # `mohaq targets` says why
                continue
    return sorted(found)


def complete_target(incomplete: str) -> list[str]:
    """Targets, and target files."""
    return _beginning(incomplete, [*target_names(), *_files(incomplete, (".toml",))])


def complete_model(incomplete: str) -> list[str]:
    """Built-in models, program folders and model files."""
    return _beginning(
        incomplete, [*MODELS, *_folders(incomplete, MODULE_FILE), *_files(incomplete, MODEL_FILES)]
    )


def complete_program(incomplete: str) -> list[str]:
    """Program folders, compiled folders, `.mlir` files."""
    held = [*_folders(incomplete, MODULE_FILE), *_folders(incomplete, MANIFEST_FILE)]
    return _beginning(incomplete, [*held, *_files(incomplete, (".mlir",))])


def complete_compiled(incomplete: str) -> list[str]:
    """Compiled folders."""
    return _beginning(incomplete, _folders(incomplete, MANIFEST_FILE))


def complete_pass(incomplete: str) -> list[str]:
    """Names of passes."""
    return _beginning(incomplete, all_passes())


def _beginning(text: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(text)]


def _near(incomplete: str) -> Mapping[str, Path]:
    """{as the user would write it: path} of what lies in the folder that is being typed."""
    lead = incomplete[: incomplete.rfind("/") + 1]
    folder = Path(lead).expanduser() if lead else Path()
    try:
        return {lead + path.name: path for path in sorted(folder.iterdir())}
    except OSError:
        return {}


def _folders(incomplete: str, marker: str) -> list[str]:
    return [text for text, path in _near(incomplete).items() if (path / marker).is_file()]


def _files(incomplete: str, suffixes: tuple[str, ...]) -> list[str]:
    return [text for text, path in _near(incomplete).items() if path.suffix in suffixes]
