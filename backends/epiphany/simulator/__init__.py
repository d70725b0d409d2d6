"""Builds an emitted project with this computer's compiler and runs it in the stand-in.

Knows nothing but the folder: not the estimate, the lowering or the interpreters.
"""

from mohaq.backends.epiphany.simulator.build import BuildOptions, build_project, missing_tools
from mohaq.backends.epiphany.simulator.run import ProjectRun, RunOptions, run_project

__all__ = [
    "BuildOptions",
    "ProjectRun",
    "RunOptions",
    "build_project",
    "missing_tools",
    "run_project",
]
