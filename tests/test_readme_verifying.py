"""README.md's programs are run as they stand there: each accepts what we sign, and refuses what somebody changed."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from readme import block, blocks

from watcher.core.signature import decode_key, sign

HEADING = "Verifying a webhook"
VECTOR = json.loads((Path(__file__).parent / "vectors/standard_webhooks.json").read_bytes())["symmetric"]
SECRET = VECTOR["secret"]
OTHER = "whsec_" + "QUJD" * 10
LANGUAGES = ("python", "js", "bash")
FOR_EVER = str(10**10)
SHOW = "print(*db.execute('SELECT * FROM statuses'))"


def verifies(  # what a receiver has
    folder: Path, language: str, *, id: str, timestamp: object, signature: str, body: bytes, tolerance: str = "300"
) -> bool:
    """Run a program of the README on one POST."""
    text = block(language, HEADING)
    assert text.count("300") == 1
    name, command = {
        "python": ("verify.py", [sys.executable, "-W", "error"]),
        "js": ("verify.mjs", ["node"]),
        "bash": ("verify.sh", ["sh"]),
    }[language]
    (folder / name).write_text(text.replace("300", tolerance))
    ended = subprocess.run(
        [*command, name, id, str(timestamp), signature],
        input=body,
        capture_output=True,
        check=False,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "WEBHOOK_SECRET": SECRET},
        timeout=60,
    )
    assert ended.returncode in {0, 1}, ended.stderr
    return ended.returncode == 0


def runnable(language: str) -> bool:
    """Node is not everywhere; without it the text of its program is compared with what it must do."""
    if language != "js" or shutil.which("node"):
        return True
    text = block("js", HEADING)
    for part in ('replace(/^whsec_/, "")', '"base64"', 'createHmac("sha256", key)', "`${id}.${timestamp}.`", "v1,"):
        assert part in text
    assert (
        sign(VECTOR["body"].encode(), keys=[decode_key(SECRET)], id=VECTOR["id"], timestamp=VECTOR["timestamp"])
        == (VECTOR["signature"])
    )
    return False


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_golden_vector_verifies_and_a_changed_body_does_not(language: str, tmp_path: Path) -> None:
    given = {"id": VECTOR["id"], "timestamp": VECTOR["timestamp"], "signature": VECTOR["signature"]}
    body = VECTOR["body"].encode()
    if runnable(language):
        assert verifies(tmp_path, language, **given, body=body, tolerance=FOR_EVER)
        assert not verifies(tmp_path, language, **given, body=body + b" ", tolerance=FOR_EVER)
        assert not verifies(tmp_path, language, **{**given, "id": "evt_2"}, body=body, tolerance=FOR_EVER)
        assert not verifies(tmp_path, language, **given, body=body)  # it is of 2021


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_we_sign_verifies_while_it_is_fresh(language: str, tmp_path: Path) -> None:
    body, now = '{"to": "zugestellt äöü 100 % \\u0000"}\n\n'.encode(), int(time.time())
    both = [decode_key(OTHER), decode_key(SECRET)]
    for timestamp, genuine in ((now, True), (now - 200, True), (now - 400, False), (now + 400, False)):
        signature = sign(body, keys=both, id="evt_1", timestamp=timestamp)
        if runnable(language):
            given = verifies(tmp_path, language, id="evt_1", timestamp=timestamp, signature=signature, body=body)
            assert given == genuine


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("timestamp", ["", "soon", "-1", "1e9", "9" * 5000, "a[$(touch broken)]"])
def test_a_timestamp_that_is_none_is_refused_and_not_obeyed(language: str, timestamp: str, tmp_path: Path) -> None:
    if runnable(language):
        assert not verifies(tmp_path, language, id="evt_1", timestamp=timestamp, signature="v1,* v1,", body=b"")
        assert not (tmp_path / "broken").exists()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_signature_is_no_pattern(language: str, tmp_path: Path) -> None:
    for signature in ("", "*", "v1,*", "v1,", "v1,é", VECTOR["signature"].removeprefix("v1,")):
        if runnable(language):
            assert not verifies(
                tmp_path, language, id="evt_1", timestamp=int(time.time()), signature=signature, body=b"{}"
            )


def test_the_receiver_keeps_the_newest_status_and_tells_repeats(tmp_path: Path) -> None:
    [text] = [each.text for each in blocks("python") if each.heading == "Sequence and duplicates"]
    told = [("evt_1", 1, "sent"), ("evt_3", 3, "delivered"), ("evt_1", 1, "sent"), ("evt_2", 2, "sent again")]
    program = "".join(
        f"print(receive({name!r}, {{'type': 'message.status.changed', 'data': "
        f"{{'watch': 'w', 'message': 'm', 'to': {status!r}, 'sequence': {sequence}}}}}))\n"
        for name, sequence, status in told
    )
    ended = subprocess.run(
        [sys.executable, "-c", f"{text}\n{program}\n{SHOW}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stdout.splitlines() == ["True", "True", "False", "True", "('w', 'm', 'delivered', 3)"]
