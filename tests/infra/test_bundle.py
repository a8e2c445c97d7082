"""The packages: locked, small enough, for Lambda's machine, and each with what it needs and nothing else's."""

import re
from pathlib import Path

import pytest

from infra import bundle, ranks
from infra.specs import SPECS

FUNCTION_FILES = sorted(file.stem for file in bundle.REQUIREMENTS.glob("function-*.in"))
LOCKED = ["layer-common", *FUNCTION_FILES]
ELF_MACHINE_AARCH64 = 0xB7


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages as `make layers` builds them, but for the bytecode."""
    folder = tmp_path_factory.mktemp("bundle")
    bundle.build(folder)
    return folder


def _names(file: Path) -> set[str]:
    """The packages that an .in file asks for."""
    lines = (line.strip() for line in file.read_text().splitlines())
    return {re.split(r"[\[=<>]", line)[0] for line in lines if line and not line.startswith(("#", "-"))}


@pytest.mark.parametrize("name", LOCKED)
def test_a_package_gets_the_versions_that_everything_is_tested_with(name: str) -> None:
    tested = bundle.locked("run")
    for package, versions in bundle.locked(name).items():
        assert versions == tested[package], package


@pytest.mark.parametrize("name", [*LOCKED, "runtime-client"])
def test_every_pin_has_a_hash_and_no_file_names_a_package_index(name: str) -> None:
    text = (bundle.REQUIREMENTS / f"{name}.txt").read_text()
    pins = re.findall(r"^(\S+)==.*\n(.*)$", text, re.MULTILINE)
    assert {package for package, _ in pins} == set(bundle.locked(name))
    assert all(after.startswith("    --hash=sha256:") for _, after in pins)
    assert "://" not in text
    assert "index" not in text


@pytest.mark.parametrize("name", LOCKED)
def test_the_lock_is_not_older_than_what_it_locks(name: str) -> None:
    asked = _names(bundle.REQUIREMENTS / f"{name}.in")
    assert asked <= set(bundle.locked(name)) | (set(bundle.locked("layer-common")) if name in FUNCTION_FILES else set())
    assert asked <= _names(bundle.REQUIREMENTS / "run.in")


@pytest.mark.parametrize("name", FUNCTION_FILES)
def test_nothing_is_packed_twice(name: str) -> None:
    assert not set(bundle.locked(name)) & set(bundle.locked("layer-common"))


def test_webhooks_and_admin_have_no_model_sdk_and_no_document_library(built: Path) -> None:
    heavy = {"openai", "anthropic", "numpy", "tiktoken", "lxml", "pypdf", "pypdfium2", "docx", "Stemmer"}
    for name in ("webhooks", "admin"):
        for folder in (built / "layer" / "python", built / "functions" / name):
            assert not heavy & {path.name.split(".")[0] for path in folder.iterdir()}


def test_each_function_fits_lambda_with_its_layer_and_its_bytecode(built: Path) -> None:
    layer_sources = sum(path.stat().st_size for path in (built / "layer").rglob("*.py"))
    for name, total in bundle.sizes(built):
        sources = sum(path.stat().st_size for path in (built / "functions" / name).rglob("*.py"))
        # Bytecode is about as large as its source.
        assert total + layer_sources + sources < bundle.LIMIT_BYTES, name


def test_every_native_library_is_for_lambdas_processor_and_python(built: Path) -> None:
    libraries = [path for path in built.rglob("*.so*") if path.is_file()]
    assert len(libraries) > 10
    for path in libraries:
        head = path.read_bytes()[:20]
        assert head[:4] == b"\x7fELF", path
        assert int.from_bytes(head[18:20], "little") == ELF_MACHINE_AARCH64, path
        version = re.search(r"cpython-(\d+)-", path.name)
        assert version is None or version[1] == bundle.LAMBDA.python.replace(".", ""), path


def test_a_package_holds_its_own_folder_and_no_other_functions(built: Path) -> None:
    for name in bundle.PACKAGES:
        code = built / "functions" / name / "functions"
        assert {path.name for path in code.iterdir()} == {"__init__.py", name}
        sources = {
            path.relative_to(bundle.ROOT / "functions" / name) for path in _files(bundle.ROOT / "functions" / name)
        }
        assert {path.relative_to(code / name) for path in _files(code / name)} == sources


def test_the_layer_holds_minirag_with_its_migrations(built: Path) -> None:
    own = bundle.ROOT / "layers" / "common" / "minirag"
    packed = built / "layer" / "python" / "minirag"
    assert {path.relative_to(packed) for path in _files(packed)} == {path.relative_to(own) for path in _files(own)}
    assert list((packed / "runtime" / "migrations").glob("*.sql"))


def test_what_tokenizes_has_its_ranks_and_is_told_where(built: Path) -> None:
    files = {pin.file_name for pin in ranks.pins().values()}
    for spec in SPECS:
        package = built / "functions" / spec.package
        has_tokenizer = (package / "tiktoken").is_dir()
        assert has_tokenizer == (spec.package in bundle.TOKENIZING)
        assert {path.name for path in package.glob(f"{bundle.RANKS_FOLDER}/*")} == (files if has_tokenizer else set())
    told = {spec.name for spec in SPECS if "TIKTOKEN_CACHE_DIR" in spec.variables}
    assert told == {"ask", "ingest-worker"}


def test_no_script_of_this_machines_interpreter_is_packed(built: Path) -> None:
    assert not [
        path for path in built.rglob("bin") if path.is_dir() and path.parent.name in {"python", *bundle.PACKAGES}
    ]


def test_a_second_build_replaces_the_first(tmp_path: Path) -> None:
    bundle.build(tmp_path, libraries=False)
    stale = tmp_path / "functions" / "ask" / "functions" / "ask" / "stale.py"
    stale.touch()
    bundle.build(tmp_path, libraries=False)
    assert not stale.exists()


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
