"""Where a running `partyline up` is found, and one sentence where it is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from load_tests.cannot_start import CannotStart
from load_tests.endpoints import Endpoints, default_data_dir, find_http, read_endpoints
from tests.e2e.conftest import up

__all__ = ["up"]
SECRET = "open-sesame"


def test_what_up_writes_is_read(up) -> None:  # type: ignore[no-untyped-def]
    found = read_endpoints(up.data_dir)
    assert found == Endpoints(up.http, up.stack.database_url, up.stack.redis_url)
    assert find_http(None, found) == [up.http]


def test_a_given_address_goes_before() -> None:
    assert find_http(["http://a/", "http://c"], Endpoints("http://b")) == ["http://a", "http://c"]


def test_no_address_at_all_is_one_sentence(tmp_path: Path) -> None:
    assert read_endpoints(tmp_path) is None
    with pytest.raises(CannotStart, match="partyline up"):
        find_http(None, None)


def test_an_older_file_has_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "endpoints.json").write_text(json.dumps({"http": "http://a", "ws": "ws://a"}))
    assert read_endpoints(tmp_path) == Endpoints("http://a")


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"http": 7}', b'{"redis_url": null}'])
def test_a_broken_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "endpoints.json").write_bytes(content)
    with pytest.raises(CannotStart, match=r"endpoints\.json cannot be read"):
        read_endpoints(tmp_path)


def test_passwords_stay_out_of_its_repr() -> None:
    url = f"redis://:{SECRET}@localhost/0"
    assert SECRET not in repr(Endpoints("http://a", url, url))


def test_the_data_folder_is_named_by_the_environment(tmp_path: Path) -> None:
    assert default_data_dir({"PARTYLINE_DATA_DIR": "/srv/party"}, tmp_path) == Path("/srv/party")
    assert default_data_dir({}, tmp_path) == tmp_path / ".local" / "share" / "partyline"
