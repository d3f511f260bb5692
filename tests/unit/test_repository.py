"""No secret, no moving image, no disabled check and no trace of a machine is in the repository."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
_CACHES: Final = {
    *(".git", ".venv", ".cache", "__pycache__", "build", "dist", "node_modules", ".hypothesis"),
    *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".schemathesis", ".import_linter_cache"),
}
"""What an export without Git may have beside the files that Git would list."""

# Put together where the whole would be a finding in this file.
RULES: Final = {
    "private-key": r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----",
    "token": (
        r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|AKIA[0-9A-Z]{16}"
        r"|AIza[\w-]{30,}|xox[abeps]-[\w-]{10,}|ya29\.[\w-]{20,}|hvs\.[\w-]{20,}"
        r"|sk-(?:proj-|ant-)?[A-Za-z0-9]{16,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,})"
    ),
    "password": (
        r"(?i)\b[\w-]*(?:password|passwd|passphrase|secret|api[_-]?key|access[_-]?token)"
        r"[\"']?\s*[:=]\s*[\"'](?!\$\{)[^\"'\s{}<>$]{6,}[\"']"
    ),
    "url-password": r"://[^\s/:@\"'{}<>]+:[^\s/@\"'{}<>$]+@",
    "moving-image": r"[\w./{}$-]+:latest\b",
    "no-tls": (
        r"(?i)verify(?:_ssl)?\s*=\s*False|InsecureSkipVerify|CERT_NONE|check_hostname\s*=\s*False"
        r"|create_unverified_context|insecure-skip-tls|skip_?tls_?verify|GIT_SSL_NO_VERIFY"
        r"|sslVerify|NODE_TLS_REJECT_UNAUTHORIZED|verify_signature|--trusted-host"
        r"|curl\s+(?:-\S+\s+)*(?:-k\b|--insecure)"
    ),
    "package-registry": (
        r"(?i)pypi\.org|pythonhosted\.org|registry\.npmjs|registry\.yarnpkg|artifactory|jfrog\.io"
        r"|\bdevpi\b|verdaccio|(?<!no-emit-)index-url|npmRegistryServer|--extra-index"
    ),
    "machine-path": r"(?<![\w.*}])/(?:work|root|home/\w+|Users/\w+|tmp)/",
}
SETTINGS: Final = (
    r"(?im)^\s*[\w.-]*(?:password|passwd|passphrase)\s*[:=]\s*[^\s\"'$<{\[#|>][^\s]{5,}$"
)
"""A password without quotes, as settings and YAML files have them."""
KNOWN: Final = {
    # What masks credentials is shown some; none of them was ever one.
    ("tests/unit/test_redaction.py", "private-key"): 2,
    ("tests/unit/test_redaction.py", "token"): 6,
    ("tests/unit/test_redaction.py", "password"): 1,
    ("tests/unit/test_redaction.py", "url-password"): 2,
    ("tests/unit/test_logs.py", "token"): 1,
    ("tests/unit/test_logs.py", "url-password"): 1,
    ("tests/unit/test_bounds.py", "password"): 2,
    ("tests/unit/test_bounds.py", "url-password"): 1,
    ("tests/unit/test_plain.py", "url-password"): 1,
    ("tests/contract/test_journal.py", "password"): 1,
    ("tests/unit/test_findings.py", "password"): 1,
    ("tests/unit/test_csv_reading.py", "password"): 1,
    ("tests/unit/test_token.py", "password"): 1,
    # URLs that have to be refused.
    ("tests/contract/test_git_repository.py", "url-password"): 1,
    ("tests/integration/test_cli_answers.py", "url-password"): 1,
    # The code of a refusal.
    ("idp-backend/callboard/adapters/oidc/refusal.py", "password"): 1,
    # A policy has to deny one.
    ("tests/unit/test_guardrails.py", "moving-image"): 1,
    # A field of a test's own answer: there is no connection.
    ("tests/integration/test_fuzz.py", "no-tls"): 1,
    ("tests/fuzz/fuzz_calls.py", "no-tls"): 1,
    # The rules themselves.
    ("tests/unit/test_repository.py", "no-tls"): 9,
    ("tests/unit/test_repository.py", "package-registry"): 5,
}
"""How often a rule may find something in a file, for a reason."""


def files() -> Iterator[Path]:
    """What Git lists, new files included."""
    if not (ROOT / ".git").exists():
        for path in ROOT.rglob("*"):
            if path.is_file() and not _CACHES & set(path.relative_to(ROOT).parts):
                yield path
        return
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    out = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    yield from (ROOT / name for name in out.split("\0")[:-1] if (ROOT / name).is_file())


@cache
def texts() -> dict[str, str]:
    return {
        str(path.relative_to(ROOT)): path.read_bytes().decode(errors="replace") for path in files()
    }


def findings(rule: str, text: str, path: str = "x.py") -> list[str]:
    found = [match[0] for match in re.finditer(RULES[rule], text)]
    if rule == "password" and not path.endswith((".py", ".md")):
        found += [match[0] for match in re.finditer(SETTINGS, text)]
    return found


@pytest.mark.parametrize("rule", RULES)
def test_nothing_in_the_repository_breaks_the_rule(rule: str) -> None:
    found = Counter({path: len(findings(rule, text, path)) for path, text in texts().items()})
    # Where it is, never what it says: that goes into a log.
    assert {path: n for path, n in found.items() if n > KNOWN.get((path, rule), 0)} == {}


def test_the_whole_repository_is_looked_at() -> None:
    assert len(texts()) > 300
    assert {"pyproject.toml", "keycloak/callboard-realm.json", "Makefile"} <= texts().keys()


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("private-key", "-----BEGIN " + "EC PRIVATE KEY-----"),
        ("token", "gh" + "p_" + "0a" * 18),
        ("token", ".".join(("eyJ" + "hbGciOiJ", "eyJ" + "zdWIiOiJ", "c2lnbmF0dXJl"))),
        ("password", "db_pass" + 'word = "correct-horse"'),
        ("password", "admin-pass" + "word: correct-horse"),
        ("url-password", "https://bot:" + "hunter2@git.example.com"),
        ("moving-image", "ghcr.io/callboard/chat" + ":latest"),
        ("no-tls", "httpx.get(url, verify" + "=False)"),
        ("no-tls", "Insecure" + "SkipVerify: true"),
        ("package-registry", "https://py" + "pi.org/simple"),
        ("machine-path", "see /ho" + "me/alice/x"),
    ],
)
def test_each_rule_finds_what_it_is_about(rule: str, text: str) -> None:
    assert findings(rule, text, "x.yaml")
