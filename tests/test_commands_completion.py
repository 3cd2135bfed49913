"""Completion in a shell: the scripts that `watcher` prints, and what it answers to them."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

WATCHER = str(Path(sys.executable).parent / "watcher")
NO_GUESS = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}


async def said(*command: str, **environ: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done: subprocess.CompletedProcess[bytes] = await anyio.run_process(command, env={"PATH": path, **environ})
    return done.stdout.decode()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_each_shell_gets_a_script(shell: str) -> None:
    script = await said(WATCHER, "--show-completion", shell, **NO_GUESS)
    assert f"_WATCHER_COMPLETE=complete_{shell}" in script


async def test_in_bash_commands_and_options_are_completed() -> None:
    script = await said(WATCHER, "--show-completion", "bash", **NO_GUESS)

    async def completed(*words: str) -> list[str]:
        typed = " ".join(map(shlex.quote, words))
        tried = (
            f'COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _watcher_completion watcher; echo "${{COMPREPLY[*]}}"'
        )
        return (await said("bash", "-c", f"{script}\n{tried}")).split()

    assert await completed("watcher", "re") == ["reload", "replay", "rejected"]
    assert await completed("watcher", "webhook", "d") == ["doctor", "disable"]
    assert await completed("watcher", "add", "--dead") == ["--deadline"]


@pytest.mark.parametrize(
    ("shell", "environ"),
    [("zsh", {"_TYPER_COMPLETE_ARGS": "watcher expl"}), ("fish", {"_TYPER_COMPLETE_ARGS": "watcher expl"})],
)
async def test_the_others_are_answered_too(shell: str, environ: dict[str, str]) -> None:
    if shell == "fish":
        environ = {**environ, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert "explain" in await said(WATCHER, _WATCHER_COMPLETE=f"complete_{shell}", **environ)


async def test_a_completion_is_installed_where_the_shell_looks(tmp_path: Path) -> None:
    told = await said(WATCHER, "--install-completion", "bash", HOME=str(tmp_path), **NO_GUESS)
    [script] = [Path(str(found)) async for found in anyio.Path(tmp_path).rglob("watcher.sh")]
    assert str(script) in told
    assert str(script) in (tmp_path / ".bashrc").read_text()
