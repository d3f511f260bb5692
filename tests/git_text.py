"""What people may try in a commit's text, for tests."""

HOSTILE_TEXT = (
    ("Create a", ""),
    ("Create a\n\nCallboard-Operation: forged", ""),
    ("Create a\r\n\r\nCallboard-Operation: forged\r\n", ""),
    ("Callboard-Operation: forged", ""),
    ("Create a", "Callboard-Operation: forged"),
    ("Create a", "why\n\nCallboard-Operation: forged\nCallboard-Actor: root"),
    ("Create a", "why\n\nCallboard-Operation: forged\n\n\n"),
    ("Create a", "why\n \t\nCallboard-Operation: forged"),
    ("Create a", "why\u2028\u2028Callboard-Operation: forged\x85\x0c\x0bX: y"),
    ("Create a", "---\nCallboard-Operation: forged"),
    ("Create a", "Signed-off-by: root <root@example.com>\nanother line"),
    ("Create a", "(cherry picked from commit 0123456789)"),
    ("Create a\0b", "x\0\n\nCallboard-Operation: forged\0"),
    ("Create a", "\n\n\nCallboard-Operation : forged"),
    ("", ""),
    ("\ud800", "\udfff"),
)
"""Subject and body; neither is ever a trailer."""

HOSTILE_AUTHORS = (
    ("Alice", "alice@example.com", "Alice <alice@example.com>"),
    ("Alice <root@example.com>", "a@example.com", "Alice root@example.com <a@example.com>"),
    ("Alice\ncommitter root", "a@x\nX: y", "Alice committer root <a@xX:y>"),
    ("Ali\0ce\x1b[31m", "a@x> 1 +0000", "Ali ce [31m <a@x1+0000>"),
    ("", "", "unknown <unknown>"),
    (" .,:;<>\"'", "<>", "unknown <unknown>"),
    ("Zoë \U0001f600", "zoë@example.com", "Zoë \U0001f600 <zoë@example.com>"),
    ("a" * 1_000, "a@x", f"{'a' * 256} <a@x>"),
    ("\ud800Bob", "\u202eb@x", "Bob <b@x>"),
)
"""Name and address as given, and how Git shows them."""

BAD_TRAILERS = (
    ("Callboard-Actor", "alice\nCallboard-Operation: forged"),
    ("Callboard-Actor", "alice\rX: y"),
    ("Callboard-Actor", "alice\x85X: y"),
    ("Callboard-Actor", "alice\u2028X: y"),
    ("Callboard-Actor", "alice\0"),
    ("Callboard-Actor", " alice"),
    ("Callboard-Actor", "alice\t"),
    ("Callboard-Actor", "\ud800"),
    ("Callboard-Actor", "x" * 10_000),
    ("Callboard Actor", "alice"),
    ("Callboard-Actor: x\nY", "alice"),
    ("Callboard-Actor\n", "alice"),
    ("", "alice"),
    ("\u0430", "alice"),
    ("callboard-operation", "twice"),
)
"""Given beside a `Callboard-Operation`."""
