"""Which colour a state has. The word itself always stands beside it."""

from collections.abc import Mapping
from typing import Final

_STATES: Final[Mapping[str, str]] = {
    "ok": "ready Committed Synced Healthy Approved Done Valid committed valid pass approves",
    "warn": "stopped AwaitingApproval Stalled Open Validating awaiting-approval unknown"
    " warn warning",
    "bad": "failed Failed Denied Rejected Invalid denied refused fail error rejects",
    "info": "progressing Accepted allowed",
}
_TONES: Final = {word: tone for tone, words in _STATES.items() for word in words.split()}


def tone(state: object) -> str:
    """`ok`, `warn`, `bad`, `info`, or nothing for what is neither good nor bad."""
    return _TONES.get(str(state), "")


def standing(verdict: str) -> str:
    """Of an agent. That nothing is known of one is no warning: perhaps nothing runs agents here."""
    return "info" if verdict == "unknown" else tone(verdict)
