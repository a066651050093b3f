"""The house rules that a machine can check: floors, arrows, cycles, sizes, docstrings, exceptions, names."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "midi_llm"

FLOORS = {
    "errors": 0,
    "version": 0,
    "whole_file": 0,
    "weights": 1,
    "music": 1,
    "tokens": 2,
    "synth": 2,
    "notation": 2,
    "prompt": 3,
    "engines": 3,
    "model": 3,
    "compose": 4,
    "data": 4,
    "train": 5,
    "evaluate": 5,
    "server": 6,
    "client": 7,
    "cli": 7,
    "__main__": 8,
    "__init__": 8,
}
"""A file imports only from lower floors, from its own package, and from `errors`."""

SAME_FLOOR = {("model", "prompt")}
"""A checkpoint carries its prompt format, so `model` may see `prompt`; nothing else looks sideways."""

FORBIDDEN = {
    ("data", "model"),
    ("train", "compose"),
    ("evaluate", "train"),
    ("evaluate", "compose"),
    ("synth", "tokens"),
    ("engines", "music"),
    ("engines", "tokens"),
    ("engines", "prompt"),
}
"""Arrows that the floors would allow and that must never be."""

CONCRETE_ENGINES = {f"midi_llm.engines.{name}" for name in ("onnx_engine", "torch_engine", "vllm_engine", "replay")}

OUTSIDE = {
    "music": {"numpy"},
    "tokens": {"numpy"},
    "synth": {"numpy", "soundfile", "sounddevice"},
    "notation": {"numpy", "verovio", "typst"},
    "compose": {"numpy", "tokenizers"},
    "errors": set(),
    "version": set(),
    "whole_file": set(),
}
"""The only third-party packages that these floors may import, anywhere in a file."""

HEAVY = ("torch", "transformers", "vllm", "fastapi", "pydantic", "httpx", "onnxruntime", "tokenizers", "numpy")

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 80
MOST_FUNCTION_LINES = 40
MEDIAN_FUNCTION_LINES = 12

FILES = sorted(PACKAGE.rglob("*.py"))
DEPLOY_FILES = sorted((ROOT / "deploy").rglob("*.py"))
"""Beside the package, and held to the same sizes and the same care."""
TEST_FILES = sorted(path for name in ("tests", "benchmarks") for path in (ROOT / name).rglob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def holds_for(paths: list[Path]) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """A rule that each of `paths` keeps: one test that names every breach, for thousands of tests take their time."""

    def made_test(rule: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            breaches = []
            for path in paths:
                try:
                    rule(path)
                except AssertionError as breach:
                    breaches.append(f"{label(path)}: {breach}")
            assert not breaches, "\n".join(breaches)

        test.__name__ = rule.__name__
        return test

    return made_test


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def walk(node: ast.AST, *, types_too: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not types_too and is_type_checking(child):
            continue
        yield child
        yield from walk(child, types_too=types_too)


MODULES = {module_name(path): path for path in FILES}


@cache
def imports(path: Path, *, types_too: bool = True) -> set[str]:
    """The modules a file imports, as dotted names; our own ones resolved to modules that exist."""
    found: set[str] = set()
    for node in walk(tree(path), types_too=types_too):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{label(path)}:{node.lineno} uses a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found.update(name if name in MODULES else str(node.module) for name in names)
    return found


def functions(path: Path) -> Iterator[tuple[Function, bool]]:
    """Every function of a file, and whether it is public (no underscore in its own or its class's name)."""

    def visit(node: ast.AST, public: bool) -> Iterator[tuple[Function, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                mine = public and not child.name.startswith("_")
                yield child, mine
                yield from visit(child, False)
            elif isinstance(child, ast.ClassDef):
                yield from visit(child, public and not child.name.startswith("_"))
            else:
                yield from visit(child, public)

    yield from visit(tree(path), True)


def body_lines(function: Function) -> int:
    """Lines from the `def` to the end, without the docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


@holds_for(FILES)
def test_a_file_imports_only_from_lower_floors(path: Path) -> None:
    mine = floor_of(module_name(path))
    assert mine in FLOORS, f"{label(path)} stands on no floor: add it to FLOORS or move it"
    for name in imports(path):
        if name.split(".")[0] != "midi_llm":
            continue
        theirs = floor_of(name)
        if theirs in {mine, "errors"} or (mine, theirs) in SAME_FLOOR or (name == "midi_llm" and mine == "cli"):
            continue
        assert FLOORS[theirs] < FLOORS[mine], f"{label(path)} imports {name}, which is not below {mine}"
        assert (mine, theirs) not in FORBIDDEN, f"{label(path)} imports {name}: {mine} must never know {theirs}"


@holds_for(FILES)
def test_low_floors_import_only_their_own_third_party_packages(path: Path) -> None:
    mine = floor_of(module_name(path))
    if mine in OUTSIDE:
        top = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names) - {"midi_llm"}
        assert top <= OUTSIDE[mine], f"{label(path)} imports {sorted(top - OUTSIDE[mine])}"


def test_compose_knows_no_concrete_engine() -> None:
    for path in FILES:
        if floor_of(module_name(path)) == "compose":
            assert not imports(path) & CONCRETE_ENGINES, f"{label(path)} names a concrete engine"


def test_there_is_no_import_cycle() -> None:
    graph = {name: imports(path, types_too=False) & set(MODULES) - {name} for name, path in MODULES.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for target in graph[name]:
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@holds_for(FILES + DEPLOY_FILES + TEST_FILES)
def test_a_file_has_at_most_300_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES


def test_functions_are_short() -> None:
    sizes = {f"{label(p)}:{f.lineno} {f.name}": body_lines(f) for p in FILES + DEPLOY_FILES for f, _ in functions(p)}
    too_long = {name: size for name, size in sizes.items() if size > MAX_FUNCTION_LINES}
    assert not too_long, too_long
    longish = {name: size for name, size in sizes.items() if size > MOST_FUNCTION_LINES}
    assert len(longish) <= 0.1 * len(sizes), longish
    assert statistics.median(sizes.values()) <= MEDIAN_FUNCTION_LINES


@holds_for(FILES + DEPLOY_FILES)
def test_every_module_states_its_contract_in_ten_lines(path: Path) -> None:
    docstring = ast.get_docstring(tree(path))
    assert docstring, f"{label(path)} has no docstring"
    if path.name != "errors.py":  # its docstring is the drawing of the tree
        assert len(docstring.splitlines()) <= 10, f"{label(path)}: a module docstring has at most 10 lines"


@holds_for(FILES + DEPLOY_FILES)
def test_public_functions_are_documented_and_typed(path: Path) -> None:
    for function, public in functions(path):
        where = f"{label(path)}:{function.lineno} {function.name}"
        assert function.returns is not None or function.name == "__init__", f"{where} has no return type"
        arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
        untyped = [a.arg for a in arguments if a.annotation is None and a.arg not in {"self", "cls"}]
        assert not untyped, f"{where} has untyped arguments {untyped}"
        if public:
            assert ast.get_docstring(function), f"{where} has no docstring"


@holds_for(FILES + DEPLOY_FILES)
def test_no_exception_is_caught_bare_or_broad(path: Path) -> None:
    source = path.read_text(encoding="utf-8").splitlines()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler):
            where = f"{label(path)}:{node.lineno}"
            if "# noqa: BLE001 - " in source[node.lineno - 1]:
                continue  # a foreign library raises bare Exception: the line gives the reason
            assert node.type is not None, f"{where} is a bare except"
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            names = {kind.id for kind in kinds if isinstance(kind, ast.Name)}
            assert not names & {"Exception", "BaseException"}, f"{where} catches {names}"


@holds_for(FILES)
def test_modules_have_names_that_say_something(path: Path) -> None:
    assert not {"utils", "util", "common", "helpers", "misc", "constants"} & set(module_name(path).split("."))


@holds_for(FILES)
def test_library_code_neither_prints_nor_exits_nor_reads_the_tests(path: Path) -> None:
    mine = floor_of(module_name(path))
    assert not {name.split(".")[0] for name in imports(path)} & {"tests", "runs", "web", "benchmarks"}
    if mine in {"cli", "__main__"}:
        return
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"print", "exit", "quit"}, f"{label(path)}:{node.lineno} calls {node.func.id}"


def test_importing_the_package_is_light() -> None:
    code = f"import sys, midi_llm; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_core_never_loads_torch() -> None:
    code = (
        "import sys, midi_llm; [getattr(midi_llm, n) for n in midi_llm.__all__];"
        "import midi_llm.cli.main; print(*[m for m in ('torch', 'transformers', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
