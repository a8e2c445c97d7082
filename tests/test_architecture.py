"""The directions of docs/architecture.md, held by the imports of the code itself."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYER = ROOT / "layers" / "common"
MAX_LINES = 320
HEAVY = ("openai", "anthropic", "numpy", "onnxruntime", "tokenizers", "tiktoken")
DOCUMENT_LIBRARIES = ("pypdf", "pypdfium2", "docx", "lxml", "inscriptis", "markdown_it")


def _module(path: Path) -> str:
    base = LAYER if path.is_relative_to(LAYER) else ROOT
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def _imports(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    """Modules that a file imports, `from package import module` as package.module."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


@pytest.mark.parametrize("function", ["ask", "ingest", "webhooks", "admin"])
def test_a_function_imports_no_other_function(function: str) -> None:
    for path in _sources(f"functions/{function}"):
        for module in _imports(path):
            assert (
                not _within(module, "functions") or _within(module, f"functions.{function}") or module == "functions"
            ), f"{path} imports {module}"


def test_the_layer_imports_no_function_and_nothing_of_one_machine() -> None:
    for path in _sources("layers"):
        for module in _imports(path):
            for package in ("functions", "local", "infra", "tests"):
                assert not _within(module, package), f"{path} imports {module}"


def test_functions_know_nothing_of_where_they_run() -> None:
    for path in _sources("functions"):
        for module in _imports(path):
            for package in ("local", "infra", "tests"):
                assert not _within(module, package), f"{path} imports {module}"


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("runtime", ("minirag.tenancy", "minirag.knowledge")),
        ("tenancy", ("minirag.knowledge",)),
        ("knowledge", ("minirag.tenancy",)),
    ],
)
def test_tenancy_and_knowledge_stand_on_runtime_and_never_on_each_other(room: str, forbidden: tuple[str, ...]) -> None:
    for path in _sources(f"layers/common/minirag/{room}"):
        for module in _imports(path):
            assert not any(_within(module, package) for package in forbidden), f"{path} imports {module}"


def test_no_import_cycles() -> None:
    modules = {_module(path): path for path in _sources("functions", "layers", "infra", "local")}
    graph = {
        name: {module for module in _imports(path) if module in modules and module != name}
        for name, path in modules.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for module in graph[name]:
                visit(module, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_settings_is_the_only_reader_of_the_environment() -> None:
    for path in _sources("functions", "layers"):
        if path.name == "settings.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            read = isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"}
            assert not read, f"{path}:{getattr(node, 'lineno', 0)} reads the environment"


def test_pure_steps_import_no_io() -> None:
    pure = [
        "functions/ingest/chunk.py",
        "functions/ingest/boundaries.py",
        "functions/ingest/extract/blocks.py",
        "functions/webhooks/stripe_events.py",
    ]
    pure += [f"functions/ask/{name}.py" for name in ("rank", "prompt", "support", "harmless")]
    pure += [str(path.relative_to(ROOT)) for path in (ROOT / "functions/ask/citing").glob("*.py")]
    io = ("minirag.runtime.db", "minirag.runtime.blobs", "minirag.runtime.queue", "psycopg", "boto3", "socket", "os")
    for name in pure:
        for module in _imports(ROOT / name):
            assert not any(_within(module, package) for package in io), f"{name} imports {module}"


def test_files_stay_small_enough_to_be_read_in_one_sitting() -> None:
    for path in _sources("functions", "layers", "infra", "local"):
        lines = len(path.read_text("utf-8").splitlines())
        assert lines <= MAX_LINES, f"{path} has {lines} lines"


def test_no_room_has_a_name_that_says_nothing() -> None:
    for path in _sources("functions", "layers", "infra", "local"):
        assert path.stem not in {"utils", "util", "helpers", "manager", "service", "base", "common", "misc"}, path


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("functions.webhooks.handler", (*HEAVY, *DOCUMENT_LIBRARIES, "fastapi")),
        ("functions.admin.handler", (*HEAVY, *DOCUMENT_LIBRARIES, "stripe")),
        ("functions.ask.handler", ("openai", "anthropic", "boto3", "stripe", *DOCUMENT_LIBRARIES)),
    ],
)
def test_a_function_loads_only_what_its_first_request_needs(
    module: str, forbidden: tuple[str, ...], stack_env: dict[str, str]
) -> None:
    program = f"import sys, {module}; print(*[name for name in {forbidden!r} if name in sys.modules])"
    env = {**stack_env, "PYTHONPATH": f"{ROOT}:{LAYER}"}
    loaded = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
