"""References to applications."""

import pytest

from pyserve.values.reference import Reference, parse_reference

GOOD = [
    ("main", Reference("main", "main")),
    ("a.b.c", Reference("a.b.c", "a.b.c")),
    ("main:app", Reference("main:app", "main", ("app",))),
    ("a.b:obj.attr.x", Reference("a.b:obj.attr.x", "a.b", ("obj", "attr", "x"))),
    ("main: app", Reference("main: app", "main", ("app",))),
    ("main:make()", Reference("main:make()", "main", ("make",), True)),
    ("main:obj.make()", Reference("main:obj.make()", "main", ("obj", "make"), True)),
    (
        'main:make("x", -1, key=[1, None, {"a": True}])',
        Reference(
            'main:make("x", -1, key=[1, None, {"a": True}])',
            "main",
            ("make",),
            True,
            ("x", -1),
            {"key": [1, None, {"a": True}]},
        ),
    ),
    ("módulo:app", Reference("módulo:app", "módulo", ("app",))),
]

BAD = [
    ("", ""),
    (":app", ""),
    ("main:", "''"),
    ("1main:app", ""),
    ("main.:app", ""),
    ("class:app", ""),
    ("main.py", "'main:app'"),
    ("main.py:api", "'main:api'"),
    ("./src/main.py:api", "'src.main:api'"),
    ("src/main", "'src.main:app'"),
    ("my-app:app", ""),
    ("main:app(", "'app('"),
    ("main:a b", "'a b'"),
    ("main:app[0]", ""),
    ("main:app()()", ""),
    ("main:app().x", ""),
    ("main:1", ""),
    ("main:make(x)", "literal"),
    ("main:make(open('x'))", "literal"),
    ("main:make(*[1])", "literal"),
    ("main:make(**{'a': 1})", "literal"),
    ("main:make(1+'')", "literal"),
    ("main:" + "(" * 500, "not an attribute"),
    ("main:app\0", "not an attribute"),
]


@pytest.mark.parametrize(("text", "reference"), GOOD, ids=[case[0] for case in GOOD])
def test_good(text: str, reference: Reference) -> None:
    assert parse_reference(text) == reference
    assert str(reference) == text


@pytest.mark.parametrize(("text", "hint"), BAD, ids=[repr(case[0])[:30] for case in BAD])
def test_bad(text: str, hint: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_reference(text)
    assert hint in str(caught.value)
    assert hint or not str(caught.value)
