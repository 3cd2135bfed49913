"""What systemd is told by a real daemon, over a real socket; and what stands in the units."""

import os
import re
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from running import stage, stop

from watcher.systemd import extend, notify, watchdog_seconds

ALIVE = "STATUS=0 open watches, on time, 0 deliveries waiting\nWATCHDOG=1"
UNITS = Path(__file__).parent.parent / "systemd"


class Listener:
    """A socket as systemd has it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))
        self.socket.settimeout(20)

    def hear(self) -> str:
        return self.socket.recv(4096).decode()


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@watcher-test-{os.getpid()}"
    heard = Listener(address)
    with heard.socket:
        yield heard


# --- the daemon -------------------------------------------------------------------------------------------------


async def heard(listener: Listener) -> str:
    return await anyio.to_thread.run_sync(listener.hear)


async def after(listener: Listener, often: str) -> str:
    """Return the next that is said but for what is said all the time."""
    while (told := await heard(listener)) == often:
        pass
    return told


async def test_the_daemon_tells_that_it_is_ready_lives_reloads_and_stops(listener: Listener, tmp_path: Path) -> None:
    async with stage(tmp_path) as world:
        world.environ |= {"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "300000"}
        world.environ.pop("WATCHDOG_PID", None)
        async with world.daemon(is_ready=False) as process:
            assert await heard(listener) == "READY=1\nSTATUS=0 open watches"
            assert [await heard(listener) for _ in range(3)] == [ALIVE] * 3
            process.send_signal(signal.SIGHUP)
            assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", await after(listener, ALIVE))
            assert await after(listener, ALIVE) == "READY=1"
            assert await stop(process) == 0
        assert await after(listener, ALIVE) == "STOPPING=1\nEXTEND_TIMEOUT_USEC=20000000"


async def test_a_daemon_without_file_handles_lives_on_and_says_so(listener: Listener, tmp_path: Path) -> None:
    async with stage(tmp_path) as world:
        world.environ |= {"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "300000"}
        world.environ.pop("WATCHDOG_PID", None)
        async with world.daemon() as process:
            soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, hard))
            assert await after(listener, "READY=1\nSTATUS=0 open watches") == ALIVE
            assert [await heard(listener) for _ in range(9)] == [ALIVE] * 9
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (soft, hard))
            assert await stop(process) == 0


async def test_ready_comes_after_the_open_watches_are_loaded(listener: Listener, tmp_path: Path) -> None:
    async with stage(tmp_path) as world:
        for name in ("one", "two"):
            assert (await world.call("add", "d7", f"request_id={name}")).returncode == 0
        world.environ["NOTIFY_SOCKET"] = listener.address
        async with world.daemon(is_ready=False):
            assert await heard(listener) == "READY=1\nSTATUS=2 open watches"


@pytest.mark.parametrize("address", [None, "/nobody/listens"])
async def test_a_daemon_that_nobody_listens_to_runs_all_the_same(address: str | None, tmp_path: Path) -> None:
    async with stage(tmp_path) as world:
        world.environ |= {"NOTIFY_SOCKET": address} if address else {}
        async with world.daemon() as process:
            assert await stop(process) == 0
        assert not world.lines("daemon.fault")


# --- the few lines that speak to systemd ------------------------------------------------------------------------


def test_lines_are_one_datagram(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", listener.address)
    notify("READY=1", "STATUS=3 open watches")
    notify("WATCHDOG=1")
    assert [listener.hear(), listener.hear()] == ["READY=1\nSTATUS=3 open watches", "WATCHDOG=1"]


def test_time_that_is_asked_for_is_in_microseconds() -> None:
    assert extend(18.5) == "EXTEND_TIMEOUT_USEC=18500000"


def test_a_socket_that_is_full_holds_nobody_up(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", listener.address)
    for _ in range(10_000):
        notify("WATCHDOG=1")
    assert listener.hear() == "WATCHDOG=1"


@pytest.mark.parametrize("address", ["@nobody-listens", "/nobody/listens", "/" + "x" * 200])
def test_an_address_where_nobody_listens_is_no_error(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")


@pytest.mark.parametrize("address", [None, "", "notify", "vsock:2:1"])
def test_without_an_address_no_socket_is_made(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was made")

    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setattr(socket, "socket", refuse)
    notify("READY=1")


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_only_if_it_is_ours(
    environ: dict[str, str], seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert watchdog_seconds() == seconds


# --- the units --------------------------------------------------------------------------------------------------


def settings(name: str) -> list[tuple[str, str]]:
    return re.findall(r"(?m)^(\w+)=(.*)$", (UNITS / name).read_text())


def test_the_unit_feeds_the_watchdog_and_leaves_the_daemon_time_to_stop() -> None:
    wanted = {
        "Type": "notify",
        "NotifyAccess": "main",
        "User": "watcher",
        "StateDirectory": "watcher",
        "RuntimeDirectory": "watcher",
        "LoadCredential": "watcher:/etc/watcher/credentials",
        "WatchdogSec": "60s",
        "TimeoutStopSec": "25s",
        "RestartPreventExitStatus": "2",
        "ExecStart": "/opt/watcher/bin/watcher -c /etc/watcher/watcher.toml run",
        "ExecReload": "/bin/sh -c 'kill -HUP $MAINPID'",
    }
    found = dict(settings("watcher.service"))
    assert {key: found.get(key) for key in wanted} == wanted


def test_many_workers_differ_from_the_one_in_their_names_their_folders_and_where_they_listen() -> None:
    one, many = settings("watcher.service"), settings("watcher@.service")
    assert [setting for setting in one if setting not in many] == [
        ("Description", "watcher, delivery status of sent messages as webhooks"),
        ("StateDirectory", "watcher"),
        ("RuntimeDirectory", "watcher"),
    ]
    assert [setting for setting in many if setting not in one] == [
        ("Description", "watcher %i, delivery status of sent messages as webhooks"),
        ("Environment", "WATCHER__WATCHER__WORKER=%H-%i"),
        ("Environment", "WATCHER__WATCHER__LISTEN=127.0.0.1:848%i"),
        ("EnvironmentFile", "-/etc/watcher/%i.env"),
        ("StateDirectory", "watcher/%i"),
        ("RuntimeDirectory", "watcher/%i"),
    ]


def test_the_folders_of_the_units_are_made_by_tmpfiles_and_their_user_by_sysusers() -> None:
    folders = re.findall(r"(?m)^d (\S+) (\d+) (\w+) (\w+) -$", (UNITS / "watcher.tmpfiles.conf").read_text())
    assert folders == [
        ("/var/spool/watcher", "2770", "watcher", "watcher"),
        ("/etc/watcher", "0755", "root", "root"),
        ("/etc/watcher/credentials", "0700", "root", "root"),
    ]
    assert re.findall(r"(?m)^u (\w+) ", (UNITS / "watcher.sysusers.conf").read_text()) == ["watcher"]
