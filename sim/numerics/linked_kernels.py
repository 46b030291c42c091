"""Kernels that other kernels call, compiled without what only a call from Python needs.

Numba gives a compiled function machine code of its own, a wrapper for Python and one for C. A
kernel that is compiled into its callers needs none of them.
"""

import functools
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType, ModuleType
from typing import Any, ClassVar

import numba
from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, DefaultPassBuilder, Flags
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import register_pass
from numba.core.dispatcher import Dispatcher
from numba.core.typed_passes import NativeLowering

Function = Callable[..., Any]


class _LinkedLibrary(JITCodeLibrary):  # type: ignore[misc]
    """Library of compiled code that is linked into others, and has no address."""

    def _optimize_final_module(self) -> None:
        """Leave it to the callers, who optimise the function with their own code."""

    def _finalize_final_module(self) -> None:
        """Finish the module without generating machine code."""
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _LinkedLowering(NativeLowering):  # type: ignore[misc]
    """Lowering of a function that only compiled code calls."""

    _name = "linked_lowering"

    def run_pass(self, state: Any) -> bool:
        """Lower the function, and register it with the compiled code that calls it."""
        codegen = state.targetctx.codegen()
        state.library = _LinkedLibrary(codegen, state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        result = state["cr"]
        described = result.fndesc
        # stands for the function among its overloads; never called
        token = _dynfunc.make_function(
            described.lookup_module(), described.qualname, "", 0, result.env, (state.library,)
        )
        state.targetctx.insert_user_function(token, described, [state.library])
        state["cr"] = result._replace(cfunc=token)
        return True


class _KernelFlags(Flags):  # type: ignore[misc]
    """Flags of which all kernels share one copy.

    Numba looks up the compiled forms of its own functions by the flags of their caller. It would
    compile one for kernels with a wrapper and one for kernels without, and compare all flags at
    each look-up.
    """

    __slots__ = ()
    _digest = hash(Flags())
    _copies: ClassVar[list[Flags]] = []

    def __hash__(self) -> int:
        return self._digest

    def __eq__(self, other: object) -> bool:
        return self is other or bool(super().__eq__(other))

    def copy(self) -> "_KernelFlags":
        """Return the copy that numba keeps of the flags while it compiles with them."""
        copied = type(self)(self)
        for name in ("no_compile", "no_cpython_wrapper", "no_cfunc_wrapper"):
            copied.discard(name)
        same = [each for each in self._copies if each == copied]
        if not same:
            self._copies.append(copied)
        return same[0] if same else copied


class EntryCompiler(Compiler):  # type: ignore[misc]
    """Numba's pipeline with :class:`_KernelFlags`."""

    def __init__(self, *arguments: Any) -> None:
        *others, flags, types = arguments
        super().__init__(*others, _KernelFlags(flags), types)


class _LinkedCompiler(EntryCompiler):
    """Numba's pipeline with :class:`_LinkedLowering`."""

    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        place = [each[0] for each in passes.passes].index(NativeLowering)
        passes.passes[place] = (_LinkedLowering, passes.passes[place][1])
        passes._finalized = False
        passes.finalize()
        return [passes]


def link_scope(function: Function) -> dict[str, Any]:
    """Return the global names of a function, with linked kernels for the kernels among them."""
    scope = dict(function.__globals__)
    names = _list_names(function.__code__)
    _link_names(scope, names, function)
    for name in names:
        if isinstance(scope.get(name), ModuleType):
            scope[name] = _link_module(scope[name], names)
    return scope


def _link_module(module: ModuleType, names: set[str]) -> ModuleType:
    """Return a module with linked kernels for those of certain names; itself if it has none."""
    if not any(isinstance(vars(module).get(name), Dispatcher) for name in names):
        return module
    linked = ModuleType(module.__name__)
    vars(linked).update(vars(module))
    _link_names(vars(linked), names, None)
    return linked


def _link_names(scope: dict[str, Any], names: set[str], caller: Function | None) -> None:
    """Put linked kernels in the place of kernels, except that of a caller that calls itself."""
    for name in names:
        if isinstance(scope.get(name), Dispatcher) and scope[name].py_func is not caller:
            scope[name] = _link_kernel(scope[name])


@functools.cache
def _link_kernel(kernel: Any) -> Any:
    """Return a kernel in the form that compiled code calls. It must not be called from Python."""
    plain = kernel.py_func
    linked = FunctionType(
        plain.__code__, link_scope(plain), plain.__name__, plain.__defaults__, plain.__closure__
    )
    linked.__module__, linked.__qualname__ = plain.__module__, f"{plain.__qualname__}.linked"
    options = {"nogil": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return numba.njit(pipeline_class=_LinkedCompiler, **options)(linked)


def _list_names(code: CodeType) -> set[str]:
    """Return the global names that code uses, that of inner functions included."""
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*map(_list_names, inner))


@contextmanager
def pause_collection() -> Iterator[None]:
    """Compile without Python's collector of garbage, which takes a fifth of the time.

    Compiling makes millions of objects of which most live until its end.
    """
    with global_compiler_lock:
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if was_enabled:
                gc.enable()
