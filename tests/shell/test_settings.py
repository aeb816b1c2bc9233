"""Settings: what is wrong is named, what is secret is not repeated."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from consumer.settings import PREFIX, Settings, SettingsInvalid, effective, load, load_store

REQUIRED = {
    "PLATFORM_KEY": "sk_0123456789abcdef",
    "WEBHOOK_SECRETS": "signing-secret",
    "API_TOKENS": "web:shop:shop-token-1,ops:operator:ops-token-1",
}
SECRET = "hunter2-hunter2"


def loaded(env_file: Path | None = None, /, **changes: str | None) -> Settings:
    given = {**REQUIRED, **changes}
    return load({PREFIX + n: v for n, v in given.items() if v is not None}, env_file)


def complaints(**changes: str | None) -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        loaded(**changes)
    return caught.value.lines


def test_the_required_settings_are_enough_and_the_defaults_are_the_documented_ones() -> None:
    settings = loaded()
    assert settings.platform_url == "https://api.digitalriver.com"
    assert settings.platform_version == "2021-12-13"
    assert (settings.platform_timeout, settings.platform_settle) == (30, 120)
    assert (settings.consent_window, settings.hold_deadline) == (
        timedelta(minutes=30),
        timedelta(days=7),
    )
    assert settings.max_fact_age == timedelta(days=3)
    assert settings.adopt == "observe"
    assert settings.webhook_tolerance == 600
    assert settings.database_url == "sqlite:///order-rescue.db"
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert (settings.log_format, settings.log_level) == ("json", "info")
    assert (settings.webhook_basic, settings.webhook_allow, settings.trusted_proxies) == (
        None,
        None,
        (),
    )


@pytest.mark.parametrize(
    ("key", "rate", "live"), [("sk_test_0123456789", 20, False), ("sk_0123456789", 200, True)]
)
def test_the_rate_is_most_of_what_the_platform_allows_a_key_of_that_mode(
    key: str, rate: float, live: bool
) -> None:
    settings = loaded(PLATFORM_KEY=key)
    assert settings.platform_rate == pytest.approx(rate)
    assert settings.live is live
    assert loaded(PLATFORM_KEY=key, PLATFORM_RATE="7.5").platform_rate == 7.5


@pytest.mark.parametrize("value", ["off", "observe", "remedy", "Remedy"])
def test_adopt_has_three_values(value: str) -> None:
    assert loaded(ADOPT=value).adopt == value.lower()


def test_another_value_of_adopt_stops_the_start() -> None:
    [line] = complaints(ADOPT="always")
    assert line.startswith("ORDER_RESCUE_ADOPT: must be 'off', 'observe' or 'remedy'")


def test_every_missing_setting_has_a_line_of_its_own() -> None:
    lines = complaints(PLATFORM_KEY=None, WEBHOOK_SECRETS=None, API_TOKENS="")
    assert [line.partition(":")[0] for line in lines] == [
        "ORDER_RESCUE_PLATFORM_KEY",
        "ORDER_RESCUE_WEBHOOK_SECRETS",
        "ORDER_RESCUE_API_TOKENS",
    ]


def test_webhooks_that_are_off_need_no_secret() -> None:
    settings = loaded(WEBHOOKS="off", WEBHOOK_SECRETS=None)
    assert (settings.webhooks, settings.webhook_secrets) == (False, ())


def test_an_unknown_variable_stops_the_start_and_the_likely_one_is_named() -> None:
    assert complaints(DATABSE_URL="x") == [
        "ORDER_RESCUE_DATABSE_URL: no such setting; did you mean ORDER_RESCUE_DATABASE_URL?"
    ]
    assert complaints(FROBNICATE=SECRET) == ["ORDER_RESCUE_FROBNICATE: no such setting"]


def test_other_programs_variables_are_none_of_our_business() -> None:
    environ = {PREFIX + name: value for name, value in REQUIRED.items()}
    assert load({**environ, "TEST_ORDER_RESCUE_X": "1", "PATH": "/bin"}, None).port == 8080


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"{PREFIX}PORT=1111\n{PREFIX}HOST=0.0.0.0\nOTHER=1\n", "utf-8")
    settings = loaded(env_file, PORT="2222")
    assert (settings.host, settings.port) == ("0.0.0.0", 2222)


def test_a_file_is_held_to_the_same_rules(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"{PREFIX}PROT=1111\n{PREFIX}HOST\n", "utf-8")
    with pytest.raises(SettingsInvalid, match="ORDER_RESCUE_PROT: no such setting"):
        loaded(env_file)
    env_file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsInvalid, match="can't be read"):
        loaded(env_file)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLATFORM_URL", "http://example.com"),
        ("PLATFORM_URL", "ftp://example.com"),
        ("PLATFORM_URL", "https://user:hunter2-hunter2@example.com"),
        ("PLATFORM_URL", "https://example.com/?hunter2-hunter2"),
        ("PLATFORM_URL", "https://example.com:port"),
        ("PLATFORM_KEY", "pk_hunter2-hunter2"),
        ("PLATFORM_KEY", "hunter2-hunter2 with spaces"),
        ("PLATFORM_VERSION", "2021-03-22"),
        ("PLATFORM_VERSION", "2021-13-01"),
        ("PLATFORM_VERSION", "latest"),
        ("PLATFORM_RATE", "0"),
        ("PLATFORM_RATE", "nan"),
        ("PLATFORM_TIMEOUT", "-1"),
        ("PLATFORM_TIMEOUT", "1w"),
        ("PLATFORM_SETTLE", "0"),
        ("CONSENT_WINDOW", "soon"),
        ("CONSENT_WINDOW", "0s"),
        ("HOLD_DEADLINE", "999999999d"),
        ("WEBHOOKS", "maybe"),
        ("WEBHOOK_SECRETS", " , "),
        ("WEBHOOK_BASIC", "hunter2-hunter2"),
        ("WEBHOOK_ALLOW", "10.0.0.0/33"),
        ("WEBHOOK_ALLOW", ","),
        ("TRUSTED_PROXIES", "platform"),
        ("API_TOKENS", "hunter2-hunter2"),
        ("API_TOKENS", "web:shop:hunter2-hunter2:x"),
        ("API_TOKENS", "web:admin:hunter2-hunter2"),
        ("API_TOKENS", "web:shop:short"),
        ("API_TOKENS", "we b:shop:hunter2-hunter2"),
        ("API_TOKENS", "a:shop:hunter2-hunter2,a:read:hunter2-hunter3"),
        ("API_TOKENS", "a:shop:hunter2-hunter2,b:read:hunter2-hunter2"),
        ("DATABASE_URL", "mysql://root:hunter2-hunter2@localhost/x"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("OUTCOME_WEBHOOK_SECRET", "hunter2-hunter2"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_an_invalid_value_is_one_line_that_names_the_variable_and_not_the_value(
    name: str, value: str
) -> None:
    lines = complaints(**{name: value})
    assert [line.partition(":")[0] for line in lines] == [PREFIX + name]
    assert "hunter2" not in lines[0]
    assert "\n" not in lines[0]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2-hunter2@db.example:5432/orders?sslmode=verify-full",
        "postgresql://me:hunter2-hunter2@one,two:5433/orders?target_session_attrs=read-write",
        "postgresql:///orders?host=/run/postgresql",
    ],
)
def test_a_postgresql_url_is_taken_as_libpq_reads_it_and_shown_without_its_password(
    url: str,
) -> None:
    settings = loaded(DATABASE_URL=url)
    assert settings.database_url == url
    shown = {each.name: each.value for each in effective(settings)}[f"{PREFIX}DATABASE_URL"]
    assert "hunter2" not in shown
    assert shown.startswith("postgresql://")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql+asyncpg://db/x", "name no driver"),
        ("postgresql://me:hunter2-hunter2@db", "must name a database"),
        ("postgresql://db/x y", "without spaces"),
    ],
)
def test_a_postgresql_url_that_can_not_work_says_why(url: str, why: str) -> None:
    (line,) = complaints(DATABASE_URL=url)
    assert why in line
    assert "hunter2" not in line


def test_a_port_that_kubernetes_injected_is_explained() -> None:
    (line,) = complaints(PORT="tcp://10.0.0.1:8080")
    assert "enableServiceLinks" in line


def test_outcomes_need_both_their_url_and_their_secret() -> None:
    url = "https://merchant.example/outcomes"
    (line,) = complaints(OUTCOME_WEBHOOK_URL=url)
    assert line.startswith("ORDER_RESCUE_OUTCOME_WEBHOOK_SECRET: is required")
    settings = loaded(OUTCOME_WEBHOOK_URL=url, OUTCOME_WEBHOOK_SECRET="whsec_c2VjcmV0")
    assert settings.outcome_webhook_key == b"secret"
    plain = loaded(OUTCOME_WEBHOOK_URL="http://[::1]:9/x", OUTCOME_WEBHOOK_SECRET="plain")
    assert plain.outcome_webhook_key == b"plain"
    (line,) = complaints(OUTCOME_WEBHOOK_URL=url, OUTCOME_WEBHOOK_SECRET="whsec_%%%")
    assert "base64" in line


@pytest.mark.parametrize(
    ("text", "seconds"), [("45", 45), ("45s", 45), ("30m", 1800), ("12H", 43_200), ("0.5d", 43_200)]
)
def test_times_have_units(text: str, seconds: int) -> None:
    assert loaded(CONSENT_WINDOW=text).consent_window == timedelta(seconds=seconds)


def test_the_published_addresses_have_a_name() -> None:
    allow = loaded(WEBHOOK_ALLOW="platform,10.0.0.0/8").webhook_allow
    assert allow is not None
    assert {"54.204.214.106/32", "209.87.180.0/24", "10.0.0.0/8"} <= set(map(str, allow))


def test_what_is_printed_holds_no_secret() -> None:
    settings = loaded(
        PLATFORM_KEY=f"sk_{SECRET}",
        WEBHOOK_SECRETS=f"{SECRET},other-{SECRET}",
        API_TOKENS=f"web:shop:{SECRET}",
        WEBHOOK_BASIC=f"user:{SECRET}",
        OUTCOME_WEBHOOK_URL=f"https://merchant.example/x?key={SECRET}",
        OUTCOME_WEBHOOK_SECRET=SECRET,
    )
    shown = effective(settings)
    assert SECRET not in repr(shown)
    masked = {setting.name.removeprefix(PREFIX) for setting in shown if setting.masked}
    assert masked == {
        "PLATFORM_KEY",
        "WEBHOOK_SECRETS",
        "API_TOKENS",
        "WEBHOOK_BASIC",
        "OUTCOME_WEBHOOK_URL",
        "OUTCOME_WEBHOOK_SECRET",
    }
    assert {setting.name: setting.value for setting in shown}[f"{PREFIX}HOLD_DEADLINE"] == "7d"
    assert "web:shop:" in repr(shown)  # who may do what is not secret


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        loaded().port = 1  # type: ignore[misc]  # which is the claim


def test_commands_that_only_look_need_no_keys() -> None:
    url = "sqlite:////var/lib/order-rescue.db"
    assert load_store({f"{PREFIX}DATABASE_URL": url}, None).database_url == url
    with pytest.raises(SettingsInvalid, match="DATABSE_URL"):
        load_store({f"{PREFIX}DATABSE_URL": url}, None)


@given(st.dictionaries(st.sampled_from(sorted(Settings.model_fields)), st.text(max_size=40)))
def test_whatever_variables_hold_nothing_but_settings_invalid_is_raised(
    variables: dict[str, str],
) -> None:
    lines: list[str] = []
    try:
        loaded(**{name.upper(): value for name, value in variables.items()})
    except SettingsInvalid as error:
        lines = error.lines
    names = {PREFIX + name for name in (*(n.upper() for n in variables), *REQUIRED)}
    names.add(f"{PREFIX}OUTCOME_WEBHOOK_SECRET")  # missing beside its URL
    assert {line.partition(":")[0] for line in lines} <= names
