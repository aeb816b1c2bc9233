"""What `deploy/` holds, read the way its users' tools read it."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from consumer.settings import SettingsInvalid, load
from tests.services import unavailable

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = ("single", "replicas", "roles")
SECRET = {  # what the merchant's own Secret holds
    "ORDER_RESCUE_PLATFORM_KEY": "sk_test_0123456789",
    "ORDER_RESCUE_WEBHOOK_SECRETS": "signing-secret",
    "ORDER_RESCUE_API_TOKENS": "web:shop:shop-token-1",
}

Resource = dict[str, Any]


def command(name: str, *arguments: str | Path) -> str:
    """What a tool prints; the test is not run without the tool, and fails where the tool does."""
    if not shutil.which(name):
        unavailable(name, "not installed")
    done = subprocess.run(
        [name, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rendered(overlay: str) -> list[Resource]:
    """The resources that `kubectl apply --kustomize` would send."""
    text = command("kubectl", "kustomize", DEPLOY / "kubernetes" / "overlays" / overlay)
    return [resource for resource in yaml.safe_load_all(text) if resource]


def of_kind(resources: list[Resource], kind: str) -> Iterator[Resource]:
    return (resource for resource in resources if resource["kind"] == kind)


def complaints(environment: dict[str, str]) -> list[str]:
    """What the service says about these settings."""
    try:
        load(environment, env_file=None)
    except SettingsInvalid as invalid:
        return invalid.lines
    return []
