"""The image: what its file promises, and what can be seen without an engine."""

import ast
import http.server
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.deploy.manifests import DEPLOY, ROOT, command

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()
HEALTHCHECK = DEPLOY / "healthcheck.py"


def instructions(stage: str) -> list[tuple[str, str]]:
    """The instructions of a stage, as (name, the rest on one line)."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    _, _, rest = text.partition(f" AS {stage}\n")
    lines = re.split(r"^FROM ", rest, maxsplit=1, flags=re.MULTILINE)[0].splitlines()
    return [(name, value) for name, _, value in (line.strip().partition(" ") for line in lines)]


def values(stage: str, name: str) -> list[str]:
    return [value for each, value in instructions(stage) if each == name]


def imported(source: Path) -> set[str]:
    """The top-level modules that a file imports, relative ones left out."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server on loopback that answers /healthz, and 404 to everything else; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def health(port: int, *arguments: str) -> int:
    environment = {"ORDER_RESCUE_HOST": "0.0.0.0", "ORDER_RESCUE_PORT": str(port)}
    return subprocess.run(
        [sys.executable, "-IS", HEALTHCHECK, *arguments],
        env=environment,
        capture_output=True,
        timeout=30,
    ).returncode


def test_the_linter_finds_nothing() -> None:
    linter = str(Path(sys.executable).with_name("hadolint"))
    assert command(linter, "--failure-threshold", "style", "deploy/Dockerfile") == ""


def test_everything_is_installed_by_hash() -> None:
    parts = [part for line in values("build", "RUN") for part in line.split("&&")]
    installs = [part for part in parts if " install" in part]
    others = [part for part in installs if "--require-hashes --only-binary :all:" not in part]
    assert [part.rsplit(None, 1)[1] for part in installs if part not in others] == [
        "requirements/runtime.txt",
        "requirements/build.txt",
    ]
    [ours] = others
    assert ours.strip().endswith("install --no-deps wheels/*.whl")


@pytest.mark.parametrize("folder", ["schemas", "handlers", "consumer", "deploy/sandbox"])
def test_what_is_in_the_image_imports_only_what_is_installed_there(folder: str) -> None:
    """The tests run with more packages than the image has."""
    locked = (ROOT / "requirements" / "runtime.txt").read_text()
    installed = set(re.findall(r"^([\w.-]+)==", locked, re.MULTILINE))
    sources = list((ROOT / folder).rglob("*.py"))
    assert sources != []
    origins = packages_distributions()
    for module in {name for source in sources for name in imported(source)}:
        if module in sys.stdlib_module_names | {"schemas", "handlers", "consumer"}:
            continue
        assert {each.lower().replace("_", "-") for each in origins[module]} & installed, module


def test_the_service_runs_as_a_numeric_user_that_is_not_root() -> None:
    [user] = values("installed", "USER")
    assert re.fullmatch(r"[1-9][0-9]{3,}:[1-9][0-9]{3,}", user)
    assert values("service", "USER") == values("sandbox", "USER") == []
    assert DOCKERFILE.rstrip().endswith('CMD ["serve"]')  # the last stage is the default one


def test_what_the_image_takes_is_there_and_not_ignored() -> None:
    assert "*" in IGNORED
    taken = [line[1:] for line in IGNORED if line.startswith("!")]
    copies = [
        source
        for stage in ("build", "installed", "sandbox", "service")
        for line in values(stage, "COPY")
        if not line.startswith("--from")
        for source in line.split()[:-1]
    ]
    assert len(copies) >= 8
    for source in copies:
        assert (ROOT / source).exists(), source
        assert any(source == path or source.startswith(f"{path}/") for path in taken), source
    assert {path for path in taken if not any(c.startswith(path) for c in copies)} == set()


@pytest.mark.parametrize("name", [".env", "deploy/sandbox/.env", "consumer/x.db-wal"])
def test_secrets_and_databases_do_not_get_into_the_image(name: str) -> None:
    patterns = [line.removeprefix("**/") for line in IGNORED if line.startswith("**/")]
    assert any(fnmatch(name.rpartition("/")[2], pattern) for pattern in patterns)


def test_the_labels_are_the_projects_own() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [line] = values("service", "LABEL")
    assert dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', line)) == {
        "title": project["name"],
        "description": project["description"],
        "licenses": project["license"],
    }


def test_the_health_check_needs_nothing_but_the_interpreter() -> None:
    [check] = values("service", "HEALTHCHECK")
    assert '"/opt/order-rescue/healthcheck.py", "/healthz"' in check
    with answering(200) as port:
        assert health(port, "/healthz") == 0
        assert health(port, "/readyz") == 1
    assert health(port, "/healthz") == 1  # nobody there


def test_a_service_that_says_no_is_not_healthy() -> None:
    with answering(503) as port:
        assert health(port, "/healthz") == 1
