"""How the kernels' helpers are compiled: for linking only.

Numba optimises each function with all that it calls and makes machine code of it, before the same is done again for
whoever calls it. A kernel's helpers are called by the kernel alone, so both are left to the last: a third of the first
compilation's time. Their wrappers for Python and C go the same way.
"""

from __future__ import annotations

import gc
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
from numba import njit
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import LoweringPass, register_pass
from numba.core.typed_passes import AnnotateTypes

OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
_LOCK = threading.Lock()


class _Unset:
    """Takes no environment: that of a function is what it raises errors with, and helpers raise none."""

    @staticmethod
    def set_env(name, environment):
        pass


class _LinkedLibrary(JITCodeLibrary):
    """Code that is optimised where it is linked to, and never runs by itself."""

    codegen = _Unset

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True


@register_pass(mutates_CFG=False, analysis_only=True)
class _IntoLinkedLibrary(LoweringPass):
    """Choose where the function's code goes."""

    _name = "agentflow_into_linked_library"

    def __init__(self):
        LoweringPass.__init__(self)

    def run_pass(self, state):
        state.library = _LinkedLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return True


class _HelperCompiler(CompilerBase):
    def define_pipelines(self):
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_IntoLinkedLibrary, AnnotateTypes)
        passes.finalize()
        return [passes]


def helper(**options: Any) -> Any:
    """Decorate a function that only compiled functions call."""
    decorate: Any = njit
    bare = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return decorate(pipeline_class=_HelperCompiler, **bare, **OPTIONS, **options)


def digest(*parts: ModuleType | int) -> int:
    """Return a digest of what is compiled into a kernel from outside its file, which is all that numba's cache sees.

    Modules count with their sources, figures with their values.
    """
    made = hashlib.blake2b(digest_size=7)
    for part in parts:
        made.update(Path(str(part.__file__)).read_bytes() if isinstance(part, ModuleType) else b"%d " % part)
    return int.from_bytes(made.digest(), "little")


def is_compiled(function: Any) -> bool:
    """Whether an entry point runs without being compiled first: its code is loaded, or kept in numba's cache."""
    return bool(function.signatures) or os.path.exists(function._cache._cache_file._index_path)


@contextmanager
def compiling(optimisation: int = 1) -> Iterator[None]:
    """Compile one kernel at a time, at a level of LLVM's optimisation, nothing collected meanwhile (decision 0007)."""
    config: Any = numba.config
    with _LOCK:
        usual, level, collects = config.OPT, getattr(config, "_OptLevel", None), gc.isenabled()
        try:
            gc.disable()
            if level is not None:
                config.OPT = level(optimisation)
            yield
        finally:
            config.OPT = usual
            if collects:
                gc.enable()
