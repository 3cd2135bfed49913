"""README.md's probe is run as it stands there, against an API that answers as GitHub does."""

import re
import shlex
from pathlib import Path

import forked
from aiohttp import web
from readme import block, blocks

from watcher.demo.pretend import serving

HEADING = "Any other JSON status API"


async def github(request: web.Request) -> web.Response:
    """Tell of one run to whoever has the token; it has no conclusion yet."""
    asked = (request.raw_path, request.headers["Authorization"], request.headers["X-GitHub-Api-Version"])
    if asked != ("/repos/octo-org/octo-repo/actions/runs/30433642", "Bearer t", "2022-11-28"):
        return web.json_response({"message": "Not Found"}, status=404)
    return web.json_response({"id": 30433642, "status": "in_progress", "conclusion": None})


async def test_the_probe_prints_what_the_readme_says(tmp_path: Path) -> None:
    command, printed = block("console", HEADING).split("\n", 1)
    declared = blocks("toml")[[each.heading for each in blocks("toml")].index(HEADING)].text
    application = web.Application()
    application.router.add_get("/{path:.*}", github)
    path = tmp_path / "watcher.toml"
    async with serving(application) as url:
        path.write_text(re.sub(r"https://api\.github\.com", url, declared))
        arguments = shlex.split(command.removeprefix("$ watcher "))
        done = await forked.run("-c", str(path), *arguments, environ={"GITHUB_TOKEN": "t"})
    assert done.stdout.decode().partition("\nprovider:")[2] == printed.partition("\nprovider:")[2]
