"""PyTorch models: modules and `.pt2` files, through torch.export."""

from mohaq.compiler.frontends.pytorch.export import (
    import_exported,
    import_file,
    import_module,
    supported,
)

__all__ = ["import_exported", "import_file", "import_module", "supported"]
