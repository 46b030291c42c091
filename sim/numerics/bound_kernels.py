"""Kernels bound to arrays: calls of one form, made from compiled code without Python.

A kernel that takes the tick and then arrays, and returns a whole number, can be bound to certain
arrays. The bound kernel is two addresses: that of its entry, which is compiled once for each layout
of the arrays, and that of a block of words with the places of the arrays. Compiled code calls it
with :func:`call_bound`, whatever its arrays. A list of bound kernels is therefore a program that
needs no compilation of its own.
"""

import ast
import ctypes
import inspect
import struct
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.core.typing import signature
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from sim.numerics.jit import kernel
from sim.numerics.kernel_cache import KernelCache, digest_sources
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
        if isinstance(argument, np.ndarray):
            layout.append(_name_layout(argument, kernel, place))
            words.append(_find_address(argument))
            words += argument.shape
        elif isinstance(argument, int):
            layout.append("i0")
            words.append(argument if argument < 2**63 else argument - 2**64)
        else:
            layout.append("f0")
            words += _FLOAT_AS_WORD.unpack(_FLOAT.pack(argument))
    block = np.array(words or [0], dtype=np.int64)
    return BoundKernel(_find_entry(kernel, " ".join(layout)).address, block, arguments)


_LAYOUTS = {
    (array_type, axes, in_order_of_c): f"{letter if in_order_of_c else letter.upper()}{axes}"
    for array_type, letter in (
        ("?", "b"),
        ("d", "f"),
        ("l", "i"),
        ("q", "i"),
        ("L", "u"),
        ("Q", "u"),
    )
    if np.dtype(array_type).itemsize in (1, 8)
    for axes in range(1, 5)
    for in_order_of_c in (True, False)
}
"""Layouts by numpy's letter of an array's type, number of axes, and order of memory."""

_FLOAT, _FLOAT_AS_WORD = struct.Struct("=d"), struct.Struct("=q")


def _find_address(array: np.ndarray[Any, Any]) -> int:
    """Return the address of an array; faster than its ``ctypes.data`` where it can be written."""
    if array.size and array.flags.c_contiguous and array.flags.writeable:
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))
    address: int = array.ctypes.data
    return address


def _name_layout(array: np.ndarray[Any, Any], kernel: Callable[..., int], place: int) -> str:
    """Return the layout of an array, an argument at a place."""
    name = _LAYOUTS.get((array.dtype.char, array.ndim, array.flags.c_contiguous))
    if name is None or not array.flags.forc:
        where = f"{kernel.__name__}, argument {place + 1}"
        if name is None:
            kind = array.dtype
            raise TypeError(f"{where}: elements of type {kind} cannot be bound, use float64")
        raise TypeError(f"{where}: array is not contiguous, bind the whole of it")
    return name


class _EntryCache(KernelCache):
    """Cache of entries, which differ by kernel and layout, and by the code that makes entries."""

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return sig, codegen.magic_tuple(), self._py_func.__qualname__, digest_sources(__file__)


class _Entry(NamedTuple):
    """Compiled entry of a kernel."""

    address: int
    compiled: Any  # keeps its code in memory


EntryKey = tuple[Any, str]
"""Kernel and layout."""

_ENTRIES: dict[EntryKey, _Entry] = {}
"""Entries of this process."""

_NOT_COMPILED = _Entry(0, None)

_postponed: ContextVar[list[EntryKey] | None] = ContextVar("_postponed", default=None)


@contextmanager
def postpone_compilation() -> Iterator[list[EntryKey]]:
    """Bind kernels without compiling their entries.

    Kernels whose entries are not in memory are bound to the address zero and must not be called.

    Yields:
        Keys of these entries, for :func:`compile_entries`.
    """
    missing: list[EntryKey] = []
    token = _postponed.set(missing)
    try:
        yield missing
    finally:
        _postponed.reset(token)


def compile_entries(keys: Iterable[EntryKey]) -> None:
    """Compile entries or load them from the cache, last those that another process compiles.

    Processes that start together thereby share the work.
    """
    waiting = list(dict.fromkeys(keys))
    while waiting:
        later = [key for key in waiting if not _compile_unless_claimed(*key)]
        if len(later) == len(waiting):
            _find_entry(*later.pop(0))  # waits for the other process
        waiting = later


def _compile_unless_claimed(kernel: Any, layout: str) -> bool:
    """Compile or load an entry; return False if another process is compiling it."""
    cache = _open_cache(_name_entry(kernel.py_func, layout))
    if cache is not None and not cache.claim():
        return False
    try:
        _find_entry(kernel, layout)
    finally:
        if cache is not None:
            cache.release()
    return True


def _find_entry(kernel: Any, layout: str) -> _Entry:
    """Return the entry of a kernel for arguments of a layout; threads compile one at a time."""
    entry = _ENTRIES.get((kernel, layout))
    if entry is None:
        postponed = _postponed.get()
        if postponed is not None:
            postponed.append((kernel, layout))
            return _NOT_COMPILED
        with global_compiler_lock:
            entry = _ENTRIES.get((kernel, layout)) or _compile_entry(kernel, layout)
            _ENTRIES[kernel, layout] = entry
    return entry


def _compile_entry(kernel: Any, layout: str) -> _Entry:
    """Compile an entry, or load it from the cache.

    Its Python function is made only if it must be compiled.
    """
    named = _name_entry(kernel.py_func, layout)
    cache = _open_cache(named)
    context = cpu_target.target_context
    found = None if cache is None else cache.load_overload(ENTRY_SIGNATURE, context)
    if found is not None:
        name = found.fndesc.llvm_cfunc_wrapper_name
        return _Entry(found.library.get_pointer_to_function(name), found)
    enter = _make_entry(kernel.py_func, layout, named.__qualname__)
    types_of_call, options = (CALL_TYPES, types.int64), {"nogil": True}
    entry: Any = CFunc(enter, types_of_call, {}, options, pipeline_class=EntryCompiler)
    if cache is not None:
        entry._cache = cache
    with pause_collection():
        entry.compile()
    return _Entry(entry.address, entry)


def _open_cache(named: FunctionType) -> Any:
    """Return the cache of an entry; none if no folder for it is both writable and safe."""
    with suppress(RuntimeError, OSError):
        return _EntryCache(named)
    return None


def _name_entry(plain: FunctionType, layout: str) -> FunctionType:
    """Return a kernel's function under the name of an entry, which is its name in the cache."""
    named = FunctionType(plain.__code__, plain.__globals__, plain.__name__)
    named.__module__ = plain.__module__
    named.__qualname__ = f"{plain.__qualname__}.enter_{layout.replace(' ', '_')}"
    return named


def _make_entry(plain: FunctionType, layout: str, name: str) -> Callable[[int, int], int]:
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
    enter.__module__, enter.__qualname__ = plain.__module__, name
    return enter


CALL_TYPES = (types.int64, types.int64)
"""Parameters of every entry: the tick, and the address of the block."""

ENTRY_SIGNATURE = signature(types.int64, *CALL_TYPES)
"""Types of every entry, with its result."""


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
