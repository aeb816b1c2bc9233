"""The service's settings: environment variables and a `.env` file, checked before anything starts.

A value is never part of a complaint: it may be a secret.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from consumer.settings import values
from consumer.settings.kafka import KafkaSettings
from consumer.settings.remedies import RemediesInvalid, load_changes
from consumer.settings.values import Token, written
from consumer.signature import Network

PREFIX = "ORDER_RESCUE_"
LIVE_LIMIT, TEST_LIMIT = 250.0, 25.0  # requests a second for one key (PLATFORM §1.5)
SHARE = 0.8  # of the platform's limit: other programs may use the same key

Seconds = Annotated[float, BeforeValidator(values.seconds), Field(gt=0, le=86_400)]
Duration = Annotated[timedelta, BeforeValidator(values.duration), AfterValidator(values.positive)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(values.network_list)]
ProxyNetworks = Annotated[tuple[Network, ...], BeforeValidator(values.proxy_list)]
Hosts = Annotated[tuple[str, ...], BeforeValidator(values.host_list)]
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(values.secret_list)]
Tokens = Annotated[tuple[Token, ...], BeforeValidator(values.token_list)]
Basic = Annotated[SecretStr, BeforeValidator(values.credentials)]
Key = Annotated[SecretStr, BeforeValidator(values.platform_key)]
SigningSecret = Annotated[SecretStr, AfterValidator(values.decodable)]
Url = Annotated[str, AfterValidator(values.https_or_loopback)]
BaseUrl = Annotated[Url, AfterValidator(values.without_query)]
Version = Annotated[str, AfterValidator(values.platform_version)]
Database = Annotated[str, AfterValidator(values.database_url)]
Adopt = Literal["off", "observe", "remedy"]
Switch = Annotated[bool, BeforeValidator(values.switch)]


Kind = TypeVar("Kind", bound="StoreSettings")


class SettingsInvalid(Exception):
    """The service can't start with these settings. `lines` has one complaint per variable."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class StoreSettings(BaseSettings):
    """All that a command needs which only looks into the database."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, env_prefix=PREFIX
    )

    database_url: Database = "sqlite:///order-rescue.db"
    database_pool_size: Annotated[int, Field(ge=2, le=200)] = 10
    database_statement_timeout: Annotated[Seconds, Field(ge=1)] = 10.0
    remedies_file: Annotated[Path, BeforeValidator(values.readable_file)] | None = None
    log_format: Annotated[Literal["json", "console"], BeforeValidator(str.lower)] = "json"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)
    ] = "info"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` was given: nothing is read behind its back."""
        return (init_settings,)


class Settings(KafkaSettings, StoreSettings):
    """Everything that `serve` needs; DESIGN's table says what each means.

    Attributes that end in seconds there (`platform_timeout`, `platform_settle`,
    `webhook_tolerance`) are floats of seconds; the other times are timedeltas. Fields that a
    check of another one looks at come before it.
    """

    platform_url: BaseUrl = "https://api.digitalriver.com"
    platform_key: Key
    platform_version: Version = "2021-12-13"
    platform_rate: float = Field(
        default_factory=lambda known: default_rate(known["platform_key"]), gt=0, le=10_000
    )
    platform_timeout: Seconds = 30.0
    platform_settle: Seconds = 120.0
    consent_window: Duration = timedelta(minutes=30)
    hold_deadline: Duration = timedelta(days=7)
    keep_bodies: Duration = timedelta(days=30)
    keep_ids: Annotated[Duration, Field(ge=timedelta(days=30))] = timedelta(days=45)
    keep_purchases: Annotated[Duration, Field(ge=timedelta(days=30))] = timedelta(days=400)
    redirect_wait: Duration = timedelta(minutes=30)
    max_fact_age: Duration = timedelta(days=3)
    adopt: Annotated[Adopt, BeforeValidator(str.lower)] = "observe"
    redirect_hosts: Hosts = ()
    step_up: bool = False
    webhooks: Switch = True
    webhook_secrets: Secrets = Field((), validate_default=True)
    webhook_tolerance: Seconds = 600.0
    webhook_basic: Basic | None = None
    webhook_allow: Networks | None = None
    trusted_proxies: ProxyNetworks = ()
    api_tokens: Tokens
    outcome_webhook_url: Url | None = None
    outcome_webhook_secret: SigningSecret | None = Field(None, validate_default=True)
    host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080

    @property
    def live(self) -> bool:
        """Whether the key is one of live mode."""
        return not is_test_key(self.platform_key)

    @property
    def outcome_webhook_key(self) -> bytes:
        """The bytes that sign outcomes; empty when none are sent."""
        secret = self.outcome_webhook_secret
        return values.signing_key(secret.get_secret_value()) if secret else b""

    @field_validator("webhook_secrets")
    @classmethod
    def _needed_for_webhooks(
        cls, secrets: tuple[SecretStr, ...], info: ValidationInfo
    ) -> tuple[SecretStr, ...]:
        if not secrets and info.data.get("webhooks", True):
            raise ValueError(f"is required, unless {PREFIX}WEBHOOKS=off")
        return secrets

    @field_validator("outcome_webhook_secret")
    @classmethod
    def _with_its_url(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        url = info.data.get("outcome_webhook_url", "")  # "" when it was invalid itself
        if url and secret is None:
            raise ValueError(f"is required when {PREFIX}OUTCOME_WEBHOOK_URL is set")
        if url is None and secret is not None:
            raise ValueError(f"needs {PREFIX}OUTCOME_WEBHOOK_URL as well")
        return secret


class Effective(NamedTuple):
    """A setting as `order-rescue check` prints it. `value` holds no secret."""

    name: str
    value: str
    masked: bool


def load(environ: Mapping[str, str] = os.environ, env_file: Path | None = Path(".env")) -> Settings:
    """The settings; the environment wins over the file, and an empty value counts as not set.

    Raises SettingsInvalid.
    """
    return _checked(Settings, environ, env_file)


def load_store(
    environ: Mapping[str, str] = os.environ, env_file: Path | None = Path(".env")
) -> StoreSettings:
    """The part of the settings that needs no keys. Raises SettingsInvalid."""
    return _checked(StoreSettings, environ, env_file)


def effective(settings: Settings) -> list[Effective]:
    """Every setting as it is in force, secrets masked."""
    return [
        Effective(PREFIX + name.upper(), *written(getattr(settings, name)))
        for name in Settings.model_fields
    ]


def is_test_key(key: SecretStr) -> bool:
    """PLATFORM §1.1: test keys begin with `sk_test_`."""
    return key.get_secret_value().startswith("sk_test_")


def default_rate(key: SecretStr) -> float:
    """Requests a second: most of what the platform allows a key of this mode."""
    return SHARE * (TEST_LIMIT if is_test_key(key) else LIVE_LIMIT)


def _checked(kind: type[Kind], environ: Mapping[str, str], env_file: Path | None) -> Kind:
    given = _file_variables(env_file) | {n: v for n, v in environ.items() if _ours(n)}
    lines = [_unknown(name) for name in sorted(given) if not _known(name)]
    settings: Kind | None = None
    try:
        settings = kind(**_fields(kind, given))
    except ValidationError as error:
        lines += _complaints(error, given)
    if settings and settings.remedies_file:
        lines += _remedies(settings.remedies_file)
    if lines or settings is None:
        raise SettingsInvalid(lines)
    return settings


def _remedies(file: Path) -> list[str]:
    try:
        load_changes(file)
    except RemediesInvalid as error:
        return [f"{PREFIX}REMEDIES_FILE: {line}" for line in error.lines]
    return []


def _ours(name: str) -> bool:
    return name.upper().startswith(PREFIX)


def _known(name: str) -> bool:
    return name == name.upper() and name.removeprefix(PREFIX).lower() in Settings.model_fields


def _unknown(name: str) -> str:
    names = [PREFIX + field.upper() for field in Settings.model_fields]
    near = difflib.get_close_matches(name.upper(), names, n=1, cutoff=0.8)
    return f"{name}: no such setting" + (f"; did you mean {near[0]}?" if near else "")


def _file_variables(env_file: Path | None) -> dict[str, str]:
    try:
        source = DotEnvSettingsSource(StoreSettings, env_file=env_file, case_sensitive=True)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid([f"{env_file}: can't be read ({type(error).__name__})"]) from error
    return {name: value or "" for name, value in source.env_vars.items() if _ours(name)}


def _fields(kind: type[StoreSettings], given: Mapping[str, str]) -> dict[str, Any]:
    named = {name.removeprefix(PREFIX).lower(): value.strip() for name, value in given.items()}
    return {name: named[name] for name in kind.model_fields if named.get(name)}


def _complaints(error: ValidationError, given: Mapping[str, str]) -> list[str]:
    lines = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        if problem["type"] == "default_factory_not_called":
            continue  # PLATFORM_RATE follows the key, which has its own line
        name = PREFIX + str(problem["loc"][0]).upper()
        text = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        text = "is required" if problem["type"] == "missing" else text
        lines.append(f"{name}: {text}{_hint(given.get(name, ''))}")
    return lines


def _hint(value: str) -> str:
    if value.startswith("tcp://"):
        return " (Kubernetes sets this for a Service of that name: enableServiceLinks: false)"
    return ""
