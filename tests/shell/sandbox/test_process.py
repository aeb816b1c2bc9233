"""`python -m deploy.sandbox`: says where it listens, ends cleanly, complains in one line."""

import asyncio
import re
import signal
import sys
from pathlib import Path

import httpx
import pytest

from deploy.sandbox.__main__ import options_of
from deploy.sandbox.server import Options, running

COMMAND = (sys.executable, "-m", "deploy.sandbox")
ROOT = Path(__file__).parents[3]
PIPE = asyncio.subprocess.PIPE


async def test_it_prints_its_address_and_ends_with_zero_on_sigterm() -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "--port",
        "0",
        "--key",
        "sk_a",
        "--key",
        "sk_test_b",
        cwd=ROOT,
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        line = (await process.stdout.readline()).decode()
        found = re.fullmatch(r"sandbox listening on (http://127\.0\.0\.1:\d+)\n", line)
        assert found is not None
        async with httpx.AsyncClient(base_url=found[1]) as http:
            for key, live in (("sk_a", True), ("sk_test_b", False)):
                body = {"currency": "EUR", "items": [{"skuId": "x", "price": 1}]}
                headers = {"Authorization": f"Bearer {key}"}
                answer = await http.post("/checkouts", json=body, headers=headers)
                assert answer.json()["liveMode"] is live
            hooks = (await http.get("/_sandbox/webhooks")).json()
        assert {hook["address"] for hook in hooks} == {
            "http://127.0.0.1:8080/webhooks/digital-river"
        }
        process.send_signal(signal.SIGTERM)
        rest, errors = await process.communicate()
    assert (process.returncode, rest, errors) == (0, b"", b"")


async def test_a_port_in_use_is_one_line_and_a_failure() -> None:
    holder = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = holder.sockets[0].getsockname()[1]
    async with holder, asyncio.timeout(20):
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "--port", str(port), cwd=ROOT, stdout=PIPE, stderr=PIPE
        )
        out, errors = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert errors.decode().count("\n") == 1


async def test_a_setting_is_chosen_at_the_start_and_a_wrong_one_is_refused() -> None:
    assert options_of(["--set", "webhooks=off", "--set", "review_seconds=5"]).settings == {
        "webhooks": "off",
        "review_seconds": 5.0,
    }
    async with running(Options(settings={"cancels": "refused"})) as sandbox:
        sandbox.world.settings.change({"cancels": "ignored", "webhooks": "off"})
        sandbox.world.forget_everything()
        shown = sandbox.world.settings.view()
        assert (shown["cancels"], shown["webhooks"]) == ("refused", "on")


@pytest.mark.parametrize("wrong", ["webhooks=maybe", "review_seconds=soon", "moons=1"])
def test_a_wrong_setting_ends_the_start(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options_of(["--set", wrong])
    assert f"--set {wrong}: " in capsys.readouterr().err
