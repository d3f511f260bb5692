"""Cells that are text to a table and something else to a spreadsheet or a language model.

They are reported and left as they are: changing data to disarm it would be a silent fault.
"""

import re
from typing import Final

FORMULA_SIGNS: Final = "('=', '+', '-', '@', chr(9), chr(13))"
_NO_FORMULA: Final = r"[+-]?[0-9][0-9.,]*( [0-9.,]+)*( ?%)?|[-+@=.]+|- .*"
"""A number however written, a placeholder, an item of a list."""

_OBJECT: Final = "(instruction|prompt|rule|direction|guideline|command|message)s?"
_EARLIER: Final = (
    "(all|any|the|these|your|my|our|of|previous|prior|earlier|above|preceding|system|other) "
)
INJECTION: Final = "|".join(
    (
        rf"\b(ignore|disregard|forget|override|bypass) ({_EARLIER}){{0,4}}{_OBJECT}\b",
        r"\b(ignore|disregard|forget) (everything|all of the above|what you were told)\b",
        r"\byou are (now|no longer) (a|an|the|in|bound|restricted|allowed)\b",
        r"\b(reveal|print|show|repeat|leak) (me )?(your|the) (system |initial |hidden )*prompt\b",
        r"\b(new|updated|real) (system )?instructions?:",
        r"\bdo not (tell|inform|warn|alert) the user\b",
        r"<\|?(im_start|im_end|system|assistant|endoftext|start_header_id)\|?>",
        r"</?system>|\[/?INST\]|<<SYS>>",
        r"(^|\n|#)\s*(system|assistant|developer)( prompt)?\s*:",
        r"\b(act|behave|respond) as (a|an|the) (unrestricted|unfiltered|jailbroken|admin)",
        r"\b(call|use|invoke|run) the [a-z_]+ (tool|function) (to|with|and)\b",
    )
).replace(" ", r"\s+")
"""A short list, matched without regard to letter case; it finds the careless, not the clever."""


SHORTEST: Final = 16
"""Bytes below which a cell has no room for an instruction, unless it holds a mark of a dialogue."""


def is_formula(column: str) -> str:
    """The SQL predicate of a cell that a spreadsheet would run."""
    return (
        f"CASE WHEN {column} < 'A' AND left({column}, 1) IN {FORMULA_SIGNS} "
        f"THEN NOT regexp_full_match({column}, '{_NO_FORMULA}') ELSE false END"
    )


def is_injection(column: str, *, marks: bool = True) -> str:
    """The SQL predicate of a cell that speaks to a language model.

    Without `marks` there is no `<` or `[` in the file.
    """
    long = f"strlen({column}) >= {SHORTEST}"
    if marks:
        long = f"{long} OR contains({column}, '<') OR contains({column}, '[')"
    return f"CASE WHEN {long} THEN regexp_matches({column}, '{INJECTION}', 'i') ELSE false END"


def in_a_name(name: str) -> tuple[bool, bool]:
    """Whether a column's name is a formula, whether it speaks to a language model."""
    formula = name[:1] in "=+-@\t\r" and not re.fullmatch(_NO_FORMULA, name)
    return bool(name) and formula, re.search(INJECTION, name, re.IGNORECASE) is not None
