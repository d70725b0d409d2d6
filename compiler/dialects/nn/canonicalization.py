"""What the pass `canonicalize` does to `nn` operations: moves that cancel, biases apart."""

from __future__ import annotations

from xdsl.dialects.builtin import ArrayAttr, IntegerAttr, i64
from xdsl.ir import Operation
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern
from xdsl.traits import HasCanonicalizationPatternsTrait

from mohaq.compiler.dialects.types import DYNAMIC, shape_of


class MoveTrait(HasCanonicalizationPatternsTrait):
    """Patterns of the operations that move elements."""

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        """All of them; each looks at its own operation only."""
        return (DropIdentity(), CancelPair(), ComposeTransposes(), ComposeReshapes())


class SumTrait(HasCanonicalizationPatternsTrait):
    """Patterns of `nn.binary`."""

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        """One."""
        return (AddIsBias(),)


class AddIsBias(RewritePattern):
    """x W^T + b of a product without a bias and a parameter b [N]: the form of many exporters."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        """Give the layer the bias."""
        from mohaq.compiler.dialects import nn
        from mohaq.compiler.dialects.param import LoadOp

        if not isinstance(op, nn.BinaryOp) or op.kind.data != "add":
            return
        for product, bias in ((op.lhs, op.rhs), (op.rhs, op.lhs)):
            layer = product.owner
            if (
                isinstance(layer, nn.LinearOp)
                and layer.bias is None
                and isinstance(bias.owner, LoadOp)
                and shape_of(bias) == shape_of(layer.weight)[:1]
                and len(list(product.uses)) == 1
            ):
                made = nn.LinearOp(layer.label, layer.input, layer.weight, bias)
                made.attributes.update(layer.attributes)
                rewriter.replace(op, made)
                rewriter.erase(layer)
                return


class DropIdentity(RewritePattern):
    """A move that changes nothing."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        """Replace the result by the operand."""
        if _changes_nothing(op):
            rewriter.replace(op, [], [op.operands[0]])


def _changes_nothing(op: Operation) -> bool:
    from mohaq.compiler.dialects import nn

    match op:
        case nn.TransposeOp():
            return op.order == tuple(range(len(op.order)))
        case nn.SliceOp():
            return op.range == slice(0, None, 1)
        case nn.PadOp():
            return op.before.value.data == op.after.value.data == 0
        case nn.ConcatOp():
            return len(op.parts) == 1
        case nn.UnsqueezeOp() | nn.SqueezeOp():
            return not op.axis_numbers
        case nn.UnaryOp():
            return op.function.kind == "identity"
        case nn.ReshapeOp() if op.like is None:
            return _keeps_shape(op.extents, shape_of(op.input), shape_of(op.result))
    return False


def _keeps_shape(extents: tuple[int, ...], before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Whether a reshape gives back its input's shape, symbolic extents at the same places."""
    if before != after:
        return False
    open_places = [n for n, size in enumerate(extents) if size != 0 and before[n] == DYNAMIC]
    # One extent that is not copied is what remains, so it is the input's, too.
    return len(open_places) <= 1


class CancelPair(RewritePattern):
    """squeeze(unsqueeze(x)) and unsqueeze(squeeze(x)) at the same places."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        """Replace the pair by x."""
        from mohaq.compiler.dialects import nn

        if not isinstance(op, (nn.SqueezeOp, nn.UnsqueezeOp)):
            return
        inner = op.input.owner
        if (
            isinstance(inner, (nn.SqueezeOp, nn.UnsqueezeOp))
            and type(inner) is not type(op)
            and inner.axis_numbers == op.axis_numbers
        ):
            rewriter.replace(op, [], [inner.input])


class ComposeTransposes(RewritePattern):
    """transpose(transpose(x)) as one."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        """Replace the outer one."""
        from mohaq.compiler.dialects import nn

        if not isinstance(op, nn.TransposeOp) or not isinstance(op.input.owner, nn.TransposeOp):
            return
        inner = op.input.owner
        order = [inner.order[n] for n in op.order]
        rewriter.replace(op, nn.TransposeOp(inner.input, order))


class ComposeReshapes(RewritePattern):
    """reshape(reshape(x)) as one, where the outer one's kept extents are known in x."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        """Replace the outer one."""
        from mohaq.compiler.dialects import nn

        if not isinstance(op, nn.ReshapeOp) or not isinstance(op.input.owner, nn.ReshapeOp):
            return
        inner = op.input.owner
        if op.like is not None or inner.like is not None:
            return
        # A kept extent is what the inner one wrote there: a number, or kept in its turn.
        extents = [inner.extents[n] if size == 0 else size for n, size in enumerate(op.extents)]
        if extents.count(-1) > 1:
            return
        made = nn.ReshapeOp(inner.input, extents)
        if shape_of(made.result) == shape_of(op.result):
            made.attributes["shape"] = ArrayAttr([IntegerAttr(n, i64) for n in extents])
            rewriter.replace(op, made)
