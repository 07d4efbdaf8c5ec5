"""docs/reference/findings.md, made from the table of codes."""

from __future__ import annotations

from .codes import CODES, SECTIONS

HEAD = """\
# Findings

Every problem has a code that stays the same, a severity, the file, line and field where it is, and
how to mend it. An **error** refuses the submission, a **warning** asks you to look, an **info**
tells. An archive may change severities (`validation.codes` in its configuration), a curator may
waive a code for a study; both with a reason that is kept.

This page is made from `workflow/slidebox/record/codes.py`; a test holds the two together.
"""


def page() -> str:
    """The whole page as Markdown."""
    out = [HEAD]
    for title, codes in SECTIONS.items():
        out.append(f"## {title}\n")
        for name in codes:
            code = CODES[name]
            out.append(
                f"### {name}\n\n**{code.severity}**. {code.meaning}\n\n"
                f"- Example: {code.example}\n- Mend: {code.mend}\n"
            )
    return "\n".join(out)


if __name__ == "__main__":
    import sys

    sys.stdout.write(page())
