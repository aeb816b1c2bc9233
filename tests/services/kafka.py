"""A real Apache Kafka in KRaft mode, for the tests: one broker, or three.

Where it comes from: the address in `TEST_ORDER_RESCUE_KAFKA`; else a container, where an engine
answers and has the image; else the jars that `make services` left, run with the machine's Java.
`python -m tests.services.kafka` is what `make services` runs. Nothing else here fetches.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from tests.services import container, unavailable

VARIABLE = "TEST_ORDER_RESCUE_KAFKA"
ROOT = Path(__file__).parents[2]
POM = Path(__file__).with_name("kafka.pom.xml")
JARS = ROOT / ".services" / "kafka"
IMAGE = "apache/kafka:4.1.0"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
CLUSTER_ID = "b3JkZXItcmVzY3VlLXRlcw"  # 16 bytes in base64, as Kafka wants them
USER, PASSWORD = "order-rescue", "kafka-canary-secret"
LISTENERS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL", "PROXIED")
MECHANISMS = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
HEAP = ("-Xmx384m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
START_SECONDS = 120.0


@dataclass(frozen=True)
class Runtime:
    """How the server's Java is run: on this machine, or in a container of the image."""

    container: bool

    def command(self, name: str, folder: Path, *java: str) -> list[str]:
        """The words that run Java with Kafka on its class path; `folder` is seen inside too."""
        if not self.container:
            return ["java", *HEAP, "-cp", f"{JARS}/*", *java]
        user, mount = f"{os.getuid()}:{os.getgid()}", f"{folder}:{folder}"
        options = ("--rm", "--network=host", f"--name={name}", f"--user={user}", f"-v={mount}")
        inside = ("--entrypoint=java", IMAGE, *HEAP, "-cp", "/opt/kafka/libs/*")
        return ["docker", "run", *options, *inside, *java]


@dataclass
class Broker:
    """One server: a broker and a controller. `ports` by listener.

    Who comes by its listener `PROXIED` is sent on to the port `proxied`, where there is one.
    """

    number: int
    runtime: Runtime
    folder: Path
    ports: dict[str, int]
    proxied: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """Of its container."""
        return f"order-rescue-kafka-{self.ports['PLAINTEXT']}"

    @property
    def log(self) -> Path:
        """What it writes."""
        return self.folder / f"broker-{self.number}.log"

    @property
    def properties(self) -> Path:
        """Its settings."""
        return self.folder / f"broker-{self.number}.properties"

    def format(self) -> None:
        """Make its storage, with the SCRAM user in it."""
        users = [
            f"--add-scram=SCRAM-SHA-{bits}=[name={USER},password={PASSWORD}]" for bits in (256, 512)
        ]
        words = ("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", self.properties)
        command = self.runtime.command(self.name, self.folder, *map(str, words), *users)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start it; `answering` waits for it."""
        words = ("kafka.Kafka", str(self.properties))
        with self.log.open("ab") as log:
            command = self.runtime.command(self.name, self.folder, *words)
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def answering(self) -> None:
        """Return once it takes connections."""
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            assert self.process is None or self.process.poll() is None, self.tail()
            try:
                socket.create_connection(("127.0.0.1", self.ports["PLAINTEXT"]), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError(self.tail())

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-3000:]

    def kill(self) -> None:
        """SIGKILL: it hands nothing over."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM: it hands its partitions over first."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self.process is None:
            return
        if self.runtime.container:
            container.kill(self.name, number)
        else:
            self.process.send_signal(number)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


@dataclass
class Cluster:
    """Brokers that know each other. `ca` is the file with the authority of their certificates.

    Without `brokers` it is somebody else's: only `address` is known, and nothing can be stopped.
    """

    address: str
    ca: Path | None = None
    brokers: list[Broker] = field(default_factory=list)

    def at(self, listener: str) -> str:
        """The addresses of a listener, as clients are given them."""
        return ",".join(f"127.0.0.1:{broker.ports[listener]}" for broker in self.brokers)

    def ours(self) -> Sequence[Broker]:
        """The brokers, for a test that stops one or needs their other listeners."""
        if not self.brokers:
            unavailable("kafka", f"a broker of the tests' own; {VARIABLE} names another")
        return self.brokers


@contextmanager
def running(folder: Path, brokers: int = 1, proxies: Sequence[int] = ()) -> Iterator[Cluster]:
    """A cluster of our own until the block ends. Skips the test where there is none.

    `proxies`: ports that lead to each broker's listener `PROXIED`.
    """
    runtime = found()
    authority = trustme.CA()
    ca = folder / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    key = folder / "server.pem"
    issued = authority.issue_cert("127.0.0.1", "localhost")
    key.write_bytes(_pkcs8(issued.private_key_pem.bytes()))
    for certificate in issued.cert_chain_pems:
        certificate.write_to_path(key, append=True)
    ports = _free_ports(brokers * (len(LISTENERS) + 1))
    members = []
    for number in range(1, brokers + 1):
        mine = {name: next(ports) for name in (*LISTENERS, "CONTROLLER")}
        proxied = proxies[number - 1] if proxies else mine["PROXIED"]
        members.append(Broker(number, runtime, folder, mine, proxied))
    with ExitStack() as stack:
        for broker in members:
            broker.properties.write_text(_properties(broker, members, key, ca))
        with ThreadPoolExecutor() as pool:
            list(pool.map(Broker.format, members))
        for broker in members:
            broker.start()
            stack.callback(broker.kill)
        for broker in members:
            broker.answering()
        made = Cluster("", ca, members)
        made.address = made.at("PLAINTEXT")
        yield made


def _properties(broker: Broker, members: list[Broker], key: Path, ca: Path) -> str:
    copies = min(len(members), 3)
    voters = ",".join(f"{b.number}@127.0.0.1:{b.ports['CONTROLLER']}" for b in members)
    names = (*LISTENERS, "CONTROLLER")
    told = {name: broker.ports[name] for name in LISTENERS} | {"PROXIED": broker.proxied}
    login = "org.apache.kafka.common.security"
    plain = f'{login}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
    scram = f"{login}.scram.ScramLoginModule required;"
    values = {
        "process.roles": "broker,controller",
        "node.id": broker.number,
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listeners": ",".join(f"{name}://127.0.0.1:{broker.ports[name]}" for name in names),
        "advertised.listeners": ",".join(
            f"{name}://127.0.0.1:{port}" for name, port in told.items()
        ),
        "listener.security.protocol.map": ",".join(
            f"{name}:{'PLAINTEXT' if name in ('CONTROLLER', 'PROXIED') else name}" for name in names
        ),
        "sasl.enabled.mechanisms": MECHANISMS,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": key,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": ca,
        "log.dirs": broker.folder / f"data-{broker.number}",
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": 3,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.num.partitions": 1,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": max(1, copies - 1),
        "min.insync.replicas": max(1, copies - 1),
        "default.replication.factor": copies,
        "group.initial.rebalance.delay.ms": 0,
        "num.network.threads": 2,
        "num.io.threads": 2,
        "log.retention.check.interval.ms": 500,
        "log.initial.task.delay.ms": 500,
        "file.delete.delay.ms": 500,
        "broker.session.timeout.ms": 4000,
        "broker.heartbeat.interval.ms": 500,
        "controller.quorum.election.timeout.ms": 1000,
        "controller.quorum.fetch.timeout.ms": 2000,
        "controlled.shutdown.enable": "true",
        "log.cleaner.enable": "false",
    }
    for name in ("sasl_plaintext", "sasl_ssl"):
        values[f"listener.name.{name}.plain.sasl.jaas.config"] = plain
        for bits in (256, 512):
            values[f"listener.name.{name}.scram-sha-{bits}.sasl.jaas.config"] = scram
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _pkcs8(pem: bytes) -> bytes:
    """A private key in the only form that the server reads."""
    key = serialization.load_pem_private_key(pem, None)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _free_ports(number: int) -> Iterator[int]:
    """Ports that nobody has now; the brokers take them at once."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        numbers = [one.getsockname()[1] for one in sockets]
    return iter(numbers)


def found() -> Runtime:
    """What can run a broker here. Skips the test, or fails it in CI, where nothing can."""
    if container.has(IMAGE):
        return Runtime(container=True)
    if not any(JARS.glob("kafka_*.jar")):
        unavailable("kafka", "`make services` fetches it")
    if shutil.which("java") is None:
        unavailable("kafka", "no Java (17 or later) on this machine")
    return Runtime(container=False)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One broker for all tests of this process that don't stop it."""
    if address := os.environ.get(VARIABLE):
        yield Cluster(address)
        return
    with running(tmp_path_factory.mktemp("kafka")) as cluster:
        yield cluster


def fetch() -> int:
    """What `make services` does for Kafka: the image, or the jars; an exit code."""
    if os.environ.get(VARIABLE) or any(JARS.glob("kafka_*.jar")) or container.pulled(IMAGE):
        return 0
    if shutil.which("mvn") is None:
        print("kafka: not fetched, there is no Maven (mvn) on this machine; its tests don't run")
        return int(os.environ.get("CI") == "true")
    JARS.parent.mkdir(exist_ok=True)
    fresh = JARS.with_name("kafka.part")
    shutil.rmtree(fresh, ignore_errors=True)
    if _done("mvn", "-B", "-q", "-f", str(POM), COPY, f"-DoutputDirectory={fresh}"):
        fresh.rename(JARS)
        return 0
    print("kafka: Maven could not fetch it; its tests don't run", file=sys.stderr)
    return int(os.environ.get("CI") == "true")


def _done(*command: str) -> bool:
    return subprocess.run(command, check=False).returncode == 0
