"""The state folder: one system a home, secrets that stay, dev.env only while the system runs; and ports."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from local import ports
from local.home import Home, HomeInUseError, StartError

REPOSITORY = Path(__file__).parents[2]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_dev_env_is_private_and_disappears_when_the_system_stops(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with home:
        home.write_dev_env({"MINIRAG_URL": "http://127.0.0.1:8080"})
        assert mode(home.dev_env) == 0o600
        assert home.read_dev_env() == {"MINIRAG_URL": "http://127.0.0.1:8080"}
    assert not home.dev_env.exists()


def test_dev_env_of_a_killed_system_is_gone_once_the_next_one_starts(tmp_path: Path) -> None:
    (tmp_path / "dev.env").write_text("MINIRAG_URL=http://127.0.0.1:1\n")
    with Home(tmp_path) as home:
        assert not home.dev_env.exists()


@pytest.mark.parametrize("value", ["plain", "two words", "it's $HOME; `id`", "ünïcode"])
def test_a_shell_reads_from_dev_env_what_was_written(tmp_path: Path, value: str) -> None:
    with Home(tmp_path) as home:
        home.write_dev_env({"NAME": value})
        script = f'. {home.dev_env}; printf %s "$NAME"'
        said = subprocess.run(["sh", "-c", script], capture_output=True, check=True, encoding="utf-8").stdout
    assert said == value


def test_a_second_system_of_one_home_is_refused_and_told_who_runs(tmp_path: Path) -> None:
    with Home(tmp_path), pytest.raises(HomeInUseError, match=f"process {os.getpid()}"):
        Home(tmp_path).__enter__()


def test_the_lock_of_a_killed_system_does_not_block(tmp_path: Path) -> None:
    script = "import os, sys; from pathlib import Path; from local.home import Home\n"
    script += "Home(Path(sys.argv[1])).__enter__(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=REPOSITORY, env={"PYTHONPATH": "."}, check=False)
    assert "process" in (tmp_path / "lock").read_text()
    with Home(tmp_path):
        pass


def test_a_home_that_cannot_be_made_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="set MINIRAG_HOME"):
        Home(tmp_path / "file" / "home").__enter__()


def test_secrets_are_made_once_and_kept_private(tmp_path: Path) -> None:
    first = Home(tmp_path).secrets.get("valkey")
    other = Home(tmp_path).secrets.get("api_key", lambda: "mrag_x")
    assert len(first) >= 40
    assert (Home(tmp_path).secrets.get("valkey"), other) == (first, "mrag_x")
    assert mode(tmp_path / "secrets.json") == 0o600


def test_the_log_of_the_last_run_is_kept(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.log("moto").write_text("first run")
    assert not home.log("moto").exists()
    assert (tmp_path / "logs" / "moto.log.1").read_text() == "first run"
    assert mode(tmp_path / "logs") == 0o700


def test_a_port_that_is_taken_gives_way_to_a_free_one() -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        other = ports.pick(port)
        assert other != port
    assert ports.pick(port) == port
    with socket.create_server((ports.LOOPBACK, other)):
        pass
