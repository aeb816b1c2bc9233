"""The sandbox and the service as processes of their own; both are always ended."""

import asyncio
import os
import random
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
STOP_SECONDS = 10.0
# Below the ports that systems hand out by themselves: the service must find its own free again
# after a restart, and nobody may be connected to it from it meanwhile.
PORTS = range(20_000, 30_000)


class Failed(Exception):
    """A process did not start, or ended by itself."""


def free_port() -> int:
    """A port that nobody listens on now."""
    for port in random.sample(PORTS, 50):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue  # taken
    raise Failed("no free port between 20000 and 30000")


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Our environment without anybody's settings of the service, and with `extra`."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith("ORDER_RESCUE_")}
    return kept | {"PYTHONUNBUFFERED": "1"} | dict(extra)


@dataclass(slots=True)
class Program:
    """One command that can be started, killed and started again; its output goes to `log`."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None
    peak: int = 0

    def start(self) -> None:
        """Ctrl-C reaches us alone, so that we end it in order."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env=dict(self.environment),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    @property
    def ended(self) -> int | None:
        """The exit code, or None while it runs or before it started."""
        return self.process.poll() if self.process else None

    def measure(self) -> int:
        """Peak resident memory so far in bytes, over all starts; 0 where it can't be read."""
        if self.process is not None and self.process.returncode is None:
            self.peak = max(self.peak, peak_of(self.process.pid))
        return self.peak

    def kill(self) -> None:
        """SIGKILL: no chance to finish anything."""
        if self.process is not None and self.ended is None:
            self.measure()
            self.process.kill()
            self.process.wait()

    async def stop(self) -> int | None:
        """SIGTERM, then SIGKILL if it takes too long. Returns the exit code."""
        if self.process is None or self.ended is not None:
            return self.ended
        self.measure()
        self.process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(self.process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.returncode

    def tail(self, lines: int = 15) -> str:
        """The end of its output."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])


def peak_of(pid: int) -> int:
    """Peak resident memory of a process in bytes, from /proc; elsewhere of all ended children."""
    status = Path(f"/proc/{pid}/status")
    try:
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux, or it ended this moment
    ended = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return ended if sys.platform == "darwin" else 0


@dataclass(slots=True)
class Stage:
    """The sandbox and the service, with addresses and keys that only this run knows.

    `settings` are more of the service's, or others. Events go to `webhook_url`, else to the
    first replica.
    """

    folder: Path
    seed: int
    speed: float
    settle: float
    timeout: float
    webhooks: bool = True
    replicas: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    webhook_url: str = ""
    key: str = "sk_sandbox_demo"
    shop_key: str = "sk_sandbox_storefront"
    shop_token: str = "demo-shop-token"
    operator_token: str = "demo-operator-token"
    webhook_secret: str = "whsec_demo"
    sandbox_port: int = field(default_factory=free_port)
    urls: tuple[str, ...] = field(init=False)
    sandbox: Program = field(init=False)
    services: tuple[Program, ...] = field(init=False)

    def __post_init__(self) -> None:
        ports = [free_port() for _ in range(self.replicas)]
        self.urls = tuple(f"http://127.0.0.1:{port}" for port in ports)
        self.sandbox = Program(
            "sandbox", self._sandbox_command(),
            clean_environment({"PYTHONPATH": str(ROOT)}), self.folder, self.folder / "sandbox.log",
        )  # fmt: skip
        self.services = tuple(self._service(port) for port in ports)

    def _service(self, port: int) -> Program:
        # The folder has no .env file, so nobody's settings come in from there.
        name = "service" if self.replicas == 1 else f"service-{port}"
        return Program(
            name, [str(Path(sys.executable).with_name("order-rescue")), "serve"],
            clean_environment(self._settings(port)), self.folder, self.folder / f"{name}.log",
        )  # fmt: skip

    @property
    def url(self) -> str:
        """Where the first replica listens."""
        return self.urls[0]

    @property
    def sandbox_url(self) -> str:
        """Where the sandbox listens."""
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def peak(self) -> int:
        """The most memory that one replica has needed so far, in bytes."""
        return max(service.measure() for service in self.services)

    def tail(self) -> str:
        """The end of what was written by whoever ended, or by the first replica."""
        ended = [one for one in (*self.services, self.sandbox) if one.ended]
        return (ended or [self.services[0]])[0].tail() or self.sandbox.tail()

    def _sandbox_command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "deploy.sandbox", "--port", str(self.sandbox_port)),
            *("--key", self.key, "--key", self.shop_key),
            *("--webhook-url", self.webhook_url or f"{self.url}/webhooks/digital-river"),
            *("--webhook-secret", self.webhook_secret, "--speed", str(self.speed)),
            *("--webhook-types", "checkout.*,order.*,source.chargeable,customer.*"),
            *("--seed", str(self.seed)),
            *("--set", f"webhooks={'on' if self.webhooks else 'off'}"),
        ]

    def _settings(self, port: int) -> dict[str, str]:
        settings = {
            "PLATFORM_URL": self.sandbox_url,
            "PLATFORM_KEY": self.key,
            "PLATFORM_TIMEOUT": f"{self.timeout:g}",
            "PLATFORM_SETTLE": f"{self.settle:g}",
            "WEBHOOK_SECRETS": self.webhook_secret,
            "API_TOKENS": f"shop:shop:{self.shop_token},ops:operator:{self.operator_token}",
            "DATABASE_URL": f"sqlite:///{self.folder / 'order-rescue.db'}",
            "STEP_UP": "true",
            "PORT": str(port),
            **self.settings,
        }
        return {f"ORDER_RESCUE_{name}": value for name, value in settings.items()}

    async def start(self, http: httpx.AsyncClient) -> None:
        """Starts all and returns when all answer. Raises Failed."""
        self.sandbox.start()
        for service in self.services:
            service.start()
        await answering(http, self.sandbox, f"{self.sandbox_url}/_sandbox/settings")
        for service, url in zip(self.services, self.urls, strict=True):
            await answering(http, service, f"{url}/readyz")

    async def backfill(self) -> None:
        """`order-rescue backfill`, beside the running service. Raises Failed."""
        command = [self.services[0].command[0], "backfill", "--since", "1h"]
        run = await asyncio.create_subprocess_exec(
            *command, cwd=self.folder, env=dict(self.services[0].environment),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await run.communicate()
        if run.returncode:
            raise Failed(f"backfill ended with code {run.returncode}: {said.decode()[-500:]}")

    async def restart_service(
        self, http: httpx.AsyncClient, number: int = 0, away: float = 0.0
    ) -> None:
        """SIGKILL, and a fresh start on the same database so many seconds later. Raises Failed."""
        self.services[number].kill()
        await asyncio.sleep(away)
        self.services[number].start()
        await answering(http, self.services[number], f"{self.urls[number]}/readyz")

    async def stop(self) -> int | None:
        """Ends all; returns the worst of the replicas' exit codes. After SIGTERM it should be 0."""
        try:
            codes = await asyncio.gather(*(service.stop() for service in self.services))
            return next((code for code in codes if code != 0), 0)
        finally:
            for service in self.services:
                service.kill()
            self.sandbox.kill()


async def answering(http: httpx.AsyncClient, program: Program, url: str) -> None:
    """Waits until `url` answers 200. Raises Failed if the program ends or takes too long."""
    try:
        async with asyncio.timeout(START_SECONDS):
            while True:
                if program.ended is not None:
                    raise Failed(f"the {program.name} ended with code {program.ended}")
                try:
                    if (await http.get(url)).status_code == 200:
                        return
                except httpx.TransportError:
                    pass  # not there yet
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise Failed(f"the {program.name} did not answer in {START_SECONDS:g} seconds") from None
