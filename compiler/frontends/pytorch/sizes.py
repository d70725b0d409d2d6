"""Which sizes of a module's inputs may vary, found by trying."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_unflatten

from mohaq.compiler.diagnostics import MohaqError

Place = tuple[int, int]
"""(input, extent)."""

COMBINATIONS = 64
"""Groups tried for one size."""

FACTORS = (1, 2, 4, 8)
"""A size that must be even, or a multiple of 4 or 8, is tried as such."""


@dataclass(frozen=True)
class Free:
    """A size that may vary: the places (input, extent) that have it, and two sizes to export at.

    factor: of which the size must be a multiple.
    """

    places: tuple[tuple[int, int], ...]
    sizes: tuple[int, int]
    factor: int = 1

    def parts(self, which: int) -> list[tuple[int, int]]:
        """(number, what the size is divided by for it): the size, its half and so on."""
        divisors = [d for d in FACTORS if self.factor % d == 0]
        return [(self.sizes[which] // d, d) for d in divisors]


@dataclass(frozen=True)
class Signature:
    """How a module is called: tensors in tuples, lists and dicts, beside constants.

    leaves: tensors and constants in order; spec: how they lie in the arguments.
    """

    leaves: tuple[Any, ...]
    spec: Any

    @staticmethod
    def of(arguments: tuple[Any, ...]) -> Signature:
        """Of example arguments.

        Raises:
            MohaqError: something that is no tensor, number, text or None, or an empty tensor.
        """
        leaves, spec = tree_flatten(arguments)
        for number, leaf in enumerate(leaves):
            if not (leaf is None or isinstance(leaf, (torch.Tensor, bool, int, float, str))):
                raise MohaqError(
                    "example inputs are tensors, in tuples, lists and dicts",
                    where=f"input {number}",
                    why=f"it is a {type(leaf).__name__}",
                )
            if isinstance(leaf, torch.Tensor) and leaf.numel() == 0:
                raise MohaqError("an example input has no elements", where=f"input {number}")
        if not any(isinstance(leaf, torch.Tensor) for leaf in leaves):
            raise MohaqError("none of the example inputs is a tensor")
        return Signature(tuple(leaves), spec)

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """The tensors in order."""
        return tuple(leaf for leaf in self.leaves if isinstance(leaf, torch.Tensor))

    def arguments(self, tensors: Sequence[torch.Tensor]) -> tuple[Any, ...]:
        """The arguments of a call with other tensors."""
        given = iter(tensors)
        leaves = [next(given) if isinstance(x, torch.Tensor) else x for x in self.leaves]
        made: tuple[Any, ...] = tree_unflatten(leaves, self.spec)
        return made


def find_free(module: torch.nn.Module, signature: Signature) -> tuple[Free, ...]:
    """Groups of extents that can be changed together without the module failing.

    Extents of one size at one place belong together (the batch of several inputs); if they
    cannot vary together, extents of one size anywhere are tried, then single ones.
    """
    inputs = signature.tensors
    primes = _unused_primes(module, inputs)
    places = [(n, axis) for n, value in enumerate(inputs) for axis in range(value.dim())]
    found: list[Free] = []
    done: set[tuple[int, int]] = set()

    def attempt(group: Sequence[tuple[int, int]]) -> None:
        chosen = tuple(p for p in group if p not in done)
        if not chosen or len(chosen) < len(group):
            return
        one, other = next(primes), next(primes)
        for factor in FACTORS:
            free = Free(chosen, (factor * one, factor * other), factor)
            sized = [resized(inputs, [*found, free], which) for which in (0, 1)]
            if all(_runs(module, signature.arguments(given)) for given in sized):
                found.append(free)
                done.update(chosen)
                return

    by_both: dict[tuple[int, int], list[tuple[int, int]]] = {}
    by_size: dict[int, list[tuple[int, int]]] = {}
    for n, axis in places:
        size = inputs[n].shape[axis]
        by_both.setdefault((size, axis), []).append((n, axis))
        by_size.setdefault(size, []).append((n, axis))
    for group in (
        *by_both.values(),
        *_one_each(by_size),
        *by_size.values(),
        *([p] for p in places),
    ):
        attempt(group)
    return tuple(found)


def _one_each(by_size: Mapping[int, Sequence[Place]]) -> Iterator[list[Place]]:
    """Groups of one extent of each input that has the size, e.g. batch first, states not."""
    for group in by_size.values():
        axes: dict[int, list[Place]] = {}
        for place in group:
            axes.setdefault(place[0], []).append(place)
        for chosen in itertools.islice(itertools.product(*axes.values()), COMBINATIONS):
            yield list(chosen)


def resized(
    inputs: Sequence[torch.Tensor], free: Sequence[Free], which: int
) -> tuple[torch.Tensor, ...]:
    """The inputs with the free extents at one of their two sizes; values repeat."""
    made = []
    for n, value in enumerate(inputs):
        shape = list(value.shape)
        for one in free:
            for place, axis in one.places:
                if place == n:
                    shape[axis] = one.sizes[which]
        grown = value
        for axis, size in enumerate(shape):
            index = torch.arange(size) % grown.shape[axis]
            grown = grown.index_select(axis, index)
        made.append(grown)
    return tuple(made)


def _runs(module: torch.nn.Module, inputs: Sequence[Any]) -> bool:
    try:
        module(*inputs)
    except Exception:  # noqa: BLE001  any failure means that the size is fixed
        return False
    return True


class _Primes:
    """Primes that divide no size of the module, each given once."""

    def __init__(self, taken: set[int]) -> None:
        self._taken = taken
        self._last = 10

    def __next__(self) -> int:
        candidate = self._last + 1
        while any(candidate % d == 0 for d in range(2, int(candidate**0.5) + 1)) or any(
            size % candidate == 0 for size in self._taken
        ):
            candidate += 1
        self._last = candidate
        return candidate


def _unused_primes(module: torch.nn.Module, inputs: Sequence[torch.Tensor]) -> _Primes:
    held = [*module.parameters(), *module.buffers(), *inputs]
    return _Primes({size for tensor in held for size in tensor.shape if size > 1})
