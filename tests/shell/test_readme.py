"""The README's examples work as printed."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
EXAMPLE = re.compile(r"<!-- example: shopper -->\n```sh\n(.*?)```", re.DOTALL)
SERVICE_EXPORTS = re.compile(r"^export (ORDER_RESCUE_\w+)=(\S+)$", re.MULTILINE)
PATIENCE = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def await_answer(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            httpx.get(url, timeout=1)
        except httpx.TransportError:
            continue
        return
    raise AssertionError(f"nothing listens at {url}")


@contextmanager
def process(*command: str, env: dict[str, str], log: Path) -> Iterator[None]:
    """A program of the README's, which ends well when it is asked to; it writes into `log`."""
    with log.open("ab") as errors:
        child = subprocess.Popen(command, cwd=ROOT, env=env, stderr=errors)
        try:
            yield
        finally:
            child.terminate()
            code = child.wait(PATIENCE)
    assert code in (0, -15), log.read_text()[-4000:]


def on_other_ports(text: str, sandbox: int, service: int) -> str:
    """The text for ports that nobody else on this machine uses."""
    return text.replace(":9090", f":{sandbox}").replace(":8080", f":{service}")


def test_the_readmes_shopper_is_declined_once_and_ends_with_an_order(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    sandbox, service = free_port(), free_port()
    inherited = {n: v for n, v in os.environ.items() if not n.startswith("ORDER_RESCUE_")}
    exported = dict(SERVICE_EXPORTS.findall(on_other_ports(readme, sandbox, service)))
    env = inherited | exported
    # The two that the README leaves at their defaults, for the sake of other tests.
    env["ORDER_RESCUE_PORT"] = str(service)
    env["ORDER_RESCUE_DATABASE_URL"] = f"sqlite:///{tmp_path}/orders.db"
    webhook = f"http://127.0.0.1:{service}/webhooks/digital-river"
    platform = (sys.executable, "-m", "deploy.sandbox", "--port", str(sandbox))
    order_rescue = str(Path(sys.executable).with_name("order-rescue"))
    with (
        process(*platform, "--webhook-url", webhook, env=env, log=tmp_path / "log"),
        process(order_rescue, "serve", env=env, log=tmp_path / "log"),
    ):
        await_answer(f"http://127.0.0.1:{sandbox}/")
        await_answer(f"http://127.0.0.1:{service}/readyz")
        script = "set -euo pipefail\n" + "".join(EXAMPLE.findall(readme))
        script = script.replace(".venv/bin/order-rescue", order_rescue)
        ran = subprocess.run(
            ["bash", "-c", on_other_ports(script, sandbox, service)],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=180,
        )
    assert ran.returncode == 0, ran.stderr
    assert "payment_required" in ran.stdout
    assert "new_checkout" in ran.stdout
    assert ran.stdout.count("accepted\n") >= 4  # a card, two saved sources, store credit
    assert "49.95\nheld\n49.95\naccepted\n" in ran.stdout
    assert "ready\n" in ran.stdout  # the merchant's turn
    assert "PLATFORM §4.2" in ran.stdout  # `why` names the source of the remedy
