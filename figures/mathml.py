"""The LaTeX of the statements as MathML: the few commands that they use, and no others.

Letters, digits, signs, scripts, \\frac, \\tfrac, \\sqrt, \\tilde, \\bar, \\text and the names of `_SYMBOLS`. Digits
of an argument count one by one, as in TeX: \\tfrac12 is a half.
"""

from __future__ import annotations

import re
from html import escape

_SYMBOLS = {
    **{n: ("mi", c) for n, c in zip(("eta", "mu", "delta", "beta", "gamma", "lambda"), "ημδβγλ", strict=True)},
    **{n: ("mi", n) for n in ("min", "max", "log", "ln", "dom")},
    "infty": ("mi", "∞"),
    "nabla": ("mi", "∇"),
    "partial": ("mi", "∂"),
    "le": ("mo", "≤"),
    "ge": ("mo", "≥"),
    "in": ("mo", "∈"),
    "to": ("mo", "→"),
    "circ": ("mo", "∘"),
    "cdot": ("mo", "·"),
    "dots": ("mo", "…"),
    "ldots": ("mo", "…"),
    "sum": ("mo", "∑"),
    "langle": ("mo", "⟨"),
    "rangle": ("mo", "⟩"),
    "iff": ("mo", "⟺"),
    "quad": ("space", "1em"),
    ",": ("space", "0.17em"),
    ";": ("space", "0.28em"),
    "{": ("mo", "{"),
    "}": ("mo", "}"),
}
_SIZES = {"Big", "big", "bigl", "bigr", "Bigl", "Bigr", "left", "right"}
_UNDER = {"∑", "min", "max"}
_TOKEN = re.compile(r"\\text\{([^{}]*)\}|\\([A-Za-z]+|.)|(\s+)|(.)", re.S)

NBSP = "\N{NO-BREAK SPACE}"


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        for m in _TOKEN.finditer(text):
            words, command, space, sign = m.groups()
            if words is not None:
                self.tokens.append(("text", words))
            elif command is not None:
                if command not in _SIZES:
                    self.tokens.append(("command", command))
            elif space is None:
                self.tokens.append(("sign", sign))
        self.at = 0

    def wrong(self, what: str) -> ValueError:
        return ValueError(f"{what} in the formula {self.text!r}")

    def next(self) -> tuple[str, str]:
        if self.at == len(self.tokens):
            raise self.wrong("an argument is missing")
        self.at += 1
        return self.tokens[self.at - 1]

    def peek(self) -> tuple[str, str] | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def row(self, end: str | None) -> str:
        """Everything up to ``end``, which is consumed."""
        parts: list[str] = []
        while (token := self.peek()) is not None:
            if token == ("sign", "}"):
                break
            digits = ""
            while (token := self.peek()) is not None and token[0] == "sign" and token[1].isdigit():
                digits += self.next()[1]
            parts.append(self.scripted(f"<mn>{digits}</mn>" if digits else self.atom()))
        if (end is not None) != (self.peek() is not None):
            raise self.wrong("braces do not match")
        if end is not None:
            self.next()
        return f"<mrow>{''.join(parts)}</mrow>"

    def atom(self) -> str:
        """One letter, sign, group or command with its arguments."""
        kind, value = self.next()
        if kind == "text":
            # spaces at the ends of a text are dropped by MathML unless they cannot break
            return f"<mtext>{escape(value).replace(' ', NBSP)}</mtext>"
        if kind == "command":
            return self.command(value)
        if value == "{":
            return self.row("}")
        if value in "_^}":
            raise self.wrong(f"{value!r} out of place")
        if value.isdigit():
            return f"<mn>{value}</mn>"
        if value.isalpha():
            return f"<mi>{value}</mi>"
        if value == "|":  # one that opens looks like one that closes
            return '<mo stretchy="false" lspace="0" rspace="0">|</mo>'
        shown = {"-": "\N{MINUS SIGN}", "'": "\N{PRIME}"}.get(value, value)
        return f"<mo>{escape(shown)}</mo>"

    def command(self, name: str) -> str:
        if name in ("frac", "tfrac"):
            over, under = self.atom(), self.atom()
            return f"<mfrac>{over}{under}</mfrac>"
        if name == "sqrt":
            return f"<msqrt>{self.atom()}</msqrt>"
        if name in ("tilde", "bar"):
            accent = "\N{SMALL TILDE}" if name == "tilde" else "¯"
            return f'<mover accent="true">{self.atom()}<mo stretchy="false">{accent}</mo></mover>'
        if name not in _SYMBOLS:
            raise self.wrong(f"the command {name!r} is not known")
        tag, text = _SYMBOLS[name]
        if tag == "space":
            return f'<mspace width="{text}"></mspace>'
        return f"<{tag}>{escape(text)}</{tag}>"

    def scripted(self, base: str) -> str:
        """``base`` with the scripts that follow it."""
        scripts: dict[str, str] = {}
        while (token := self.peek()) in (("sign", "_"), ("sign", "^")):
            assert token is not None
            if token[1] in scripts:
                raise self.wrong("two scripts of one kind")
            self.next()
            scripts[token[1]] = self.atom()
        if not scripts:
            return base
        under = re.sub("<.*?>", "", base) in _UNDER
        low, high = scripts.get("_"), scripts.get("^")
        if low is not None and high is not None:
            tag = "munderover" if under else "msubsup"
            return f"<{tag}>{base}{low}{high}</{tag}>"
        tag = {(True, True): "munder", (False, True): "msub", (True, False): "mover", (False, False): "msup"}[
            under, low is not None
        ]
        return f"<{tag}>{base}{low or high}</{tag}>"


def mathml(latex: str) -> str:
    """A formula as <math>. Raises `ValueError` for a command that is not known, or braces that do not match."""
    reader = _Reader(latex)
    return f"<math>{reader.row(None)}</math>"


__all__ = ["mathml"]
