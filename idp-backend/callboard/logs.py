"""Log lines: one JSON object each, with request and trace, without secrets.

Tracebacks are printed without the values of variables, since those hold tokens and data.
"""

import json
import logging
import re
import sys
import traceback
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, TextIO

from loguru import logger

from callboard import telemetry
from callboard.domain.redaction import MASK, redact

if TYPE_CHECKING:
    from loguru import Message, Record

_SECRET_FIELD: Final = re.compile(r"(?i)authorization|cookie|password|secret|(?:^|_)token$")
_TALKATIVE: Final = ("httpx", "httpcore", "urllib3")
"""They log every URL with its query, which may hold a secret."""
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def configure(level: str = "INFO", *, as_json: bool = True, stream: TextIO | None = None) -> None:
    """Send every log line, the standard library's too, to `stream` (standard error without)."""
    out = sys.stderr if stream is None else stream
    line = _json_line if as_json else _text_line

    def sink(message: "Message") -> None:
        out.write(line(message.record))
        out.flush()

    logger.remove()
    logger.configure(patcher=_with_trace)
    logger.add(sink, level=level, format="{message}", backtrace=False, diagnose=False)
    logging.basicConfig(handlers=[_Intercept()], level=level, force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        child = logging.getLogger(name)
        child.handlers.clear()
        child.propagate = True
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def _with_trace(record: "Record") -> None:
    if trace := telemetry.trace_id():
        record["extra"].setdefault("trace_id", trace)
        record["extra"].setdefault("span_id", telemetry.span_id())


def _json_line(record: "Record") -> str:
    fields: dict[str, Any] = {
        "time": record["time"].astimezone(UTC).isoformat(timespec="microseconds"),
        "level": record["level"].name.lower(),
        "message": redact(record["message"]),
        "logger": record["name"],
    }
    for name, value in record["extra"].items():
        fields.setdefault(name, _field(name, value))
    if trace := _traceback(record):
        fields["exception"] = trace
    return json.dumps(fields, ensure_ascii=True) + "\n"


def _text_line(record: "Record") -> str:
    fields = "".join(
        f" {name}={_printable(str(_field(name, value)))}" for name, value in record["extra"].items()
    )
    head = f"{record['time'].astimezone(UTC):%H:%M:%S} {record['level'].name.lower():<7} "
    trace = "".join(f"\n    {_printable(line)}" for line in _traceback(record).splitlines())
    return f"{head}{_printable(redact(record['message']))}{fields}{trace}\n"


def _field(name: str, value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | int | float):
        return value
    return MASK if _SECRET_FIELD.search(name) else redact(str(value))


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _traceback(record: "Record") -> str:
    if (exception := record["exception"]) is None or exception.value is None:
        return ""
    return redact("".join(traceback.format_exception(exception.value)))


class _Intercept(logging.Handler):
    """Hands a record of the standard library on to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno

        def named(out: "Record") -> None:
            out["name"] = record.name

        logger.patch(named).opt(exception=record.exc_info).log(level, "{}", record.getMessage())
