"""Kernels bound to arrays: calls of one form, made from compiled code without Python.

A kernel that takes the tick and then arrays, and returns a whole number, can be bound to certain
arrays. The bound kernel is two addresses: that of its entry, which is compiled once for each layout
of the arrays, and that of a block of words with the places of the arrays. Compiled code calls it
with :func:`call_bound`, whatever its arrays. A list of bound kernels is therefore a program that
needs no compilation of its own.
"""

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.ccallback import CFunc
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from sim.numerics.jit import kernel
from sim.numerics.kernel_cache import KernelCache
from sim.numerics.linked_kernels import EntryCompiler, link_scope, pause_collection
from sim.types import I8

ELEMENT_TYPES = {
    "b": types.boolean,
    "f": types.float64,
    "i": types.int64,
    "u": types.uint64,
}
"""Element types by the letter of a layout, which is the kind of the array's numpy type."""

_WORD = ir.IntType(64)

Argument = np.ndarray[Any, Any] | int | float


class BoundKernel(NamedTuple):
    """Kernel with the arrays that it reads and writes."""

    address: int  # of the compiled entry
    block: I8  # words that describe the arguments
    arguments: tuple[Argument, ...]  # kept, so that the arrays stay where they are

    def call(self, tick: int) -> int:
        """Call the kernel from Python, and return its result."""
        return _call_once(self.address, tick, self.block.ctypes.data)


def bind_kernel(kernel: Callable[..., int], *arguments: Argument) -> BoundKernel:
    """Bind a kernel to its arguments.

    Args:
        kernel: kernel whose first parameter is the tick and which returns a whole number.
        arguments: arrays of float64, int64, uint64 or bool, contiguous in the order of C or of
            Fortran, which stay in place as long as the kernel is called; or numbers, which are
            constants.

    Raises:
        TypeError: an argument is of another type, or not contiguous.
    """
    words: list[int] = []
    layout = []
    for place, argument in enumerate(arguments):
        name, described = _describe_argument(argument, f"{kernel.__name__}, argument {place + 1}")
        layout.append(name)
        words += described
    block = np.array(words or [0], dtype=np.uint64).view(np.int64)
    return BoundKernel(_compile_entry(kernel, " ".join(layout)).address, block, arguments)


def _describe_argument(argument: Argument, where: str) -> tuple[str, list[int]]:
    """Return the layout of an argument, and the words that describe it."""
    if isinstance(argument, int):
        return "i0", [argument % 2**64]
    if isinstance(argument, float):
        return "f0", [int(np.float64(argument).view(np.uint64))]
    letter = argument.dtype.kind
    if letter not in ELEMENT_TYPES or argument.dtype.itemsize not in (1, 8):
        raise TypeError(f"{where}: elements of type {argument.dtype} cannot be bound, use float64")
    if not argument.flags.c_contiguous:
        if not argument.flags.f_contiguous:
            raise TypeError(f"{where}: array is not contiguous, bind the whole of it")
        letter = letter.upper()
    return f"{letter}{argument.ndim}", [argument.ctypes.data, *argument.shape]


class _EntryCache(KernelCache):
    """Cache of entries, which differ by kernel and layout."""

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return sig, codegen.magic_tuple(), self._py_func.__qualname__


@functools.cache
def _compile_entry(kernel: Any, layout: str) -> Any:
    """Compile the entry of a kernel for arguments of a layout, or load it from the cache."""
    enter = _make_entry(kernel.py_func, layout)
    signature, options = (CALL_TYPES, types.int64), {"nogil": True}
    entry = CFunc(enter, signature, locals={}, options=options, pipeline_class=EntryCompiler)
    with suppress(RuntimeError, OSError):  # no folder for it is both writable and safe
        entry._cache = _EntryCache(enter)  # type: ignore[attr-defined]
    with pause_collection():
        entry.compile()
    return entry


def _make_entry(plain: Callable[..., int], layout: str) -> Callable[[int, int], int]:
    """Return a kernel's function with its arguments read from a block.

    The entry is the kernel itself with another head. One that called the kernel would compile it
    twice.
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(plain)))
    (function,) = tree.body
    assert isinstance(function, ast.FunctionDef)
    tick, *names = (each.arg for each in function.args.args)
    reading = f"{', '.join(names)}, = _unpack(_block, {layout!r})" if names else "pass"
    function.decorator_list, function.returns = [], None
    function.args = ast.arguments([], [ast.arg(tick), ast.arg("_block")], None, [], [], None, [])
    function.body[:0] = ast.parse(reading).body
    ast.increment_lineno(tree, plain.__code__.co_firstlineno - 1)
    scope = {**link_scope(plain), "_unpack": unpack_arguments}
    exec(compile(ast.fix_missing_locations(tree), plain.__code__.co_filename, "exec"), scope)
    enter: Callable[[int, int], int] = scope[plain.__name__]
    enter.__module__ = plain.__module__
    enter.__qualname__ = f"{plain.__qualname__}.enter_{layout.replace(' ', '_')}"
    return enter


CALL_TYPES = (types.int64, types.int64)
"""Parameters of every entry: the tick, and the address of the block."""


def _array_type(word: str) -> Any:
    order = "F" if word[0].isupper() else "C"
    return types.Array(ELEMENT_TYPES[word[0].lower()], int(word[1:]), order)


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def unpack_arguments(typingctx: Any, block: Any, layout: Any) -> Any:
    """Return the tuple of arguments that a block describes (inside compiled code)."""
    words = layout.literal_value.split()
    kinds = [ELEMENT_TYPES[word[0]] if word[1:] == "0" else _array_type(word) for word in words]
    result = types.Tuple(kinds)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        base = builder.inttoptr(args[0], _WORD.as_pointer())
        place, values = 0, []
        for kind in kinds:
            count = kind.ndim if isinstance(kind, types.Array) else 0
            read = [
                builder.load(builder.gep(base, [ir.Constant(_WORD, place + offset)]))
                for offset in range(1 + count)
            ]
            values.append(_build_value(context, builder, kind, read))
            place += 1 + count
        return context.make_tuple(builder, result, values)

    return result(types.int64, layout), generate


def _build_value(context: Any, builder: Any, kind: Any, words: list[Any]) -> Any:
    """Return the compiled value of one argument: a number, or an array in place."""
    if not isinstance(kind, types.Array):
        target = context.get_value_type(kind)
        return builder.bitcast(words[0], target)
    element = context.get_data_type(kind.dtype)
    size = ir.Constant(_WORD, context.get_abi_sizeof(element))
    strides, step = [size] * kind.ndim, size
    axes = range(kind.ndim) if kind.layout == "F" else reversed(range(kind.ndim))
    for axis in axes:
        strides[axis] = step
        step = builder.mul(step, words[1 + axis])
    array = context.make_array(kind)(context, builder)
    populate_array(
        array,
        data=builder.inttoptr(words[0], element.as_pointer()),
        shape=cgutils.pack_array(builder, words[1:], ty=_WORD),
        strides=cgutils.pack_array(builder, strides, ty=_WORD),
        itemsize=size,
        meminfo=None,
    )
    return array._getvalue()


@intrinsic  # type: ignore[untyped-decorator]
def call_bound(typingctx: Any, address: Any, tick: Any, block: Any) -> Any:
    """Call the entry at an address with a tick and the address of a block (compiled code only)."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(_WORD, [_WORD, _WORD])
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])

    return types.int64(types.int64, types.int64, types.int64), generate


@kernel
def _call_once(address: int, tick: int, block: int) -> int:
    result: int = call_bound(address, tick, block)
    return result


@kernel
def call_in_turn(tick: int, addresses: I8, blocks: I8) -> int:
    """Call bound kernels one after another; return the first result other than zero."""
    for place in range(addresses.size):
        result: int = call_bound(addresses[place], tick, blocks[place])
        if result:
            return result
    return 0


def chain_kernels(*kernels: BoundKernel) -> BoundKernel:
    """Return one bound kernel that calls several in turn, up to one that does not return zero."""
    addresses = np.array([each.address for each in kernels], dtype=np.int64)
    blocks = np.array([each.block.ctypes.data for each in kernels], dtype=np.int64)
    chain = bind_kernel(call_in_turn, addresses, blocks)
    kept = (argument for each in kernels for argument in (each.block, *each.arguments))
    return chain._replace(arguments=(*chain.arguments, *kept))
