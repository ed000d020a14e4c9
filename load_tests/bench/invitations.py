"""Many parties of Partyline, made over one kept connection: `party_http` opens one for each."""

from __future__ import annotations

import http.client
import json
from typing import Any

from load_tests.bench.dialects import Place
from load_tests.bench.load import PARTY
from load_tests.bench.phone import LoadError

ANSWER_S = 20.0
CREATED = 201
ATTEMPTS = 2


class Invitations:
    """Makes parties as a guest host. Its repr and its errors hold no token."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)

    def __call__(self, first: int) -> list[Place]:
        """A new party's places: the host's, who comes back by a member token, and the others'."""
        made = self.create({"display_name": "host"})
        others = [Place(first + n, first // PARTY, token=made["sharable_token"]) for n in range(1, PARTY)]
        return [Place(first, first // PARTY, token=made["host"]["member_token"], is_host=True), *others]

    def create(self, wanted: dict[str, object]) -> dict[str, Any]:
        """`POST /v1/sessions`. Raises `LoadError`."""
        try:
            answer, body = self._post(json.dumps(wanted))
        except (OSError, http.client.HTTPException):
            raise LoadError("the server did not answer a POST of a session") from None
        if answer != CREATED:
            raise LoadError(f"the server refused to make a session (HTTP {answer})")
        made: dict[str, Any] = json.loads(body)
        return made

    def _post(self, body: str) -> tuple[int, bytes]:
        """Again on a new connection when the server has closed the kept one, as it may at any time."""
        for attempt in range(ATTEMPTS):
            try:
                self._http.request("POST", "/v1/sessions", body, {"Content-Type": "application/json"})
                answer = self._http.getresponse()
                return answer.status, answer.read()
            except (http.client.RemoteDisconnected, ConnectionError):
                self._http.close()
                if attempt + 1 == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")


def by_number(first: int) -> list[Place]:
    """A party of a subject that knows no invitations."""
    return [Place(first + n, first // PARTY) for n in range(PARTY)]
