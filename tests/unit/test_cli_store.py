"""Sign-ins are kept for their owner's eyes and sent to one server only."""

import os
import stat
from pathlib import Path

import pytest

from callboard.cli import credentials, store
from callboard.cli.failure import Failure
from callboard.cli.store import Kept

HERE = "https://callboard.example.com"
KEPT = Kept("https://issuer.example.com", "callboard-cli", "token-1", "refresh-1", 9e9)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("CALLBOARD_")]:
        monkeypatch.delenv(name)
    return tmp_path


def test_what_is_kept_is_found_again_and_forgotten() -> None:
    store.keep(HERE, KEPT)
    assert store.of(HERE) == KEPT
    assert store.forget(HERE) == KEPT
    assert store.of(HERE) is None


def test_only_the_owner_can_read_it(home: Path) -> None:
    before = os.umask(0)
    try:
        store.keep(HERE, KEPT)
    finally:
        os.umask(before)
    assert stat.S_IMODE(store.path().stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path().parent.stat().st_mode) == 0o700


def test_a_file_that_others_can_read_is_refused() -> None:
    store.keep(HERE, KEPT)
    store.path().chmod(0o644)
    with pytest.raises(Failure, match="others can read it"):
        store.of(HERE)


@pytest.mark.parametrize("content", ["", "[]", "{", "null"])
def test_a_broken_file_is_said_and_not_guessed_at(content: str) -> None:
    store.keep(HERE, KEPT)
    store.path().write_text(content)
    with pytest.raises(Failure, match="no list of sign-ins"):
        store.of(HERE)


def test_a_sign_in_is_sent_to_its_own_server_only() -> None:
    store.keep(HERE, KEPT)
    assert credentials.find(HERE, None).token == "token-1"
    assert credentials.find("https://evil.example.com", None).token is None
    assert credentials.find(f"{HERE}:8443", None).token is None


def test_a_named_file_goes_before_the_environment_and_that_before_the_sign_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.keep(HERE, KEPT)
    monkeypatch.setenv("CALLBOARD_TOKEN", "token-2")
    file = tmp_path / "token"
    file.write_text("token-3\n")
    assert credentials.find(HERE, None).token == "token-2"
    assert credentials.find(HERE, file).token == "token-3"


@pytest.mark.parametrize("content", ["", "two words", "a\nb", "nul\x00", "ü"])
def test_what_is_no_token_is_not_put_into_a_header(content: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(Failure, match="holds no token"):
        credentials.find(HERE, file)


def test_an_expired_token_is_said_to_be_so() -> None:
    token = "x.eyJleHAiOiAxMDAwfQ.y"  # {"exp": 1000}
    hints = credentials.ways_in(credentials.Credentials(token, "CALLBOARD_TOKEN"), now=1000 + 7_200)
    assert hints[0] == "the token from CALLBOARD_TOKEN expired 2 hours ago; get another:"


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "a.!!!.c", "a.bnVsbA.c"])
def test_a_token_that_says_nothing_is_no_reason_to_stumble(token: str) -> None:
    assert credentials.claims(token) == {}
