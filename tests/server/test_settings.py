"""Settings: a wrong one is named with the form it wants, and its value, which may be a secret, is not."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.settings import PREFIX, Settings, SettingsError, read_settings, require

SECRET = "hunter2"


def test_without_any_variable_the_defaults_hold() -> None:
    assert read_settings({"PATH": "/bin", "PARTYLINE": "x"}) == Settings()


def test_right_values_are_read() -> None:
    settings = read_settings(
        {
            "PARTYLINE_DATABASE_URL": "postgresql://gateway:pw@db:5432/party",
            "PARTYLINE_REDIS_URL": "unix:///run/redis.sock",
            "PARTYLINE_PUBLIC_URL": "https://party.example",
            "PARTYLINE_DATA_DIR": "~/party",
            "PARTYLINE_MASK_KEY": "0f" * 32,
            "PARTYLINE_ALLOW_GUESTS": "Yes",
            "PARTYLINE_TTL_HOURS": "24",
            "PARTYLINE_LOG_LEVEL": "DEBUG",
            "PARTYLINE_ALLOWED_ORIGINS": "https://a.example , ,https://b.example",
            "PARTYLINE_JWT_AUDIENCE": "",
        }
    )
    assert settings.allow_guests
    assert settings.ttl_hours == 24
    assert settings.data_dir == Path.home() / "party"
    assert settings.origins == {"https://a.example", "https://b.example"}


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        ("DATABASE_URL", f"mysql://u:{SECRET}@h/d", "postgresql://role:password@host:port/database"),
        ("DATABASE_URL", SECRET, "postgresql://role:password@host:port/database"),
        ("DATABASE_URL", f"postgresql://u:{SECRET}@[h/d", "postgresql://role:password@host:port/database"),
        (
            "DATABASE_URL",
            f"postgresql://u:{SECRET}@h\u2100/d",
            "postgresql://role:password@host:port/database",
        ),
        ("REDIS_URL", f"http://:{SECRET}@h", "redis://:password@host:port/0"),
        ("PUBLIC_URL", "party.example", "https://host"),
        ("JWKS_URL", "ftp://keys.example/x", "https://host/path"),
        ("MASK_KEY", SECRET, "64 hexadecimal digits"),
        ("MASK_KEY", SECRET * 9 + "x", "64 hexadecimal digits"),
        ("MASK_KEY", "g" * 64, "64 hexadecimal digits"),
        ("JWT_SECRET", SECRET, "32 characters or more"),
        ("LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING or ERROR"),
        ("PARTITIONS", "monthly", "auto, hypertable or native"),
        ("ALLOW_GUESTS", "perhaps", "1 or 0"),
        ("TTL_HOURS", "0", "a whole number from 1 to 8760"),
        ("TTL_HOURS", "8761", "a whole number from 1 to 8760"),
        ("TTL_HOURS", "-1", "a whole number from 1 to 8760"),
        ("TTL_HOURS", "1.5", "a whole number from 1 to 8760"),
        ("TTL_HOURS", "a day", "a whole number from 1 to 8760"),
        ("TTL_HOURS", "9" * 5000, "a whole number from 1 to 8760"),
        ("BACKLOG_ROWS", "99", "a whole number from 100 to 50000000"),
        ("FLUSH_MS", "²", "a whole number from 50 to 5000"),
    ],
)
def test_a_wrong_value_names_the_variable_and_the_form(name: str, value: str, form: str) -> None:
    with pytest.raises(SettingsError) as wrong:
        read_settings({PREFIX + name: value})
    text = str(wrong.value)
    assert text.startswith(PREFIX + name)
    assert form in text
    assert "\n" not in text
    assert SECRET not in text
    assert value not in form or value not in text.replace(form, "")


@given(st.sampled_from([field.name.upper() for field in fields(Settings)]), st.text(max_size=80))
def test_any_value_is_read_or_refused_in_one_line(name: str, value: str) -> None:
    try:
        read_settings({PREFIX + name: value})
    except SettingsError as wrong:
        assert str(wrong).startswith(PREFIX + name)
        assert "\n" not in str(wrong)


def test_a_mistyped_name_is_an_error() -> None:
    with pytest.raises(SettingsError, match="PARTYLINE_DATABSE_URL: there is no such setting"):
        read_settings({"PARTYLINE_DATABSE_URL": SECRET})


def test_what_other_commands_read_is_no_mistake() -> None:
    assert (
        read_settings({"PARTYLINE_TEST_DATABASE_URL": "x", "PARTYLINE_SHARABLE_TOKEN": SECRET}) == Settings()
    )


def test_what_is_needed_and_not_set_is_named() -> None:
    with pytest.raises(SettingsError, match="PARTYLINE_REDIS_URL is not set: redis://"):
        require(Settings(database_url="postgresql://h/d"), "database_url", "redis_url")
    require(Settings(database_url="postgresql://h/d"), "database_url")


def test_a_repr_holds_no_secret() -> None:
    settings = Settings(database_url=f"postgresql://u:{SECRET}@h/d", jwt_secret=SECRET, mask_key=SECRET)
    assert SECRET not in repr(settings)
    assert SECRET not in f"{settings}"
