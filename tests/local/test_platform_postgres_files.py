"""Where PostgreSQL's data lies when only its owner may enter the state folder."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import postgres_files
from local.home import StartError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[list[Path]]:
    """Four folders in one that only its owner may enter."""
    found = [tmp_path / name for name in ("temporary", "kept", "removed", "next")]
    for folder in found:
        folder.mkdir()
    yield found
    for folder in found:
        shutil.rmtree(postgres_files.outside_folder(folder), ignore_errors=True)


def test_data_of_tests_is_swept_once_its_folder_is_gone_and_no_other_ever(folders: list[Path]) -> None:
    temporary, kept, removed, following = folders
    gone = postgres_files.data_folder(temporary, "nobody", durable=False).parent
    stay = [postgres_files.data_folder(kept, "nobody", durable=False).parent]
    stay += [postgres_files.data_folder(removed, "nobody", durable=True).parent]
    shutil.rmtree(temporary)
    shutil.rmtree(removed)
    postgres_files.data_folder(following, "nobody", durable=True)
    assert not gone.exists()
    assert all(place.is_dir() for place in stay)


def test_a_place_that_somebody_else_made_first_is_refused(folders: list[Path]) -> None:
    postgres_files.outside_folder(folders[0]).mkdir()
    shutil.chown(postgres_files.outside_folder(folders[0]), "nobody")
    with pytest.raises(StartError, match="somebody else"):
        postgres_files.data_folder(folders[0], "nobody", durable=True)


def test_a_folder_that_the_server_can_enter_keeps_its_data() -> None:
    folder = Path(f"/tmp/minirag-open-{os.getpid()}")
    folder.mkdir(mode=0o755)
    try:
        assert postgres_files.data_folder(folder, "nobody", durable=True) == folder / "data"
    finally:
        folder.rmdir()
