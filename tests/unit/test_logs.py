"""Log lines are one JSON object each and hold no secret."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from callboard import logs, telemetry
from callboard.telemetry import Telemetry

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    out = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    shown = warnings.showwarning
    logs.configure("DEBUG", stream=out)
    yield out
    logging.captureWarnings(capture=False)
    warnings.showwarning = shown
    root.handlers[:] = handlers
    root.setLevel(level)
    logger.remove()
    logger.configure(patcher=lambda _: None)


def last(stream: io.StringIO) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(stream.getvalue().splitlines()[-1])
    return line


def test_a_line_names_the_request_and_the_trace(stream: io.StringIO) -> None:
    with Telemetry().span("x"), logger.contextualize(request_id="r-1"):
        trace = telemetry.trace_id()
        logger.info("hello {}", "world")
    line = last(stream)
    assert (line["level"], line["message"], line["request_id"]) == ("info", "hello world", "r-1")
    assert line["trace_id"] == trace
    assert len(line["span_id"]) == 16


def test_the_standard_librarys_lines_come_the_same_way(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").warning("took %s", f"Bearer {JWT}")
    assert last(stream) | {"time": 0} == {
        "time": 0,
        "level": "warning",
        "message": "took Bearer [redacted]",
        "logger": "uvicorn.error",
    }


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {JWT}",
        "authorization: bearer abcdefgh12345678",
        f"token was {JWT}!",
        "https://bot:hunter2hunter2@git.example.com/x.git failed",
        "Authorization: token 0123456789abcdef0123456789abcdef01234567",
    ],
)
def test_credentials_are_redacted_wherever_they_stand(stream: io.StringIO, text: str) -> None:
    secrets = (JWT, "hunter2", "0123456789abcdef", "abcdefgh12345678")
    logger.info("{}", text)
    logger.bind(detail=text).info("x")
    logger.opt(exception=ValueError(text)).error("failed")
    assert not any(secret in stream.getvalue() for secret in secrets)


def test_fields_named_like_secrets_are_never_shown(stream: io.StringIO) -> None:
    logger.bind(git_token="abc", password="abc", authorization="abc", tokens=3).info("x")
    line = last(stream)
    assert [line[key] for key in ("git_token", "password", "authorization", "tokens")] == [
        *["[redacted]"] * 3,
        3,
    ]


def test_a_traceback_does_not_show_the_values_of_variables(stream: io.StringIO) -> None:
    held = bytes.fromhex("7333637233742d68656c64").decode()
    try:
        _ = {}[held != ""]
    except KeyError:
        logger.exception("failed")
    assert "KeyError" in last(stream)["exception"]
    assert "s3cr3t-held" not in stream.getvalue()


HOSTILE = 'a\n{"level":"info"}\r\x1b[31m\x85\u2028\u202e"}'


def test_hostile_text_stays_on_one_json_line(stream: io.StringIO) -> None:
    logger.bind(user=HOSTILE).warning("{}", HOSTILE)
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().isascii()
    assert not any(code in stream.getvalue() for code in "\x1b\r")
    assert (last(stream)["message"], last(stream)["user"]) == (HOSTILE, HOSTILE)


def test_hostile_text_stays_on_one_line_for_people(stream: io.StringIO) -> None:
    logs.configure("INFO", as_json=False, stream=stream)
    logger.bind(user=HOSTILE).warning("{}", HOSTILE)
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()
    assert "\\u001b[31m" in stream.getvalue()
